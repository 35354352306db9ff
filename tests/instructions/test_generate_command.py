"""`uip2p data generate` as it is typed."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest
from PIL import Image
from runs import make_source, rows

from uip2p.cli import main
from uip2p.instructions.command import OPTIONS
from uip2p.instructions.local import LocalConfig

TEXTS = {"instruction": "make the car blue", "edited_caption": "A blue car", "reverse_instruction": "make the car red"}


@pytest.fixture
def source(tmp_path):
    """Three pictures that bring their edits, as HQ-Edit's do, but for the third, which has no reverse."""
    folder = tmp_path / "source"
    folder.mkdir()
    lines = []
    for number in range(3):
        Image.new("RGB", (8, 8)).save(folder / f"{number}.png")
        texts = {**TEXTS, **({"reverse_instruction": ""} if number == 2 else {})}
        lines.append(json.dumps({"file_name": f"{number}.png", "caption": "A red car", **texts}))
    (folder / "metadata.jsonl").write_text("\n".join(lines))
    return folder


def test_what_a_source_has_is_taken_as_it_is(source, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["data", "generate", str(source), "-o", str(out), "--writer", "source"]) == 0
    said = capsys.readouterr().out
    assert "3 captions, 2 edits proposed, 2 kept (100.0%)" in said and "without any edit: 1 captions" in said
    assert [row["id"] for row in rows(out)] == ["0.png", "1.png"]
    assert all(row == row | TEXTS | {"writer": "source", "caption": "A red car"} for row in rows(out))
    assert [row["error"] for row in rows(out, "rejected")] == ["the source has no reverse_instruction"]
    asked = json.loads((out / "config.json").read_text())
    assert asked["captions"] == {"rows": 3, "first": "0.png", "last": "2.png"}
    assert asked["writer"]["name"] == "source" and asked["source"]["path"] == str(source)


def test_the_same_command_has_nothing_left_to_do(source, tmp_path, capsys):
    command = ["data", "generate", str(source), "-o", str(tmp_path / "out"), "--writer", "source"]
    assert main(command) == 0
    said = capsys.readouterr().out
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out/edits").iterdir()}
    assert main(command) == 0
    assert capsys.readouterr().out == said
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out/edits").iterdir()} == before


@pytest.mark.parametrize(("options", "said"), [
    (["--writer", "source", "--concurrency", "4"], "--concurrency: the writer source has no such option"),
    (["--writer", "source", "--columns", "caption"], "--columns caption: write it as FIELD=NAME"),
    (["--writer", "source", "--rule", "direktion=0.3"], "unknown key 'direktion'. Did you mean 'direction'?"),
    (["--writer", "source", "--layout", "cube"], "there is no layout 'cube'"),
    (["--writer", "source", "--workers", "0"], "workers starts at 1"),
    (["--writer", "endpoint", "--model", "m", "--base-url", "http://localhost:1/v1", "--workers", "2"],
     "one process asks an endpoint"),
    (["--writer", "endpoint"], "model must be given"),
])  # fmt: skip
def test_what_cannot_be_done_is_said_and_leaves_nothing(options, said, source, tmp_path, capsys):
    assert main(["data", "generate", str(source), "-o", str(tmp_path / "out"), *options]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out/config.json").exists()


def test_an_empty_source_is_an_error(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert main(["data", "generate", str(tmp_path / "empty"), "-o", str(tmp_path / "out"), "--writer", "source"]) == 2
    assert "holds no captions in a layout we know" in capsys.readouterr().err


def test_the_grammar_writes_for_captions(tmp_path, capsys):
    pytest.importorskip("spacy")
    source, out = make_source(tmp_path / "photos", 3, 2), tmp_path / "out"
    assert main(["data", "generate", str(source), "-o", str(out), "--edits", "2"]) == 0
    found = rows(out) + [row for row in rows(out, "rejected") if row["reasons"]]
    assert 6 <= len(found) <= 12 and {row["writer"] for row in found} == {"grammar"}


def test_every_setting_of_an_llm_in_the_process_can_be_given():
    assert {field.name for field in fields(LocalConfig)} <= set(OPTIONS)
