"""`uip2p edit`, as a person runs it: exit codes, files and what is printed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tiny
from PIL import Image

from uip2p.cli import main
from uip2p.editing.attention import sheet
from uip2p.editing.batch import DONE_FILE
from uip2p.editing.editor import Editor
from uip2p.images import load_image


@pytest.fixture
def run(tiny_folder, capsys):
    """Runs `uip2p edit …` on the tiny model -> (exit code, stdout, stderr)."""

    def run(*args: object, model: Path = tiny_folder) -> tuple[int, str, str]:
        code = main(["edit", *map(str, args), "--model", str(model), "--device", "cpu"])
        return (code, *capsys.readouterr())

    return run


def test_one_picture(run, picture, tiny_folder, tmp_path):
    out = tmp_path / "out.png"
    code, stdout, _ = run(picture, "add a dog", "-o", out, "--seed", 4, "--steps", 2, "--guidance", 6,
                          "--image-guidance", 1.2, "--no-residual")  # fmt: skip
    assert code == 0 and "48×32" in stdout and "resized" in stdout
    editor = Editor.from_pretrained(tiny_folder, device="cpu")
    expected = editor(load_image(picture), "add a dog", seed=4, steps=2, guidance_scale=6.0, image_guidance_scale=1.2,
                      residual=False)  # fmt: skip
    assert np.array_equal(load_image(out), expected)


def test_json_is_one_object(run, picture, tmp_path):
    code, stdout, _ = run(picture, "add a dog", "-o", tmp_path / "out.jpg", "--json")
    said = json.loads(stdout)
    assert code == 0 and said["out"] == str(tmp_path / "out.jpg") and said["size"] == [96, 64]
    (turn,) = said["turns"]
    assert turn["instruction"] == "add a dog" and turn["residual"] is True and turn["working_size"] == [48, 32]
    assert turn["seed"] == 0 and turn["steps"] == 3 and turn["guidance_scale"] == 3.0


def test_turns_edit_the_result_before(run, picture, tiny_folder, tmp_path):
    (tmp_path / "turns.txt").write_text("add a dog\n\nmake the dog red\n")
    code, stdout, _ = run(picture, "--turns", tmp_path / "turns.txt", "-o", tmp_path / "out.png")
    assert code == 0 and len(stdout.splitlines()) >= 2
    editor = Editor.from_pretrained(tiny_folder, device="cpu")
    first = editor(picture, "add a dog")
    second = editor(first, "make the dog red")
    assert np.array_equal(load_image(tmp_path / "out-1.png"), first)
    assert np.array_equal(load_image(tmp_path / "out-2.png"), second)
    assert np.array_equal(load_image(tmp_path / "out.png"), second)
    assert not np.array_equal(second, editor(picture, "make the dog red"))


def test_all_turns_are_read_before_the_first_is_run(run, picture, closed_folder, tmp_path):
    (tmp_path / "turns.txt").write_text("add a dog\nmake the dog mauve\n")
    code, _, stderr = run(picture, "--turns", tmp_path / "turns.txt", "-o", tmp_path / "out.png", model=closed_folder)
    assert code == 2 and "'mauve' is not a word" in stderr
    assert not list(tmp_path.glob("out*"))


def test_where_each_turn_looked_is_shown(run, picture, tiny_folder, tmp_path):
    (tmp_path / "turns.txt").write_text("add a dog\nmake the dog red\n")
    out, looked = tmp_path / "out.png", tmp_path / "looked.png"
    assert run(picture, "--turns", tmp_path / "turns.txt", "-o", out, "--attention", looked)[0] == 0
    editor = Editor.from_pretrained(tiny_folder, device="cpu")
    source = load_image(picture)
    (first,) = editor.edit(source, "add a dog", attention=True)
    (second,) = editor.edit(first.image, "make the dog red", attention=True)
    assert np.array_equal(load_image(tmp_path / "looked-1.png"), sheet(source, first.image, first.attention))
    assert np.array_equal(load_image(tmp_path / "looked-2.png"), sheet(first.image, second.image, second.attention))
    assert np.array_equal(load_image(out), second.image) and not looked.exists()
    code, stdout, _ = run(picture, "add a dog", "-o", out, "--attention", looked, "--json")
    assert code == 0 and "attention" not in json.loads(stdout)["turns"][0]
    assert looked.read_bytes() == (tmp_path / "looked-1.png").read_bytes()


def test_the_input_is_never_overwritten(run, picture, tmp_path):
    before = picture.read_bytes()
    (tmp_path / "link.png").symlink_to(picture)
    for out in (picture, tmp_path / "link.png", tmp_path / "." / "in.png"):
        code, _, stderr = run(picture, "add a dog", "-o", out)
        assert code == 2 and "this is the picture to edit. Give the result another name" in stderr
    assert picture.read_bytes() == before


@pytest.mark.parametrize(
    "args, message",
    [
        ([], "what to edit?"),
        (["in.png"], "give either an INSTRUCTION"),
        (["in.png", "add a dog", "--turns", "x"], "give either an INSTRUCTION"),
        (["in.png", "--records", "x"], "--records edits a folder"),
        (["in.png", "--turns", "missing.txt"], "missing.txt: cannot be read"),
        (["--records", "missing.jsonl"], "missing.jsonl: cannot be read"),
        (["--records", "x", "--attention", "a.png"], "--attention is for one picture"),
        (["in.png", "add a dog", "--attention", "a.txt"], "a.txt: we do not write '.txt' pictures"),
        (["in.png", "add a dog", "--attention", "out.png"], "out.png: this is the name of another result"),
        (["in.png", "add a dog", "--attention", "in.png"], "in.png: this is the picture to edit"),
        (["missing.png", "add a dog"], "missing.png: there is no such file"),
        (["--records", "x", "--batch-size", "0"], "--batch-size is 0"),
    ],
)
def test_wrong_calls_say_what_to_do(run, picture, tmp_path, monkeypatch, args, message):
    monkeypatch.chdir(tmp_path)
    code, _, stderr = run(*args, "-o", tmp_path / "out.png")
    assert code == 2 and message in stderr and "Traceback" not in stderr


# ---- a folder --------------------------------------------------------------------------------------------------------


@pytest.fixture
def records(photo, tmp_path) -> Path:
    """Five pictures of two sizes, one in a folder of its own, one GIF."""
    folder = tmp_path / "pictures"
    (folder / "deep").mkdir(parents=True)
    names = ["a.png", "b.jpg", "deep/c.png", "d.gif", "e.png"]
    rows = []
    for index, name in enumerate(names):
        photo.resize((32, 32) if index % 2 else (50, 40)).rotate(index * 90).save(folder / name)
        rows.append({"file_name": name, "instruction": "add a dog" if index % 2 else "remove the car", "extra": index})
    path = folder / "metadata.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


OUTPUTS = ["a.png", "b.jpg", "d.png", "deep/c.png", "e.png"]


def made(out: Path) -> dict[str, bytes]:
    files = [path for path in sorted(out.rglob("*.*")) if path.suffix != ".jsonl"]
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def test_a_folder_gives_what_each_picture_gives_alone(run, records, tiny_folder, tmp_path):
    out = tmp_path / "out"
    code, stdout, _ = run("--records", records, "-o", out, "--batch-size", 2, "--json")
    said = json.loads(stdout)
    assert code == 0 and (said["edited"], said["skipped"], said["failed"]) == (5, 0, [])
    assert sorted(made(out)) == OUTPUTS
    editor = Editor.from_pretrained(tiny_folder, device="cpu")
    for row in map(json.loads, records.read_text().splitlines()):
        if row["file_name"] in ("a.png", "deep/c.png", "e.png"):
            expected = np.asarray(editor(records.parent / row["file_name"], row["instruction"])).astype(int)
            assert np.abs(np.asarray(load_image(out / row["file_name"])) - expected).max() <= 1


def test_what_is_done_is_skipped_and_a_row_that_asks_for_something_else_is_done_again(run, records, tmp_path):
    out = tmp_path / "out"
    assert run("--records", records, "-o", out)[0] == 0
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    (out / "a.png").unlink()
    done = (out / DONE_FILE).read_text()
    lines = [line for line in done.splitlines(keepends=True) if '"e.png"' not in line]
    (out / DONE_FILE).write_text("".join(lines) + '{"output": "e.p')  # killed while it wrote
    said = json.loads(run("--records", records, "-o", out, "--json")[1])
    assert (said["edited"], said["skipped"]) == (2, 3)
    again = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    assert {path.name for path in again if again[path] != times[path]} == {"a.png", "e.png"}
    assert json.loads(run("--records", records, "-o", out, "--json")[1])["skipped"] == 5
    records.write_text(records.read_text().replace("remove the car", "remove the dog", 1))
    assert json.loads(run("--records", records, "-o", out, "--json")[1])["edited"] == 1


@pytest.mark.filterwarnings("ignore:.* on the CPU")
def test_a_folder_of_another_request_is_left_alone(run, records, tiny_copy, tmp_path):
    """Whatever makes another picture of the same row is named; how it is computed is free."""
    records.write_text(records.read_text().splitlines()[0])
    out, tiny_decoder = tmp_path / "out", tmp_path / "taesd"
    tiny.build_tiny_decoder().save_pretrained(tiny_decoder)
    assert run("--records", records, "-o", out, model=tiny_copy)[0] == 0
    before = made(out), (out / DONE_FILE).read_text()
    for more, says in (
        (["--dtype", "bf16"], "dtype fp32 (now bf16)"), (["--seed", 1], "seed 0 (now 1)"),
        (["--steps", 2], "steps the default (now 2)"), (["--scheduler", "euler"], "scheduler the default (now euler)"),
        (["--vae-tiling"], "vae_tiling False (now True)"),
        (["--attention-slicing"], "attention_slicing False (now True)"),
        (["--tiny-decoder", tiny_decoder], "tiny_decoder the default (now taesd@"),
        (["--check", "--clip", "x"], "check the default (now True), best_of"),
    ):  # fmt: skip
        code, _, stderr = run("--records", records, "-o", out, *more, model=tiny_copy)
        assert code == 2 and f"{out}: holds pictures made with " in stderr and says in stderr, more
    settings = tiny_copy / "uip2p.json"
    settings.write_text(settings.read_text().replace('"steps": 3', '"steps": 4'))
    code, _, stderr = run("--records", records, "-o", out, model=tiny_copy)
    assert code == 2 and "made with model model@" in stderr, "the same folder, and not the same model"
    assert (made(out), (out / DONE_FILE).read_text()) == before
    settings.write_text(settings.read_text().replace('"steps": 4', '"steps": 3'))
    for more in (["--vae-slicing"], ["--batch-size", 3]):
        assert "1 already there" in run("--records", records, "-o", out, *more, model=tiny_copy)[1]


def test_bad_rows_are_reported_and_the_rest_is_done(run, records, closed_folder, tmp_path):
    rows = [
        '{"file_name": "missing.png", "instruction": "add a dog"}', "not json", '{"file_name": "a.png"}',
        '{"file_name": "../../etc/passwd", "instruction": "add a dog"}',
        '{"file_name": "text.png", "instruction": "add a dog"}', '{"file_name": "a.png", "instruction": "add a dog"}',
        '{"file_name": "b.jpg", "instruction": "add a unicorn"}',
    ]  # fmt: skip
    (records.parent / "text.png").write_text("no picture")
    lines = [line for line in records.read_text().splitlines() if "b.jpg" not in line]
    records.write_text("\n".join([*lines, *rows]) + "\n")
    out = tmp_path / "out"
    code, stdout, stderr = run("--records", records, "-o", out, "--json", "--batch-size", 3, model=closed_folder)
    said = json.loads(stdout)
    assert code == 2 and said["edited"] == 4 and sorted(made(out)) == [name for name in OUTPUTS if name != "b.jpg"]
    messages = {failure["row"]: failure["error"] for failure in said["failed"]}
    expected = {5: "there is no such file", 6: "not JSON", 7: "'instruction' is missing", 8: "leads out of",
                9: "not a picture", 10: "name of row 1's", 11: "'unicorn' is not a word"}  # fmt: skip
    assert messages.keys() == expected.keys()
    assert all(expected[row] in messages[row] for row in expected)
    assert "row 11: 'unicorn'" in stderr and "7 rows could not be edited" in stderr


def test_the_folder_of_the_inputs_is_no_place_for_the_results(run, records):
    code, _, stderr = run("--records", records, "-o", records.parent)
    assert code == 2 and "the folder of the input pictures" in stderr


def test_records_without_rows(run, tmp_path):
    (tmp_path / "empty.jsonl").write_text("\n")
    code, _, stderr = run("--records", tmp_path / "empty.jsonl", "-o", tmp_path / "out")
    assert code == 2 and "it has no rows" in stderr


def test_gif_input_becomes_png(run, records, tmp_path):
    run("--records", records, "-o", tmp_path / "out")
    assert Image.open(tmp_path / "out" / "d.png").format == "PNG"
