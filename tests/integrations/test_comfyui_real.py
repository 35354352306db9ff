"""The nodes and the single file in a real ComfyUI, which $COMFYUI names (docs/integrations.md)."""

import json
import os
import subprocess
import time
from pathlib import Path

import comfyui_facts
import numpy as np
import pytest
import torch
from comfyui_double import load_pack
from comfyui_life import FOLDER, PYTHON, WORKFLOWS, needs_comfyui, running
from full_shapes import full_size, random_sd15
from PIL import Image

from uip2p.editing.editor import Editor
from uip2p.models.single_file import save_single_file
from uip2p.scenes.answers import answer
from uip2p.scenes.world import World

pytestmark = [pytest.mark.slow, needs_comfyui]
FACTS = json.loads(Path(comfyui_facts.__file__).with_suffix(".json").read_text())
# Stable Diffusion 1.5 as ComfyUI knows it by its tensors, with half of the UNet's levels.
SMALL = {
    "cross_attention_dim": 768, "attention_head_dim": 8, "block_out_channels": (320, 640), "layers_per_block": 1,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"), "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}  # fmt: skip
EDIT = World(3, "test").edit(0, "color")  # change the orange tree to pink


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """(ComfyUI, its base folder, the parts of the checkpoint that lies there, the picture)."""
    base = tmp_path_factory.mktemp("comfyui")
    (base / "models" / "checkpoints").mkdir(parents=True)
    (base / "input").mkdir()
    parts = random_sd15(Path(FOLDER) / "comfy" / "sd1_tokenizer", SMALL)
    save_single_file(parts, base / "models" / "checkpoints" / "editor.safetensors", torch.float32, {})
    picture = Image.fromarray(answer(EDIT, 64).source)
    picture.save(base / "input" / "example.png")
    with running(base) as comfyui:
        yield comfyui, base, parts, picture


def workflow(name: str, **changes) -> dict:
    """changes: node number and input → value, such as n3_seed=1."""
    nodes = json.loads((WORKFLOWS / name).read_text())
    for place, value in changes.items():
        number, _, field = place[1:].partition("_")
        nodes[number]["inputs"][field] = value
    return nodes


def saved(base: Path, result: dict, node: str) -> np.ndarray:
    assert result["status"] == "success", result["said"]
    return np.asarray(Image.open(base / "output" / result["outputs"][node]["images"][0]["filename"]).convert("RGB"))


def test_the_double_is_what_comfyui_is():
    run = subprocess.run([PYTHON, comfyui_facts.__file__], cwd=FOLDER, capture_output=True, text=True,
                         env=os.environ | {"CUDA_VISIBLE_DEVICES": ""})  # fmt: skip
    found = json.loads(run.stdout)
    if found["version"] == FACTS["version"]:
        assert found == FACTS
    for name, kind in FACTS["types"].items():  # another version may have more, not less
        for side in ("Input", "Output"):
            assert set(kind[side]) <= set(found["types"][name][side]), name
    assert set(FACTS["Schema"]) <= set(found["Schema"])


def test_our_nodes_are_described_as_by_the_double(started, monkeypatch):
    comfyui, *_ = started
    pack = load_pack(monkeypatch, FACTS)
    for node in pack.node_list():
        theirs = comfyui.call(f"/object_info/{node.GET_SCHEMA().node_id}")[node.GET_SCHEMA().node_id]
        ours = node.GET_NODE_INFO_V1()
        for group in theirs["input"].values():
            for _, options in group.values():
                for name in ("multiselect", "multiline"):  # ComfyUI says it of each, we where it is true
                    if options.get(name) is False:
                        del options[name]
        assert {key: theirs[key] for key in ours} == ours


def test_an_edit_is_what_the_editor_makes(started):
    comfyui, base, _, picture = started
    result = comfyui.result(comfyui.queue(workflow("uip2p_edit.json", n3_instruction=EDIT.instruction)))
    ours = Editor.from_pretrained("mini")(picture, EDIT.instruction)
    assert np.abs(saved(base, result, "4").astype(int) - np.asarray(ours)).max() <= 1


def test_an_edit_is_undone_and_scored(started):
    comfyui, base, *_ = started
    result = comfyui.result(comfyui.queue(workflow("uip2p_reversibility.json", n3_instruction=EDIT.instruction)))
    assert saved(base, result, "5").shape == saved(base, result, "4").shape == (64, 64, 3)
    assert "undone by" in result["outputs"]["6"]["text"][0]


def test_a_fault_is_one_sentence(started):
    comfyui, *_ = started
    result = comfyui.result(comfyui.queue(workflow("uip2p_edit.json", n3_instruction="make the helicopter blue")))
    assert result["status"] == "error"
    assert result["said"][0]["exception_message"].startswith("'helicopter' is not a word that the model 'mini' knows")


def test_it_stops_between_steps(started):
    comfyui, *_ = started
    job = comfyui.queue(workflow("uip2p_edit.json", n3_instruction=EDIT.instruction, n3_steps=1000))
    time.sleep(3)
    began = time.monotonic()
    comfyui.call("/interrupt", {})
    result = comfyui.result(job, 30)
    assert result["said"] and result["said"][0]["node_type"] == "UIP2PEdit" and time.monotonic() - began < 5


def test_the_single_file_is_the_same_editor_in_the_stock_nodes(started):
    """Same noise, same timesteps, both scales: to the last bits of the picture, and another instruction is another."""
    comfyui, base, parts, picture = started
    made = {}
    for text in ("make the car blue", "turn the whole sky into a sea of green glass"):
        result = comfyui.result(comfyui.queue(workflow("stock_instruct_pix2pix.json", n3_text=text, n9_steps=6)))
        made[text] = saved(base, result, "12").astype(int)
        ours = np.asarray(Editor(parts)(
            picture, text, steps=6, guidance_scale=7.5, image_guidance_scale=1.5, scheduler="euler", residual=False,
        ))  # fmt: skip
        difference = np.abs(made[text] - ours)
        print("difference of 255: mean", difference.mean(), "most", difference.max())
        assert difference.max() <= 2
    one, other = made.values()
    assert np.abs(one - other).max() > 20


DETECT = """
import json, sys, torch
shapes, sys.argv, out = json.load(sys.stdin), [sys.argv[0], "--cpu"], sys.stdout
sys.path.insert(0, "."); sys.stdout = sys.stderr
import comfy.options; comfy.options.enable_args_parsing()
from comfy import model_detection
tensors = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
found = model_detection.model_config_from_unet(tensors, model_detection.unet_prefix_from_state_dict(tensors))
text = found.process_clip_state_dict(dict(tensors))
print(type(found).__name__, found.model_type(tensors).name, len(text), file=out)
"""


@pytest.mark.parametrize(("kind", "names", "expected"), [
    ("sd15", [], "SD15_instructpix2pix EPS"),
    ("sdxl", [], "SDXL_instructpix2pix EPS"),
    ("sdxl", ["v_pred"], "SDXL_instructpix2pix V_PREDICTION"),
])  # fmt: skip
def test_comfyui_knows_an_editor_of_full_size(kind, names, expected):
    shapes = {**full_size(kind), **{name: (0,) for name in names}}
    text = sum(name.startswith(("cond_stage_model.", "conditioner.")) for name in shapes)
    run = subprocess.run([PYTHON, "-c", DETECT], cwd=FOLDER, input=json.dumps(shapes), capture_output=True, text=True)
    assert run.stdout.strip().startswith(expected), run.stderr[-2000:]
    assert int(run.stdout.split()[-1]) >= text, "no text encoder's tensor is lost"
