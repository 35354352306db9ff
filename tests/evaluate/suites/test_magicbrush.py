"""MagicBrush's protocol, on data of its two layouts drawn by the miniature world, where every answer is known."""

import argparse
import io
import json
import re
import shutil
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch
from PIL import Image

from uip2p.errors import UserError
from uip2p.evaluate import metrics
from uip2p.evaluate.asking import Sampling, open_picture
from uip2p.evaluate.running import Runner, Shard
from uip2p.evaluate.runs import load_run
from uip2p.evaluate.suites import Row
from uip2p.evaluate.suites.magicbrush import PUBLISHED, add_arguments, build
from uip2p.scenes.answers import answer
from uip2p.scenes.world import World

TURNS = {"30": 1, "139": 3, "2007": 2}  # in no order that sorting would give
KEYS = {
    "30": ["30/30_1"],
    "139": ["139/139_1", "139/139_iter_2", "139/139_iter_3"],
    "139_inde_2": ["139/139_inde_2"],
    "139_inde_3": ["139/139_inde_3"],
    "2007": ["2007/2007_1", "2007/2007_iter_2"],
    "2007_inde_2": ["2007/2007_inde_2"],
}


@dataclass
class Drawn:
    """What the data says, exactly: img_id → pictures uint8 (the input, then outputs), masks, instructions, captions."""

    pictures: dict[str, list[np.ndarray]]
    masks: dict[str, list[np.ndarray]]
    instructions: dict[str, list[str]]
    global_: dict[str, list[str]]
    local: dict[str, list[str]]


@pytest.fixture(scope="module")
def drawn() -> Drawn:
    world = World(11, "test")
    found = Drawn({}, {}, {}, {}, {})
    for index, (img, turns) in enumerate(TURNS.items()):
        edits = world.session(index, turns)
        answers = [answer(edit) for edit in edits]
        found.pictures[img] = [answers[0].source, *(known.target for known in answers)]
        found.masks[img] = [known.mask for known in answers]
        found.instructions[img] = [edit.instruction for edit in edits]
        found.global_[img] = [edits[0].caption, *(edit.edited_caption for edit in edits)]
        found.local[img] = [f"what edit {number} of {img} made" for number in range(1, turns + 1)]
    return found


def erased(picture: np.ndarray, mask: np.ndarray, times: int) -> Image.Image:
    """A mask as MagicBrush has it: the picture with a transparent hole, in a size of its own."""
    alpha = np.where(mask, 0, 255).astype(np.uint8)
    found = Image.fromarray(np.dstack([picture, alpha]))
    return found.resize((found.width * times, found.height * times), Image.Resampling.NEAREST)


def turns_of(drawn: Drawn, img: str) -> list[dict[str, str]]:
    names = [f"{img}-input.png", *(f"{img}-output{number}.png" for number in range(1, TURNS[img] + 1))]
    return [
        {"input": before, "mask": f"{img}-mask{number}.png", "output": after, "instruction": instruction}
        for number, (before, after, instruction) in enumerate(
            zip(names, names[1:], drawn.instructions[img], strict=False), 1
        )
    ]


def descriptions(drawn: Drawn) -> dict[str, dict[str, dict[str, str]]]:
    return {
        "global_descriptions.json": {
            img: dict(zip([f"{img}-input.png", *(f"{img}-output{k}.png" for k in (1, 2, 3))], texts, strict=False))
            for img, texts in drawn.global_.items()
        },
        "local_descriptions.json": {
            img: {f"{img}-output{k}.png": text for k, text in enumerate(texts, 1)} for img, texts in drawn.local.items()
        },
    }


def write_folder(root: Path, drawn: Drawn, file: str = "edit_sessions.json") -> Path:
    for img, pictures in drawn.pictures.items():
        folder = root / "images" / img
        folder.mkdir(parents=True)
        for number, picture in enumerate(pictures):
            Image.fromarray(picture).save(folder / (f"{img}-output{number}.png" if number else f"{img}-input.png"))
        for number, mask in enumerate(drawn.masks[img], 1):
            erased(pictures[number - 1], mask, number).save(folder / f"{img}-mask{number}.png")
    sessions = {img: turns_of(drawn, img) for img in TURNS}
    found = sessions if file == "edit_sessions.json" else [turn for turns in sessions.values() for turn in turns]
    (root / file).write_text(json.dumps(found))
    for name, texts in descriptions(drawn).items():
        (root / name).write_text(json.dumps(texts))
    return root


def png(picture: Image.Image) -> dict[str, object]:
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return {"bytes": stream.getvalue(), "path": None}


def table(drawn: Drawn) -> list[dict[str, object]]:
    return [
        {"img_id": img, "turn_index": number + 1, "source_img": png(Image.fromarray(drawn.pictures[img][number])),
         "mask_img": png(erased(drawn.pictures[img][number], drawn.masks[img][number], 2)),
         "instruction": drawn.instructions[img][number],
         "target_img": png(Image.fromarray(drawn.pictures[img][number + 1]))}
        for img, turns in TURNS.items() for number in range(turns)
    ]  # fmt: skip


def write_parquet(root: Path, rows: list[dict[str, object]], drawn: Drawn) -> Path:
    (root / "data").mkdir(parents=True)
    for part, some in enumerate((rows[:3], rows[3:])):
        file = root / f"data/dev-0000{part}-of-00002.parquet"
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(some), file, row_group_size=2)
    for name, texts in descriptions(drawn).items():
        (root / name).write_text(json.dumps(texts))
    return root


def suite(data, *options, split="test"):
    parser = argparse.ArgumentParser()
    parser.add_argument("--split", default="test")
    add_arguments(parser)
    return build(parser.parse_args(["--data", str(data), "--split", split, *map(str, options)]))


@pytest.fixture(params=["edit_sessions.json", "edit_turns.json", "parquet"])
def any_layout(request, tmp_path, drawn):
    """→ a function of options that builds the suite on this layout."""
    if request.param == "parquet":
        rows = table(drawn)
        root = write_parquet(tmp_path, [rows[0], rows[3], *rows[1:3], *rows[4:]], drawn)  # turns in any order
        return lambda *options: suite(root, "--captions", root, *options, split="dev")
    root = write_folder(tmp_path / "test", drawn, request.param)
    return lambda *options: suite(root.parent, *options)


def by_key(asked) -> dict[str, object]:
    return {turn.key: turn for session in asked.sessions() for turn in session.turns}


# ---- what is asked ----------------------------------------------------------------------------------------------


def test_every_layout_asks_the_same(any_layout, drawn):
    asked = any_layout()
    found = {session.name: [turn.key for turn in session.turns] for session in asked.sessions()}
    assert found == KEYS
    groups = {key: turn.groups for key, turn in by_key(asked).items()}
    assert groups == {
        "30/30_1": ("single-turn", "multi-turn"),
        "139/139_1": ("single-turn",), "139/139_inde_2": ("single-turn",), "139/139_inde_3": ("single-turn",),
        "139/139_iter_2": (), "139/139_iter_3": ("multi-turn",),
        "2007/2007_1": ("single-turn",), "2007/2007_inde_2": ("single-turn",), "2007/2007_iter_2": ("multi-turn",),
    }  # fmt: skip
    for key, turn in by_key(asked).items():
        img, number = key.split("/")[0], int(key.rpartition("_")[2])
        pictures, masks = drawn.pictures[img], drawn.masks[img]
        chained = "_iter_" in key
        instructions = drawn.instructions[img][0 if chained else number - 1 : number]
        assert turn.instruction == instructions[-1]
        assert turn.about == {"image": img, "instructions": list(instructions)}
        assert np.array_equal(np.asarray(open_picture(turn.target)), pictures[number])
        assert np.array_equal(np.asarray(open_picture(turn.origin())), pictures[0 if chained else number - 1])
        assert (turn.source is None) == chained
        if not chained:
            assert np.array_equal(np.asarray(open_picture(turn.source)), pictures[number - 1])
        expected = np.logical_or.reduce(masks[:number]) if chained else masks[number - 1]
        seen = turn.mask()
        assert seen.dtype == bool and np.array_equal(seen, expected)
        assert turn.edited_caption == drawn.local[img][number - 1]
        assert turn.caption == drawn.global_[img][0 if chained else number - 1]
    assert asked.sampling == Sampling(100, 7.5, 1.5, "euler-ancestral", 512)
    assert (asked.settings["turns"], asked.settings["sessions"]) == (6, 3)
    assert asked.captions == "local_descriptions.json; of sources global_descriptions.json"
    json.dumps(asked.settings)


def test_global_captions(any_layout, drawn):
    asked = any_layout("--captions-kind", "global")
    turns = by_key(asked)
    assert turns["139/139_iter_3"].edited_caption == drawn.global_["139"][3]
    assert turns["139/139_inde_3"].caption == drawn.global_["139"][2]
    assert asked.captions == "global_descriptions.json"
    assert asked.settings["captions"] != any_layout().settings["captions"]


def test_the_first_sessions_only(any_layout, capsys):
    asked = any_layout("--limit", 2)
    assert list(dict.fromkeys(key.split("/")[0] for key in by_key(asked))) == list(TURNS)[:2]
    assert (asked.settings["turns"], asked.settings["sessions"]) == (4, 2)
    told = capsys.readouterr().err
    assert "magicbrush: not the whole test set: 4 turns of 2 sessions; it has 1053 of 535" in told
    assert not asked.published, "they are of the whole"
    assert asked.settings["data"] == any_layout().settings["data"]
    with pytest.raises(UserError, match="--limit is 0: give at least 1"):
        any_layout("--limit", 0)


def test_a_whole_test_set_is_not_complained_about(tmp_path, capsys):
    """535 sessions, 1,053 turns, of one picture."""
    picture = Image.new("RGB", (4, 4), "red")
    picture.save(tmp_path / "red.png")
    turns = [3] * 259 + [1] * 276
    sessions, captions = {}, {}
    for img, count in enumerate(turns):
        names = [f"{img}-input.png", *(f"{img}-output{k}.png" for k in range(1, count + 1))]
        sessions[str(img)] = [{"input": before, "output": after, "instruction": "make it redder"}
                              for before, after in pairwise(names)]  # fmt: skip
        captions[str(img)] = dict.fromkeys(names[1:], "red")
        (tmp_path / f"images/{img}").mkdir(parents=True)
        for name in names:
            (tmp_path / f"images/{img}/{name}").hardlink_to(tmp_path / "red.png")
    (tmp_path / "edit_sessions.json").write_text(json.dumps(sessions))
    (tmp_path / "local_captions.json").write_text(json.dumps(captions))  # as its evaluation's README calls it
    asked = suite(tmp_path)
    told = capsys.readouterr().err
    assert told == "magicbrush: 794 edits start from a picture without a caption: they have no CLIP direction\n"
    assert asked.published == PUBLISHED
    turns = by_key(asked)
    groups = [group for turn in turns.values() for group in turn.groups]
    assert (groups.count("single-turn"), groups.count("multi-turn")) == (1053, 535)
    assert turns["0/0_1"].caption == "" and turns["0/0_1"].mask is None and turns["0/0_inde_2"].caption == "red"
    assert asked.captions == "local_captions.json"


def test_captions_in_the_table_itself(tmp_path, drawn):
    """ImagenHub's copy of the dev split."""
    rows = table(drawn)
    for row in rows:
        img, number = row["img_id"], row["turn_index"]
        row["source_global_caption"], row["target_global_caption"] = drawn.global_[img][number - 1 : number + 1]
        row["target_local_caption"] = drawn.local[img][number - 1]
    root = write_parquet(tmp_path, rows, drawn)
    for kind in ("local", "global"):
        turns = by_key(suite(root, "--captions-kind", kind, split="dev"))
        beside = by_key(suite(root, "--captions", root, "--captions-kind", kind, split="dev"))
        assert {key: (turn.caption, turn.edited_caption) for key, turn in turns.items()} == {
            key: (turn.caption, turn.edited_caption) for key, turn in beside.items()
        }


def test_a_file_of_captions_by_itself(tmp_path, drawn):
    root = write_parquet(tmp_path / "hub", table(drawn), drawn)
    (tmp_path / "mine.json").write_text(json.dumps(descriptions(drawn)["global_descriptions.json"]))
    asked = suite(root / "data/dev-00000-of-00002.parquet", "--captions", tmp_path / "mine.json", "--limit", 1)
    assert by_key(asked)["30/30_1"].edited_caption == drawn.global_["30"][1] and asked.captions == "mine.json"
    assert by_key(asked)["30/30_1"].caption == drawn.global_["30"][0]
    with pytest.raises(UserError, match="is one file: leave --captions-kind away"):
        suite(root, "--captions", tmp_path / "mine.json", "--captions-kind", "local", split="dev")
    with pytest.raises(UserError, match=r"none\.json: there is no such file of captions"):
        suite(root, "--captions", tmp_path / "none.json", split="dev")


def test_a_mask_that_is_white_instead_of_transparent(tmp_path, drawn):
    root = write_folder(tmp_path, drawn)
    mask = drawn.masks["30"][0]
    painted = np.where(mask[..., None], 255, np.minimum(drawn.pictures["30"][0], 240)).astype(np.uint8)
    Image.fromarray(painted).save(root / "images/30/30-mask1.png")
    assert np.array_equal(by_key(suite(root))["30/30_1"].mask(), mask)


def test_settings_tell_data_apart_and_not_places(tmp_path, drawn):
    first = suite(write_folder(tmp_path / "a", drawn)).settings
    moved = Path(shutil.copytree(tmp_path / "a", tmp_path / "b"))
    assert suite(moved).settings == first
    Image.new("RGB", (64, 64)).save(moved / "images/139/139-output2.png")
    assert suite(moved).settings["data"] != first["data"]
    texts = json.loads((tmp_path / "a/local_descriptions.json").read_text())
    texts["30"]["30-output1.png"] = "another"
    (tmp_path / "a/local_descriptions.json").write_text(json.dumps(texts))
    again = suite(tmp_path / "a").settings
    assert again["data"] == first["data"] and again["captions"] != first["captions"]


def test_the_published_rows():
    """A difference and a ratio that the paper's text is about: CC12M's model against InstructPix2Pix."""
    figures = {(row.name, row.group): row.figures for row in PUBLISHED}
    assert len(figures) == 10 and {len(found) for found in figures.values()} == {5}
    ours, theirs = (figures[name, "single-turn"] for name in ("UIP2P, CC12M", "InstructPix2Pix"))
    assert ours["dino"] - theirs["dino"] == pytest.approx(0.1611) and ours["l1"] == 0.0619
    multi = [figures[name, "multi-turn"] for name, group in figures if group == "single-turn"]
    single = [figures[name, "single-turn"] for name, group in figures if group == "single-turn"]
    assert all(many["l1"] > one["l1"] and many["clip_t"] < one["clip_t"]
               for many, one in zip(multi, single, strict=True))  # fmt: skip


# ---- what is wrong with data ------------------------------------------------------------------------------------


def change(root, name, how):
    found = json.loads((root / name).read_text())
    how(found)
    (root / name).write_text(json.dumps(found))


SESSIONS, LOCAL = "edit_sessions.json", "local_descriptions.json"
WRONG = {
    "no picture": (lambda root: (root / "images/139/139-output2.png").unlink(),
                   r"139-output2\.png: is missing; edit_sessions\.json names it for image 139"),
    "no mask": (lambda root: (root / "images/30/30-mask1.png").unlink(), r"30-mask1\.png: is missing"),
    "no caption": (lambda root: change(root, LOCAL, lambda found: found["139"].pop("139-output3.png")),
                   r"local_descriptions\.json: has no caption of 139-output3\.png for image 139"),
    "no captions": (lambda root: (root / LOCAL).unlink(),
                    r"has no captions: local_descriptions\.json or local_captions\.json. Give their file with --capt"),
    "order": (lambda root: change(root, SESSIONS, lambda found: found["139"].reverse()),
              r"edit_sessions\.json: the turns of image 139 are out of order, or one is missing: 139-output2\.png → "),
    "a gap": (lambda root: change(root, SESSIONS, lambda found: found["139"].pop(1)),
              r"the turns of image 139 are out of order, or one is missing: .* where 139-output1 should be edited"),
    "no turns": (lambda root: change(root, SESSIONS, lambda found: found["139"].clear()),
                 "image 139 has no turns"),
    "nothing": (lambda root: (root / SESSIONS).write_text("{}"), "holds no turns"),
    "no instruction": (lambda root: change(root, SESSIONS, lambda found: found["30"][0].update(instruction=" ")),
                       "a turn of image 30 has no instruction"),
    "a number": (lambda root: (root / SESSIONS).write_text('{"1": 5}'), "must hold turns with input, output"),
    "up": (lambda root: change(root, SESSIONS, lambda found: found["30"][0].update(mask="../x.png")),
           r"the name '30/\.\./x\.png' leads out of its folder"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_a_broken_folder(tmp_path, drawn, wrong):
    breaks, message = WRONG[wrong]
    breaks(write_folder(tmp_path, drawn))
    with pytest.raises(UserError, match=message):
        suite(tmp_path)


def test_a_broken_table(tmp_path, drawn):
    rows = table(drawn)
    root = write_parquet(tmp_path / "whole", rows, drawn)
    with pytest.raises(UserError, match=r"has no captions \(a column target_local_caption\).*--captions FILE"):
        suite(root, split="dev")
    with pytest.raises(UserError, match=r"has no test-….parquet file"):
        suite(root, "--captions", root)
    write_parquet(tmp_path / "gap", [rows[0], *rows[2:]], drawn)
    with pytest.raises(UserError, match=r"dev-00000-of-00002\.parquet: image 139 has the turns 2, 3; they have to"):
        suite(tmp_path / "gap", split="dev")
    write_parquet(tmp_path / "up", [rows[0] | {"img_id": "../up"}, *rows[1:]], drawn)
    with pytest.raises(UserError, match=r"the id '\.\./up' cannot be the name of a folder"):
        suite(tmp_path / "up", split="dev")
    damaged = [row | {"target_img": {"bytes": b"no picture", "path": None}} for row in rows]
    write_parquet(tmp_path / "damaged", damaged, drawn)
    asked = suite(tmp_path / "damaged", "--captions", tmp_path / "damaged", split="dev")
    with pytest.raises(UserError, match=r"row dev-00000-of-00002\.parquet:0:0, target_img: the given bytes: not a"):
        open_picture(by_key(asked)["30/30_1"].target)


def test_no_data(tmp_path, drawn):
    with pytest.raises(UserError, match="say where its test set is: --data DIR"):
        build(argparse.Namespace(split="test"))
    with pytest.raises(UserError, match="there is no such file or folder"):
        suite(tmp_path / "none")
    with pytest.raises(UserError, match=r"has no edit_sessions\.json, no edit_turns\.json, no Parquet files"):
        suite(tmp_path)
    write_folder(tmp_path / "test", drawn)
    with pytest.raises(UserError, match="has no folder dev"):
        suite(tmp_path / "test", split="dev")


# ---- the run, and MagicBrush's script on its outputs ----------------------------------------------------------------


class Darker:
    """An editor whose output tells what it was given: darker each time, and a square in a place of its seed."""

    name, tunable = "darker", frozenset()

    def describe(self):
        return {"kind": "darker"}

    def edit(self, asks):
        return [self._edit(ask) for ask in asks]

    def _edit(self, ask):
        picture = np.asarray(ask.image.resize((48, 48))).astype(int) - 20
        at = ask.seed % 40
        picture[at : at + 8, at : at + 8] = 255
        return Image.fromarray(picture.clip(0, 255).astype(np.uint8))

    def sampled(self, sampling):
        return self

    def round_trip(self):
        return None


class Pixels:
    """L1 and L2 at the target's size, by this project's own metrics."""

    def describe(self):
        return {"l1": "pixels", "l2": "pixels"}

    def measure(self, judged):
        found = []
        for one in judged:
            output = one.output.resize(one.target.size)
            both = torch.from_numpy(np.stack([output, one.target])).permute(0, 3, 1, 2) / 255
            pair = both[:1], both[1:]
            found.append({"l1": metrics.l1(*pair).item(), "l2": metrics.l2(*pair).item()})
        return found


def number_of(name: str) -> int:
    return int("".join(re.findall(r"\d", name)))


def magicbrush_scores(generated: Path, truth: Path) -> dict[str, dict[str, float]]:
    """Its scoring, told anew: of every folder the pictures by name; all of them but iter_ beside all outputs, and the
    last iter_, or the only picture, beside the last output; plain means."""
    pairs: dict[str, list[tuple[Path, Path]]] = {"single-turn": [], "multi-turn": []}
    assert {path.name for path in generated.iterdir()} == {path.name for path in truth.iterdir()}, "it stops at this"
    for folder in generated.iterdir():
        made = sorted((path for path in folder.glob("*.png")), key=lambda path: number_of(path.name))
        real = (path for path in (truth / folder.name).glob("*.png") if "output" in path.name)
        real = sorted(real, key=lambda path: number_of(path.name))
        alone = [path for path in made if "_1" in path.name or "inde_" in path.name] if len(made) > 1 else made
        last = [path for path in made if "iter_" in path.name][-1] if len(made) > 1 else made[0]
        assert len(alone) == len(real), "it stops at this too"
        pairs["single-turn"] += zip(alone, real, strict=True)
        pairs["multi-turn"].append((last, real[-1]))
    scores = {}
    for group, some in pairs.items():
        off = []
        for one, other in some:
            target = Image.open(other).convert("RGB")
            output = Image.open(one).convert("RGB").resize(target.size)
            off.append(np.asarray(output) / 255 - np.asarray(target) / 255)
        scores[group] = {
            "l1": float(np.mean([np.abs(one).mean() for one in off])),
            "l2": float(np.mean([(one**2).mean() for one in off])),
            "count": len(off),
        }
    return scores


def run(asked, out, shard=None):
    rows = [Row("darker", Darker(), "darker")]
    return Runner(asked, rows, Pixels(), out, shard=shard or Shard(), batch_size=2, progress=False).run()


def test_magicbrush_own_script_scores_the_folder_alike(any_layout, tmp_path, drawn):
    out, truth = tmp_path / "run", write_folder(tmp_path / "truth", drawn) / "images"
    run(any_layout(), out)
    outputs = out / "darker/seed-0"
    written = sorted(path.relative_to(outputs).as_posix() for path in outputs.rglob("*.png"))
    assert written == sorted(f"{key}.png" for keys in KEYS.values() for key in keys)
    summary, scores = load_run(out).info["summary"], magicbrush_scores(outputs, truth)
    assert {group: found["count"] for group, found in scores.items()} == {"single-turn": 6, "multi-turn": 3}
    for group, found in scores.items():
        for figure in ("l1", "l2"):
            assert summary[group]["darker"][figure]["mean"] == pytest.approx(found[figure], abs=1e-6)
    assert scores["multi-turn"]["l1"] > scores["single-turn"]["l1"], "darker with every turn"


def test_shards_make_the_same_outputs(tmp_path, drawn):
    data = write_folder(tmp_path / "data", drawn)
    whole = run(suite(data), tmp_path / "whole")
    assert [run(suite(data), tmp_path / "shared", Shard(i, 3)) is None for i in range(3)] == [True, True, False]
    shared = load_run(tmp_path / "shared")
    assert shared.rows == whole.rows and shared.info["summary"] == whole.info["summary"]
    for path in (tmp_path / "whole/darker/seed-0").rglob("*.png"):
        assert path.read_bytes() == (tmp_path / "shared" / path.relative_to(tmp_path / "whole")).read_bytes()
