"""`uip2p edit --check` and `--best-of`: one picture, turns, and a folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tiny

from uip2p.cli import main
from uip2p.editing.batch import DONE_FILE
from uip2p.editing.editor import Editor
from uip2p.images import load_image
from uip2p.models.settings import load_settings, save_settings
from uip2p.provenance import inspect

FIGURES = {"reversibility", "direction", "score", "likely_failed", "reverse_instruction", "caption", "edited_caption",
           "guessed"}  # fmt: skip
CAPTION = "a red car on a street"


@pytest.fixture
def run(tiny_folder, encoder, capsys):
    """Runs `uip2p edit …` on the tiny model with the tiny encoder -> (exit code, stdout, stderr)."""

    def run(*args: object, model: Path = tiny_folder, clip: Path | None = encoder) -> tuple[int, str, str]:
        given = ["--clip", str(clip)] if clip else []
        code = main(["edit", *map(str, args), "--model", str(model), "--device", "cpu", *given])
        return (code, *capsys.readouterr())

    return run


def test_a_check_in_words_and_in_json(run, picture, tiny_folder, tmp_path):
    out, back = tmp_path / "out.png", tmp_path / "back.png"
    code, stdout, _ = run(picture, "make the car blue", "-o", out, "--check", "--save-reverse", back)
    assert code == 0 and "check: reversibility 0." in stdout and "undone by 'make the car" in stdout
    assert "guessed from the picture: place " in stdout and "likely failed" not in stdout
    editor = Editor.from_pretrained(tiny_folder, device="cpu")
    assert np.array_equal(load_image(out), editor(picture, "make the car blue"))  # the edit itself is as ever
    code, stdout, _ = run(picture, "make the car blue", "-o", out, "--check", "--json", "--caption", CAPTION,
                          "--save-reverse", back, "--record-instruction")  # fmt: skip
    (turn,) = json.loads(stdout)["turns"]
    assert code == 0 and set(turn) >= FIGURES and "candidates" not in turn
    assert turn["reverse_instruction"] == "make the car red" and turn["guessed"] == {}
    assert turn["edited_caption"] == "a blue car on a street" and 0 <= turn["reversibility"] <= 1
    assert np.array_equal(load_image(back), editor(load_image(out), "make the car red"))
    for path, words in ((out, "make the car blue"), (back, "make the car red")):
        assert inspect(path).manifests[0].actions[1]["uip2p.instruction"] == words


def test_without_a_check_nothing_is_said_of_one(run, picture, tmp_path):
    code, stdout, _ = run(picture, "make the car blue", "-o", tmp_path / "out.png", "--json", clip=None)
    (turn,) = json.loads(stdout)["turns"]
    assert code == 0 and not set(turn) & {*FIGURES, "check", "candidates"}


def test_best_of_lists_all_and_keeps_the_best(run, picture, tiny_folder, tmp_path):
    out = tmp_path / "out.png"
    code, stdout, _ = run(picture, "make the car blue", "-o", out, "--best-of", 3, "--seed", 5, "--json")
    (turn,) = json.loads(stdout)["turns"]
    assert code == 0 and [one["seed"] for one in turn["candidates"]] == [5, 6, 7]
    assert turn["score"] == max(one["score"] for one in turn["candidates"])
    expected = Editor.from_pretrained(tiny_folder, device="cpu")(picture, "make the car blue", seed=turn["seed"])
    assert np.abs(np.asarray(load_image(out)).astype(int) - np.asarray(expected)).max() <= 1
    _, stdout, _ = run(picture, "make the car blue", "-o", out, "--best-of", 3)
    assert "the best of 3 (scores " in stdout


def test_each_turn_is_checked_and_starts_from_the_caption_before(run, picture, tmp_path):
    (tmp_path / "turns.txt").write_text("make the car blue\nadd a white dog on the left\nremove the car\n")
    code, stdout, _ = run(picture, "--turns", tmp_path / "turns.txt", "-o", tmp_path / "out.png", "--check", "--json",
                          "--caption", "a red car on the right", "--save-reverse", tmp_path / "back.png")  # fmt: skip
    turns = json.loads(stdout)["turns"]
    assert code == 0 and [turn["reverse_instruction"] for turn in turns] == [
        "make the car red", "remove the white dog", "add a blue car on the right"]  # fmt: skip
    assert all(turn["guessed"] == {} for turn in turns)
    assert turns[2]["edited_caption"] == "a white dog on the left"
    assert sorted(path.name for path in tmp_path.glob("back*")) == ["back-1.png", "back-2.png", "back-3.png"]


def test_a_model_that_is_calibrated_says_what_likely_failed(run, picture, tiny_copy, tmp_path):
    from dataclasses import replace

    save_settings(replace(load_settings(tiny_copy), likely_failed_below=1.0), tiny_copy)
    args = (picture, "make the car blue", "-o", tmp_path / "out.png", "--check")
    assert "This edit likely failed" in run(*args, model=tiny_copy)[1]
    assert json.loads(run(*args, "--json", model=tiny_copy)[1])["turns"][0]["likely_failed"] is True
    (tiny_copy / "uip2p.json").write_text('{"likely_failed_below": 2}')
    code, _, stderr = run(*args, model=tiny_copy)
    assert code == 2 and "'likely_failed_below' is 2, and has to be null or a number from 0 to 1" in stderr


@pytest.fixture
def records(photo, tmp_path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    rows = [
        {"instruction": "make the car blue", "caption": CAPTION, "edited_caption": "a blue car on a street"},
        {"instruction": "make the dog black", "reverse_instruction": "make the dog white"},
        {"instruction": "improve it"},
        {"instruction": "add a car", "caption": 7},
    ]
    for index, row in enumerate(rows):
        photo.resize((tiny.SIZE, tiny.SIZE)).rotate(90 * index).save(folder / f"{index}.png")
        row["file_name"] = f"{index}.png"
    path = folder / "metadata.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_folder(run, records, tmp_path):
    out = tmp_path / "out"
    code, stdout, stderr = run("--records", records, "-o", out, "--best-of", 2, "--json")
    said = json.loads(stdout)
    assert code == 2 and said["edited"] == 2
    assert "row 3: 'improve it': no phrasing" in stderr and "row 4: the field 'caption' is not a text" in stderr
    made = [json.loads(line) for line in (out / DONE_FILE).read_text().splitlines()]
    assert all(set(one) >= FIGURES | {"candidates"} for one in made)
    assert [one["reverse_instruction"] for one in made] == ["make the car red", "make the dog white"]
    assert (made[0]["caption"], made[0]["edited_caption"]) == (CAPTION, "a blue car on a street")
    # the same command goes on; without a check it is another request, for another folder, and the bad rows are none
    assert json.loads(run("--records", records, "-o", out, "--best-of", 2, "--json")[1])["skipped"] == 2
    text = records.read_text().replace("make the dog white", "make the dog red")
    records.write_text(text)
    said = json.loads(run("--records", records, "-o", out, "--best-of", 2, "--json")[1])
    assert (said["edited"], said["skipped"]) == (1, 1)  # other words: another request
    code, _, stderr = run("--records", records, "-o", out, "--json", clip=None)
    assert code == 2 and "holds pictures made with check True (now the default), best_of 2 (now the default)" in stderr
    code, stdout, _ = run("--records", records, "-o", tmp_path / "unchecked", "--json", clip=None)
    assert code == 0 and json.loads(stdout)["edited"] == 4


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["in.png", "add a dog", "--caption", "a car"], "--caption is for a check: add --check"),
        (["in.png", "add a dog", "--save-reverse", "r.png"], "--save-reverse is for a check"),
        (["in.png", "add a dog", "--best-of", "0"], "--best-of is 0: give a whole number from 1 to 64"),
        (["in.png", "add a dog", "--check", "--save-reverse", "out.png"], "this is the name of the result"),
        (["in.png", "add a dog", "--check", "--save-reverse", "in.png"], "this is the picture to edit"),
        (["in.png", "add a dog", "--check", "--save-reverse", "r.xyz"], "we do not write '.xyz' pictures"),
        (["in.png", "improve it", "--check"], "'improve it': no phrasing of the miniature world"),
        (["in.png", "--turns", "turns.txt", "--check", "--reverse", "x"], "--reverse is for one INSTRUCTION"),
        (["--records", "x", "--check", "--reverse", "x"], "put reverse_instruction, caption and edited_caption into"),
        (["in.png", "add a dog", "--check"], "give a CLIPModel folder or hub id with --clip"),
    ],
)
def test_wrong_calls_make_nothing(run, picture, tmp_path, monkeypatch, args, message):
    monkeypatch.chdir(tmp_path)
    code, _, stderr = run(*args, "-o", "out.png", clip=None)
    assert code == 2 and message in stderr and "Traceback" not in stderr
    assert [path.name for path in tmp_path.iterdir()] == ["in.png"]
