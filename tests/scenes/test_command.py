"""`uip2p scenes`: a whole folder or none, and never over somebody else's files."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from uip2p.cli import main
from uip2p.scenes import command
from uip2p.scenes.answers import answer
from uip2p.scenes.world import World


def scenes(out, *more):
    return main(["scenes", "--out", str(out), *more])


def read(path):
    return np.asarray(Image.open(path))


def test_the_folder_holds_exact_answers(tmp_path, capsys):
    out = tmp_path / "new" / "cases"
    assert scenes(out, "--seed", "5", "--count", "7", "--size", "48") == 0
    assert str(out) in capsys.readouterr().out
    rows = [json.loads(line) for line in (out / "metadata.jsonl").read_text().splitlines()]
    assert len(rows) == 7 and sorted(path.name for path in out.iterdir()) == sorted(command.OURS)
    world = World(5, "test", 48)
    for i, row in enumerate(rows):
        edit = world.edit(i)
        assert row == {
            "file_name": f"images/{i:05d}.png", "target_file_name": f"targets/{i:05d}.png",
            "mask_file_name": f"masks/{i:05d}.png", "kind": edit.kind, "caption": edit.caption,
            "instruction": edit.instruction, "edited_caption": edit.edited_caption,
            "reverse_instruction": edit.reverse_instruction, "split": "test", "seed": 5, "index": i}
        drawn = answer(edit, 48)
        assert np.array_equal(read(out / row["file_name"]), drawn.source)
        assert np.array_equal(read(out / row["target_file_name"]), drawn.target)
        assert np.array_equal(read(out / row["mask_file_name"]), drawn.mask * np.uint8(255))
    sheet = Image.open(out / "contact_sheet.png")
    assert sheet.width > 3 * 3 * 128 and sheet.height > 3 * 128
    assert not list(out.parent.glob(".*")), "no temporary folder is left"


def test_kinds_come_in_turn(tmp_path):
    assert scenes(tmp_path / "a", "--count", "4", "--size", "16", "--kinds", "color, add") == 0
    kinds = [json.loads(line)["kind"] for line in (tmp_path / "a/metadata.jsonl").read_text().splitlines()]
    assert kinds == ["color", "add", "color", "add"]


def test_its_own_folder_is_replaced_whole(tmp_path):
    assert scenes(tmp_path / "a", "--count", "3", "--size", "16") == 0
    assert scenes(tmp_path / "a", "--count", "1", "--size", "16") == 0
    assert [path.name for path in (tmp_path / "a/images").iterdir()] == ["00000.png"]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("names", [["notes.txt"], ["metadata.jsonl", "images/holiday.jpg"]])
def test_other_peoples_folders_are_refused(tmp_path, capsys, names):
    for name in names:
        (tmp_path / "a" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "a" / name).write_text('{"file_name": "mine.png"}\n')
    assert scenes(tmp_path / "a", "--count", "1") == 2
    assert "has other things in it" in capsys.readouterr().err
    assert all((tmp_path / "a" / name).read_text() for name in names)


def test_a_file_is_refused(tmp_path, capsys):
    (tmp_path / "a").write_text("mine")
    assert scenes(tmp_path / "a") == 2
    assert "is a file" in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "message"), [
    (("--count", "0"), "--count must be at least 1"),
    (("--size", "15"), "--size must be from 16 to 1024"),
    (("--size", "1025"), "--size must be from 16 to 1024"),
    (("--split", "dev"), "unknown split 'dev'"),
    (("--kinds", "color,paint"), "no edits of kind 'paint'"),
    (("--kinds", ""), "no edits of kind ''"),
    (("--split", "composition", "--kinds", "move"), "'composition' has no edits of kind 'move'"),
])
def test_wrong_arguments_are_named(tmp_path, capsys, arguments, message):
    assert scenes(tmp_path / "a", *arguments) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "a").exists()


def test_a_run_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr(command, "contact_sheet", full)
    with pytest.raises(OSError, match="no space"):
        scenes(tmp_path / "a", "--count", "1", "--size", "16")
    assert not list(tmp_path.iterdir())
