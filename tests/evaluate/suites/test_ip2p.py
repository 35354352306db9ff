"""InstructPix2Pix's curve: its samples, its two axes, the quirk of its script, and a run."""

import json
import math
import shutil
from argparse import Namespace

import numpy as np
import pytest
import torch
from PIL import Image

from uip2p.errors import UserError
from uip2p.evaluate.asking import open_picture
from uip2p.evaluate.editors import open_editor
from uip2p.evaluate.suites import ip2p
from uip2p.models.clip import load_clip


def arguments(folder, judge, **more):
    return Namespace(**{"data": folder, "size": 64, "samples": 6, "clip": str(judge), "split": "test", **more})


def as_the_script_chooses(folder, split, size, count):
    """What its description says, with torch's global stream as there: seeds.json is cut at 90 and 95 %; seed 0; a
    permutation; of each prompt a picture by chance; a resize drawn from [size, size + 1)."""
    prompts = json.loads((folder / "seeds.json").read_text())
    ends = {"train": (0.0, 0.9), "val": (0.9, 0.9 + 0.05), "test": (0.9 + 0.05, 1.0)}[split]
    prompts = prompts[math.floor(ends[0] * len(prompts)) : math.floor(ends[1] * len(prompts))]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        permutation, keys = torch.randperm(len(prompts)), []
        for place in permutation[:count]:
            name, seeds = prompts[place.item()]
            keys.append(f"{name}/{seeds[torch.randint(0, len(seeds), ()).item()]}")
            torch.randint(size, size + 1, ())
    return keys


def test_the_samples_are_the_published_choice(ip2p_folder, judge):
    suite = ip2p.build(arguments(ip2p_folder, judge))
    assert [session.name for session in suite.sessions()] == as_the_script_chooses(ip2p_folder, "test", 512, 6)
    fewer = ip2p.build(arguments(ip2p_folder, judge, samples=4))
    assert fewer.asked == suite.asked[:4]


@pytest.mark.parametrize(("prompts", "count"), [(4_010, 150), pytest.param(313_010, 5000, marks=pytest.mark.slow)])
def test_the_choice_among_many_prompts_with_one_to_four_pictures(tmp_path, prompts, count):
    """313,010 is what the data set has; its test split is 15,651."""
    counts = [1 + (7 * number) % 4 for number in range(prompts)]
    seeds = [[f"{number:07d}", [str(i) for i in range(count)]] for number, count in enumerate(counts)]
    (tmp_path / "seeds.json").write_text(json.dumps(seeds))
    captions = ip2p.Ip2pCaptions(tmp_path, "test")
    assert len(captions.blocks) == {4_010: 201, 313_010: 15_651}[prompts]
    rows = ip2p.published_rows(captions.blocks, 0, count, "there")
    keys = [captions.name(row).removesuffix("_0.jpg") for row in rows]
    assert keys == as_the_script_chooses(tmp_path, "test", 512, count)
    assert len({key.partition("/")[0] for key in keys}) == count


def test_what_is_asked(ip2p_folder, judge):
    suite = ip2p.build(arguments(ip2p_folder, judge))
    (turn,) = suite.sessions()[0].turns
    texts = json.loads((ip2p_folder / turn.key.partition("/")[0] / "prompt.json").read_text())
    assert (turn.caption, turn.instruction, turn.edited_caption) == (texts["input"], texts["edit"], texts["output"])
    assert turn.source == ip2p_folder / f"{turn.key}_0.jpg" and turn.target is None
    assert suite.sampling.steps == 100 and suite.sampling.guidance_scale == 7.5
    assert suite.scales == pytest.approx([1 + i / 5 for i in range(7)])
    assert "ground truth" not in suite.baselines


def test_a_picture_of_another_size_is_squeezed_to_a_square(tmp_path, photo):
    photo.save(tmp_path / "photo.png")
    squeezed = open_picture(ip2p.squeezed(tmp_path / "photo.png", 32))
    assert np.array_equal(squeezed, photo.resize((32, 32), Image.Resampling.LANCZOS))
    squeezed.save(tmp_path / "square.png")
    assert ip2p.squeezed(tmp_path / "square.png", 32) == tmp_path / "square.png"
    assert ip2p.squeezed(tmp_path / "photo.png", None) == tmp_path / "photo.png"


@pytest.fixture(scope="session")
def quirky(ip2p_folder, judge):
    return ip2p.build(arguments(ip2p_folder, judge, range_quirk=True))


def embedded(judge, pictures, low):
    """E by hand: [0, 1] where low is 0, [−1, 1] where it is −1; resized by torch; CLIP's mean and deviation."""
    clip = load_clip(judge)
    pixels = torch.stack([torch.from_numpy(np.array(picture)).permute(2, 0, 1) / 255 for picture in pictures])
    pixels = pixels * (1 - low) + low
    side = clip.image_size
    pixels = torch.nn.functional.interpolate(pixels, (side, side), mode="bicubic", align_corners=False)
    states = clip.model.vision_model(pixel_values=(pixels - clip.mean) / clip.std).pooler_output
    return torch.nn.functional.normalize(clip.model.visual_projection(states), dim=-1).detach().double().numpy()


def test_both_axes_by_hand_with_and_without_the_quirk(quirky, judge):
    turns = [session.turns[0] for session in quirky.sessions()]
    sources = [open_picture(turn.source) for turn in turns]
    outputs = sources[1:] + sources[:1]
    found = quirky.figures(turns, outputs)
    texts = load_clip(judge).embed_texts([t.caption for t in turns] + [t.edited_caption for t in turns])
    before, after = texts.detach().double().numpy().reshape(2, len(turns), -1)
    for end, low in (("", 0), ("_quirk", -1)):
        source, output = embedded(judge, sources, low), embedded(judge, outputs, low)
        for i, figures in enumerate(found):
            moved, meant = output[i] - source[i], after[i] - before[i]
            cosine = moved @ meant / np.linalg.norm(moved) / np.linalg.norm(meant)
            assert figures["direction" + end] == pytest.approx(cosine, abs=1e-4)
            assert figures["image_similarity" + end] == pytest.approx(source[i] @ output[i], abs=1e-5)
    gaps = [abs(figures["image_similarity"] - figures["image_similarity_quirk"]) for figures in found]
    assert max(gaps) > 1e-3  # so the two are told apart at all


def test_a_copy_has_no_direction_and_all_similarity(quirky):
    turns = [session.turns[0] for session in quirky.sessions()]
    for figures in quirky.figures(turns, [open_picture(turn.source) for turn in turns]):
        assert figures["direction"] == figures["direction_quirk"] == 0
        assert figures["image_similarity"] == pytest.approx(1) and figures["image_similarity_quirk"] == pytest.approx(1)


def test_the_figures_say_what_they_were_measured_with(quirky, ip2p_folder, judge):
    measured = quirky.measured()
    assert set(measured) == {"direction", "image_similarity", "direction_quirk", "image_similarity_quirk"}
    assert measured["direction"]["crop"] == "none" and measured["direction"]["captions"] == "prompt.json"
    assert measured["direction"]["range"] != measured["direction_quirk"]["range"]
    assert set(ip2p.build(arguments(ip2p_folder, judge)).measured()) == {"direction", "image_similarity"}


def test_a_run_draws_the_curve(ip2p_folder, judge, world_model, run_suite):
    suite = ip2p.build(arguments(ip2p_folder, judge, scales=[3.0, 1.0]))
    run = run_suite(suite, [f"tiny={world_model}"], steps=2, size=32)
    rows = {row["name"]: row for row in run.info["rows"]}
    assert list(rows) == ["copy-input", "round trip", "tiny, s_I 1", "tiny, s_I 3"]
    assert [row["x"] for row in rows.values()] == [None, None, 1.0, 3.0]
    sampling = [row["editor"]["sampling"] for row in rows.values() if not row["baseline"]]
    assert [each["image_guidance_scale"] for each in sampling] == [1.0, 3.0]
    assert all(each["guidance_scale"] == 7.5 and each["steps"] == 2 for each in sampling)
    summary = run.info["summary"]["single-turn"]
    assert summary["copy-input"]["direction"]["mean"] == 0
    assert summary["tiny, s_I 1"]["image_similarity"]["mean"] != summary["tiny, s_I 3"]["image_similarity"]["mean"]
    assert run.info["metrics"]["direction"]["resize"].endswith("without antialiasing, float")

    table = (run.folder / "trade-off.md").read_text()
    assert "| *InstructPix2Pix, the end that keeps most (published, digitised)* | – | 0.048 | 0.950 |" in table
    mean = summary["tiny, s_I 3"]["image_similarity"]["mean"]
    assert any(line.startswith("| tiny | 3 |") and f"{mean:.3f}" in line for line in table.splitlines())
    assert Image.open(run.folder / "trade-off.png").width > 500


def test_an_editor_that_cannot_be_told_its_image_guidance(ip2p_folder, judge):
    made_elsewhere = open_editor(f"outputs=folder:{ip2p_folder}")
    with pytest.raises(UserError, match="outputs: its image_guidance_scale cannot be set"):
        ip2p.build(arguments(ip2p_folder, judge)).rows([made_elsewhere])


def test_mistakes(ip2p_folder, judge, tmp_path):
    with pytest.raises(UserError, match="has 6 prompts, and 5000 samples are asked for"):
        ip2p.build(arguments(ip2p_folder, judge, samples=5000))
    with pytest.raises(UserError, match="--data"):
        ip2p.build(Namespace())
    with pytest.raises(UserError, match="--scales"):
        ip2p.build(arguments(ip2p_folder, judge, scales=[1.0, 1.0]))
    with pytest.raises(UserError, match="Give its values as --scales"):
        ip2p.build(arguments(ip2p_folder, judge, image_guidance=1.5))
    with pytest.raises(UserError, match="no split 'validation'"):
        ip2p.build(arguments(ip2p_folder, judge, split="validation"))
    copy = shutil.copytree(ip2p_folder, tmp_path / "copy")
    name = json.loads((copy / "seeds.json").read_text())[-1][0]
    (copy / name / "prompt.json").write_text(json.dumps({"input": "a cat", "edit": "", "output": "a dog"}))
    with pytest.raises(UserError, match=rf"{name}/prompt.json: must have the fields edit and output"):
        ip2p.build(arguments(copy, judge))
