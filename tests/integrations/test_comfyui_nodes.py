"""The node pack against ComfyUI's interface, with the shipped editor; in ComfyUI itself: test_comfyui_real.py."""

import json
import os
import shutil
import tomllib
from pathlib import Path

import comfyui_facts
import numpy as np
import pytest
import torch
from comfyui_double import PACK, Interrupted, ProgressBar, load_pack
from PIL import Image

from uip2p.editing.editor import Editor
from uip2p.errors import UserError
from uip2p.scenes.answers import answer
from uip2p.scenes.world import World

FACTS = json.loads(Path(comfyui_facts.__file__).with_suffix(".json").read_text())
EDIT = World(3, "test").edit(0, "color")  # change the orange tree to pink
OWN = {"seed": 0, "steps": 0, "guidance_scale": -1.0, "image_guidance_scale": -1.0}


@pytest.fixture
def pack(monkeypatch):
    return load_pack(monkeypatch, FACTS)


@pytest.fixture
def nodes(pack):
    """The nodes by their id."""
    return {node.GET_SCHEMA().node_id: node for node in pack.node_list()}


@pytest.fixture(scope="module")
def editor():
    return Editor.from_pretrained("mini")


@pytest.fixture(scope="module")
def source() -> np.ndarray:
    return answer(EDIT, 64).source


def image(*pictures: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack(pictures)).float() / 255


def bytes_of(made: torch.Tensor) -> np.ndarray:
    assert made.dtype == torch.float32 and made.ndim == 4 and made.min() >= 0 and made.max() <= 1
    return (made * 255).round().to(torch.uint8).numpy()


# ---- what the page shows -------------------------------------------------------------------------


def test_three_nodes_with_a_word_for_every_widget(pack):
    infos = [node.GET_NODE_INFO_V1() for node in pack.node_list()]
    assert [info["name"] for info in infos] == ["UIP2PLoadEditor", "UIP2PEdit", "UIP2PReversibility"]
    for info in infos:
        for group in info["input"].values():
            for name, (kind, options) in group.items():
                assert options.get("tooltip") or name in ("editor", "image"), name
                assert "default" in options or kind in ("IMAGE", "UIP2P_EDITOR"), name


def test_the_double_refuses_what_comfyui_refuses(pack):
    io = pack.nodes.io
    with pytest.raises(TypeError):
        io.Int.Input("seed", minimum=0)
    with pytest.raises(TypeError):
        io.Schema(node_id="x", title="x")


def test_the_widgets_are_what_the_nodes_run_with(nodes, editor, source):
    for name, node in nodes.items():
        ids = [one.id for one in node.GET_SCHEMA().inputs]
        with pytest.raises(TypeError):
            node.execute(**dict.fromkeys(ids), another=1)
        assert len(ids) == len(set(ids)), name


# ---- what they do --------------------------------------------------------------------------------


def test_an_edit_is_the_editors_own(nodes, editor, source):
    (made,) = nodes["UIP2PEdit"].execute(editor, image(source), EDIT.instruction, **OWN).args
    assert np.array_equal(bytes_of(made)[0], np.asarray(editor(Image.fromarray(source), EDIT.instruction)))
    assert [shown[:2] for shown in ProgressBar.shown] == [(1, 2), (2, 2)], "two steps, of the model's own two"


def test_load_reads_the_real_model_and_says_what_is_not_there(pack):
    load = pack.node_list()[0]
    (editor,) = load.execute(" mini ", "", "fp32").args
    assert isinstance(editor, Editor) and editor.parts.loaded["dtype"] == "fp32"
    with pytest.raises(UserError, match="nothing: there is no such model"):
        load.execute("nothing", "", "fp32")
    with pytest.raises(UserError, match="there is no LoRA"):
        load.execute("mini", "nothing.safetensors", "fp32")


def test_a_batch_has_seeds_one_after_the_other(nodes, editor, source):
    widgets = {**OWN, "seed": 7, "steps": 1, "guidance_scale": 2.0, "image_guidance_scale": 1.5}
    (made,) = nodes["UIP2PEdit"].execute(editor, image(*[source] * 9), EDIT.instruction, **widgets).args
    assert len(made) == 9 and [shown[:2] for shown in ProgressBar.shown] == [(1, 2), (2, 2)], "batches of 8 and 1"
    last = editor(Image.fromarray(source), EDIT.instruction, seed=15, steps=1, guidance_scale=2.0,
                  image_guidance_scale=1.5)  # fmt: skip
    assert np.abs(bytes_of(made)[8].astype(int) - np.asarray(last)).max() <= 1
    assert not np.array_equal(bytes_of(made)[0], bytes_of(made)[8])


def test_pictures_keep_their_size(nodes, editor):
    large = np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8)
    (made,) = nodes["UIP2PEdit"].execute(editor, image(large), EDIT.instruction, **OWN).args
    assert made.shape == (1, 70, 90, 3)


def test_an_edit_is_undone_and_scored(nodes, editor, source):
    node = nodes["UIP2PReversibility"]
    edited, undone, score, back, direction, said = node.execute(
        editor, image(source), EDIT.instruction, **OWN, best_of=2, caption=EDIT.caption,
        edited_caption=EDIT.edited_caption, reverse=EDIT.reverse_instruction,
    ).args  # fmt: skip
    (own,) = editor.edit(Image.fromarray(source), EDIT.instruction, best_of=2, caption=EDIT.caption,
                         edited_caption=EDIT.edited_caption, reverse=EDIT.reverse_instruction)  # fmt: skip
    assert (score, back, direction) == ([own.check.score], [own.check.reversibility], [own.check.direction])
    assert np.array_equal(bytes_of(edited)[0], np.asarray(own.image))
    assert np.array_equal(bytes_of(undone)[0], np.asarray(own.check.reversed))
    assert f"seed {own.seed}: score {own.check.score:.3f}" in said[0] and EDIT.reverse_instruction in said[0]
    assert [shown[:2] for shown in ProgressBar.shown] == [(k, 4) for k in (1, 2, 3, 4)], "there and back"
    lists = [bool(one.given.get("is_output_list")) for one in node.GET_SCHEMA().outputs]
    assert lists == [False, False, True, True, True, True]


def test_the_button_stops_it_between_steps(nodes, editor, source):
    ProgressBar.stop_at = 3
    with pytest.raises(Interrupted):
        nodes["UIP2PEdit"].execute(editor, image(source), EDIT.instruction, **{**OWN, "steps": 50})
    assert len(ProgressBar.shown) == 3


def test_a_fault_is_a_sentence(nodes, editor, source):
    with pytest.raises(UserError, match="'helicopter' is not a word that the model 'mini' knows"):
        nodes["UIP2PEdit"].execute(editor, image(source), "make the helicopter blue", **OWN)
    with pytest.raises(UserError, match=r"NaN"):
        nodes["UIP2PEdit"].execute(editor, image(source) * float("nan"), EDIT.instruction, **OWN)
    with pytest.raises(UserError, match=r"the image is \[64, 64, 3\], and has to be"):
        nodes["UIP2PEdit"].execute(editor, image(source)[0], EDIT.instruction, **OWN)


def test_grey_and_transparent_pictures_are_taken(pack):
    half = torch.zeros(1, 2, 2, 4)
    half[..., 0], half[..., 3] = 1, 0.5
    (flat,) = pack.editing.to_pictures(half)
    assert np.abs(np.asarray(flat).astype(int) - (255, 127, 127)).max() <= 1, "over white"
    (grey,) = pack.editing.to_pictures(torch.full((1, 2, 2, 1), 0.2))
    assert np.asarray(grey).tolist() == [[[51] * 3] * 2] * 2


def test_a_model_that_was_trained_on_is_loaded_anew(pack, tiny_folder, tmp_path):
    load = pack.node_list()[0]
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "model"))
    before = load.fingerprint_inputs(str(folder), "", "fp32")
    assert before == load.fingerprint_inputs(str(folder), "", "fp32")
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    os.utime(file, (file.stat().st_atime, file.stat().st_mtime + 10))
    assert before != load.fingerprint_inputs(str(folder), "", "fp32")
    assert load.fingerprint_inputs("mini", "", "fp32") == load.fingerprint_inputs("mini", "", "fp32")


# ---- the workflows -------------------------------------------------------------------------------


def known_nodes(pack) -> dict:
    ours = {}
    for node in pack.node_list():
        info = node.GET_NODE_INFO_V1()
        groups = {group: {name: kind for name, (kind, _) in inputs.items()} for group, inputs in info["input"].items()}
        ours[info["name"]] = {"optional": {}, **groups, "output": info["output"]}
    return {**FACTS["stock"], **ours}


@pytest.mark.parametrize("file", sorted((PACK / "api_workflows").glob("*.json")), ids=lambda file: file.stem)
def test_a_workflow_fits_its_nodes(pack, file):
    workflow, nodes = json.loads(file.read_text()), known_nodes(pack)
    assert len(workflow) >= 4
    for node in workflow.values():
        known = nodes[node["class_type"]]
        inputs = {**known["required"], **known["optional"]}
        assert known["required"].keys() <= node["inputs"].keys() <= inputs.keys(), node["class_type"]
        for name, value in node["inputs"].items():
            if isinstance(value, list):
                kind = nodes[workflow[value[0]]["class_type"]]["output"][value[1]]
                assert inputs[name] in (kind, "*"), f"{node['class_type']}.{name} is {inputs[name]}, and gets {kind}"
            else:
                python = {"INT": int, "FLOAT": float, "STRING": str, "COMBO": str}[inputs[name]]
                assert type(value) is python, f"{node['class_type']}.{name}"


def test_the_widgets_of_a_workflow_are_in_their_ranges(pack):
    infos = {node.GET_SCHEMA().node_id: node.GET_NODE_INFO_V1()["input"] for node in pack.node_list()}
    for file in (PACK / "api_workflows").glob("uip2p_*.json"):
        for node in json.loads(file.read_text()).values():
            inputs = infos.get(node["class_type"], {})
            for name, (_, options) in {**inputs.get("required", {}), **inputs.get("optional", {})}.items():
                value = node["inputs"][name]
                assert value in options.get("options", [value])
                assert "min" not in options or options["min"] <= value <= options["max"]


def test_the_pack_says_what_the_registry_asks():
    said = tomllib.loads((PACK / "pyproject.toml").read_text())
    assert {"name", "version", "description", "license", "dependencies"} <= said["project"].keys()
    assert said["project"]["dependencies"] == (PACK / "requirements.txt").read_text().split()
    assert {"PublisherId", "DisplayName", "requires-comfyui"} <= said["tool"]["comfy"].keys()
    assert said["tool"]["comfy"]["requires-comfyui"] == f">={FACTS['version']}"


@pytest.mark.parametrize("file", sorted((PACK / "example_workflows").glob("*.json")), ids=lambda file: file.stem)
def test_what_the_page_offers_is_what_programs_send(file):
    """ComfyUI's page saves a workflow with the places of its nodes, programs send the nodes alone: here both."""
    drawn, sent = json.loads(file.read_text()), json.loads((PACK / "api_workflows" / file.name).read_text())
    nodes = {str(node["id"]): node for node in drawn["nodes"]}
    assert {number: node["type"] for number, node in nodes.items()} == {n: one["class_type"] for n, one in sent.items()}
    links = {
        (str(to), nodes[str(to)]["inputs"][at]["name"]): [str(out), slot] for _, out, slot, to, at, _ in drawn["links"]
    }
    for number, node in sent.items():
        for name, value in node["inputs"].items():
            if isinstance(value, list):
                assert links.pop((number, name)) == value
            else:
                assert value in nodes[number]["widgets_values"]
    assert not links


def test_both_forms_of_every_workflow_are_there():
    drawn, sent = (sorted(file.name for file in (PACK / folder).glob("*.json"))
                   for folder in ("example_workflows", "api_workflows"))  # fmt: skip
    assert drawn == sent and len(sent) == 3
