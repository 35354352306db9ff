"""The nodes as ComfyUI sees them (V3 API): names, widgets, progress, interruption. What they do is in editing.py."""

from __future__ import annotations

from typing import Any

import comfy.model_management
import comfy.utils
from comfy_api.latest import ComfyExtension, io

from . import editing

CATEGORY = "UIP2P"
EditorType = io.Custom("UIP2P_EDITOR")
SEEDS = 2**53 - 1  # what a browser counts exactly


def tell() -> editing.Tell:
    """Each denoising step moves the bar of the node that runs, and is a place to stop."""
    bar = comfy.utils.ProgressBar(1)

    def on_step(done: int, total: int, preview: Any) -> None:
        comfy.model_management.throw_exception_if_processing_interrupted()
        bar.update_absolute(done, total, ("JPEG", preview, 512) if preview else None)

    return on_step


def sampling_inputs() -> list[Any]:
    own = "the model's own"
    return [
        io.Int.Input("seed", default=0, min=0, max=SEEDS, control_after_generate=True,
                     tooltip="Picture k of a batch has seed + k."),
        io.Int.Input("steps", default=0, min=0, max=1000, tooltip=f"Denoising steps. 0: {own}."),
        io.Float.Input("guidance_scale", default=-1.0, min=-1.0, max=100.0, step=0.1, round=0.01,
                       tooltip=f"How strongly the words pull. -1: {own}."),
        io.Float.Input("image_guidance_scale", default=-1.0, min=-1.0, max=100.0, step=0.1, round=0.01,
                       tooltip=f"How strongly the picture holds. -1: {own}."),
    ]  # fmt: skip


def edit_inputs() -> list[Any]:
    return [
        EditorType.Input("editor"),
        io.Image.Input("image"),
        io.String.Input("instruction", multiline=True, default="make the car blue", tooltip="What to change."),
    ]


class LoadEditor(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="UIP2PLoadEditor",
            display_name="UIP2P Load Editor",
            category=CATEGORY,
            description="An editing model: the shipped miniature, a trained folder, a hub id or a single file.",
            inputs=[
                io.String.Input("model", default="mini", tooltip='"mini", a folder, a hub id or a .safetensors file.'),
                io.String.Input("lora", default="", tooltip="A LoRA to merge in: a file, its folder or a hub id."),
                io.Combo.Input("dtype", options=["fp32", "fp16", "bf16"], default="fp32",
                               tooltip="fp16 or bf16 on a GPU: half the memory."),
            ],
            outputs=[EditorType.Output("EDITOR", display_name="editor")],
        )  # fmt: skip

    @classmethod
    def fingerprint_inputs(cls, model, lora, dtype):
        return f"{model} {lora} {dtype} {editing.newest(model, lora)}"

    @classmethod
    def execute(cls, model, lora, dtype) -> io.NodeOutput:
        return io.NodeOutput(editing.load(model, lora, dtype, comfy.model_management.get_torch_device()))


class Edit(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="UIP2PEdit",
            display_name="UIP2P Edit",
            category=CATEGORY,
            description="Edits pictures by an instruction. They keep their size; any size goes in.",
            inputs=[*edit_inputs(), *sampling_inputs()],
            outputs=[io.Image.Output("IMAGE", display_name="edited")],
        )

    @classmethod
    def execute(cls, editor, image, instruction, **widgets) -> io.NodeOutput:
        return io.NodeOutput(editing.edit(editor, image, instruction, editing.Sampling(**widgets), tell()))


class Reversibility(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        worked_out = "Empty: worked out from the instruction, where it is one of the miniature world's."
        each = {"is_output_list": True}  # one a picture
        return io.Schema(
            node_id="UIP2PReversibility",
            display_name="UIP2P Reversibility",
            category=CATEGORY,
            description="Edits, undoes the edit by its reverse, and says how well the picture came back. Of several "
            "candidates it keeps the best.",
            inputs=[
                *edit_inputs(),
                *sampling_inputs(),
                io.Int.Input("best_of", default=1, min=1, max=64, tooltip="Candidates, of seeds seed, seed + 1, …"),
                io.String.Input("reverse", default="", optional=True, tooltip=f"What undoes it. {worked_out}"),
                io.String.Input("caption", default="", optional=True,
                                tooltip=f"What the picture shows before. {worked_out}"),
                io.String.Input("edited_caption", default="", optional=True,
                                tooltip=f"What it shows after. {worked_out}"),
                io.String.Input("clip", default="", optional=True,
                                tooltip="The encoder that compares: a CLIPModel folder or hub id. Empty: a shipped "
                                "model's own."),
            ],
            outputs=[
                io.Image.Output("EDITED", display_name="edited"),
                io.Image.Output("REVERSED", display_name="reversed"),
                io.Float.Output("SCORE", display_name="score", tooltip="direction × reversibility, 0 to 1", **each),
                io.Float.Output("BACK", display_name="reversibility", tooltip="1: the picture came back whole", **each),
                io.Float.Output("DIRECTION", display_name="direction",
                                tooltip="Whether the picture moved as the words did, -1 to 1", **each),
                io.String.Output("SUMMARY", display_name="summary", **each),
            ],
        )  # fmt: skip

    @classmethod
    def execute(
        cls, editor, image, instruction, seed, steps, guidance_scale, image_guidance_scale, **words
    ) -> io.NodeOutput:
        sampling = editing.Sampling(steps, guidance_scale, image_guidance_scale, seed)
        edited, undone, made = editing.edit_checked(editor, image, instruction, sampling, tell(), **words)
        checks = [one.check for one in made]
        return io.NodeOutput(
            edited, undone, [check.score for check in checks], [check.reversibility for check in checks],
            [check.direction for check in checks], [editing.summary(one) for one in made],
        )  # fmt: skip


class Extension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [LoadEditor, Edit, Reversibility]


async def comfy_entrypoint() -> Extension:
    return Extension()
