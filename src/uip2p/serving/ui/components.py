"""Gradio's components as this page wants them: no picture goes through the disk, and fields explain themselves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uip2p.serving.ui.desk import Desk
from uip2p.serving.web import component_meta, gr

component_meta.create_or_modify_pyi = lambda *_: None  # it would write a file of types beside this one


class Upload(gr.Image):
    """Gives the path of what was uploaded, unopened: Gradio's own way decodes whatever comes."""

    is_template = True

    def preprocess(self, payload: Any) -> Any:  # a path, or None
        return Path(payload.path) if payload is not None and payload.path else None


class Compare(gr.ImageSlider):
    """Before and after, from two data URIs."""

    is_template = True

    def postprocess(self, value: Any) -> Any:  # two data URIs, or None
        from gradio.components.imageslider import SliderData
        from gradio.data_classes import ImageData

        return None if value is None else SliderData(root=(ImageData(url=value[0]), ImageData(url=value[1])))


def upload() -> Upload:
    return Upload(
        label="Your picture", sources=["upload", "webcam", "clipboard"], height=300, elem_id="u-upload", buttons=[],
        placeholder="Drop a picture here, paste one, or click to choose: PNG, JPEG or WebP",
        webcam_options=gr.WebcamOptions(mirror=False),
    )  # fmt: skip


def compare() -> Compare:
    return Compare(
        label="Before and after", show_label=False, visible=False, interactive=False, buttons=["fullscreen"],
        max_height=440, elem_id="u-compare",
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fields:
    """inputs: in the order of `desk.Asked` after the instruction."""

    inputs: list[Any]
    seed: Any


def fields(desk: Desk) -> Fields:
    """What else can be said of an edit, with the model's defaults."""
    settings, limits = desk.settings, desk.service.limits
    most = min(limits.steps, desk.parts.scheduler.config.num_train_timesteps)
    with gr.Accordion("More settings", open=False, elem_id="u-more"):
        count = gr.Slider(
            1, limits.count, 1, step=1, label="How many tries", elem_id="u-count",
            info="Made at once and shown side by side; the best by its score is taken first.",
        )  # fmt: skip
        steps = gr.Slider(
            1, most, min(settings.steps, most), step=1, label="Steps", elem_id="u-steps",
            info=f"More take longer and draw finer, up to a point. This model's own: {settings.steps}.",
        )  # fmt: skip
        guidance = gr.Slider(
            0, max(5.0, 2 * settings.guidance_scale), settings.guidance_scale, step=0.1, label="Follow the words",
            info=f"Higher changes more (text guidance). This model's own: {settings.guidance_scale:g}.",
        )  # fmt: skip
        image_guidance = gr.Slider(
            0, max(5.0, 2 * settings.image_guidance_scale), settings.image_guidance_scale, step=0.1,
            label="Keep the picture",
            info=f"Higher stays closer (image guidance). This model's own: {settings.image_guidance_scale:g}.",
        )  # fmt: skip
        with gr.Row():
            seed = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=2**53 - 1, min_width=140,
                             info="A number to draw by: the same one makes the same picture.")  # fmt: skip
            any_seed = gr.Checkbox(False, label="Another each time", info="Draws a seed.", min_width=140)
        attention = gr.Checkbox(
            desk.no_attention is None, label="Show where it looked", interactive=desk.no_attention is None,
            info=sentence(desk.no_attention) or "Word by word, after the edit.",
        )  # fmt: skip
        check = gr.Checkbox(
            desk.no_check is None, label="Check each result by its reverse", interactive=desk.no_check is None,
            info=sentence(desk.no_check) or "Undoes the edit again and scores what comes back. Takes twice the time.",
            elem_id="u-check",
        )  # fmt: skip
        can = desk.no_check is None
        reverse = gr.Textbox(label="Reverse instruction", visible=can, max_length=500, placeholder="make the bus white",
                             info="What undoes the edit. Empty: worked out by the grammar, where it can.")  # fmt: skip
        caption = gr.Textbox(label="What the picture shows", visible=can, max_length=500,
                             placeholder="a white bus by a lake", info="Then nothing has to be guessed.")  # fmt: skip
        after = gr.Textbox(label="What it shall show", visible=can, max_length=500, placeholder="a red bus by a lake",
                           info="The caption after the edit.")  # fmt: skip
    return Fields(
        [count, seed, any_seed, steps, guidance, image_guidance, check, attention, reverse, caption, after], seed
    )


def sentence(text: str | None) -> str | None:
    """Beginning as one."""
    return text and text[:1].upper() + text[1:]
