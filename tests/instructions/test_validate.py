"""`uip2p data validate`: what it says of a run and of rows from elsewhere, and how it exits."""

import json
import os
import subprocess
import sys

import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image
from runs import ColorWriter, config, make_source

from uip2p.cli import main
from uip2p.errors import UserError
from uip2p.instructions.accept import PREDICATES, Rules
from uip2p.instructions.generate import generate
from uip2p.instructions.validate import NO_PICTURE, UNREADABLE, validate
from uip2p.instructions.writer import Edit, Written


class BackWriter(ColorWriter):
    def _written(self, row, caption):
        edited = caption.caption.replace("car", "pink car")
        return Written(row, (Edit("color", "make the car pink", edited, "change it back"),))


GOOD = {"caption": "a red car on a street", "instruction": "make the car blue",
        "edited_caption": "a blue car on a street", "reverse_instruction": "make the car red"}  # fmt: skip


def make_folder(path, changes):
    """An imagefolder with a row for each of `changes`: what differs from GOOD, None for a field that is left out."""
    path.mkdir()
    lines = []
    for number, change in enumerate(changes):
        Image.new("RGB", (8, 8), "red").save(path / f"{number}.png")
        row = {"file_name": f"{number}.png", **GOOD, **change}
        lines.append(json.dumps({name: value for name, value in row.items() if value is not None}))
    (path / "metadata.jsonl").write_text("\n".join(lines))
    return path


def test_good_rows_are_good(tmp_path, capsys):
    folder = make_folder(tmp_path / "rows", [{}, {}])
    assert main(["data", "validate", str(folder)]) == 0
    assert "2 rows, 0 at fault" in capsys.readouterr().out


def test_each_fault_is_named_with_its_row_and_counted(tmp_path, capsys):
    folder = make_folder(tmp_path / "rows", [
        {}, {"reverse_instruction": "change it back to red"}, {"reverse_instruction": "make the car green"},
        {"instruction": None}, {"caption": " "}, {"file_name": "gone.png"}, {"file_name": "0.png"}, {},
    ])  # fmt: skip
    (folder / "7.png").write_bytes(b"no picture")
    found = validate(folder)
    assert found.rows == 8 and found.at_fault == 7
    faults = {fault.row: set(fault.reasons) for fault in found.faults}
    assert faults == {
        1: {"no_back"}, 2: {"reverse_visible", "round_trip"}, 3: {UNREADABLE}, 4: {UNREADABLE}, 5: {UNREADABLE},
        6: {"duplicate"}, 7: {NO_PICTURE},
    }  # fmt: skip
    assert found.reasons[UNREADABLE] == 3 and found.not_judged["direction"] == 4
    with pytest.raises(SystemExit) as stopped:
        main(["data", "validate", str(folder), "--shown", "3"])
    assert stopped.value.code == 1
    said = capsys.readouterr().out
    assert "row 1 (1.png): no_back" in said and "and 4 more rows" in said and "8 rows, 7 at fault (87.5%)" in said


def test_pictures_and_predicates_can_be_left_out(tmp_path):
    folder = make_folder(tmp_path / "rows", [{"reverse_instruction": "change it back to red"}, {}])
    (folder / "1.png").write_bytes(b"no picture")
    assert validate(folder).at_fault == 2
    assert validate(folder, Rules(skip=("no_back",)), pictures=False).at_fault == 0


def test_a_run_is_valid_whichever_way_its_pictures_lie(tmp_path):
    source = make_source(tmp_path / "photos", pictures=4)
    for copied in (False, True):
        out = tmp_path / f"run-{copied}"
        counts = generate(config(source, copy_pictures=copied, rules=Rules()), out, make_writer=ColorWriter, quiet=True)
        found = validate(out)
        assert found.rows == counts.accepted > 0 and found.at_fault == 0
        assert counts.rejected["duplicate"] > 0  # else nothing is shown by there being none


def test_a_run_is_asked_what_it_was_asked(tmp_path, capsys):
    source = make_source(tmp_path / "photos", pictures=4)
    generate(config(source, rules=Rules(skip=tuple(PREDICATES))), tmp_path / "run", make_writer=BackWriter, quiet=True)
    assert main(["data", "validate", str(tmp_path / "run")]) == 0
    with pytest.raises(SystemExit):
        main(["data", "validate", str(tmp_path / "run"), "--rule", "skip=[]"])
    assert "rejected by no_back" in capsys.readouterr().out
    assert main(["data", "validate", str(tmp_path / "run"), "--rule", "skp=[]"]) == 2


def test_parquet_rows_are_judged_by_their_bytes(tmp_path):
    picture = tmp_path / "1.png"
    Image.new("RGB", (8, 8)).save(picture)
    image = {"bytes": picture.read_bytes(), "path": "1.png"}
    rows = [{"image": image, **GOOD}, {"image": image, **GOOD}, {"image": {"bytes": b"x", "path": ""}, **GOOD}]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "rows.parquet")
    assert [fault.reasons for fault in validate(tmp_path / "rows.parquet").faults] == [("duplicate",), (NO_PICTURE,)]


def test_a_terminal_is_not_moved_by_what_a_row_says(tmp_path, capsys):
    folder = make_folder(tmp_path / "rows", [{"caption": "a red car\x1b[2J\u202e on a street"}])
    with pytest.raises(SystemExit):
        main(["data", "validate", str(folder)])
    said = capsys.readouterr().out
    assert "clean" in said and "\x1b" not in said and "\u202e" not in said and "\\x1b" in said


def test_what_is_no_source_is_an_error(tmp_path):
    with pytest.raises(UserError, match="no such file or folder"):
        validate(tmp_path / "none")
    (tmp_path / "metadata.jsonl").write_text("{")
    with pytest.raises(UserError, match="row 1"):
        validate(tmp_path)


def test_naming_the_rules_imports_no_torch():
    code = "import sys, uip2p.instructions.accept; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ)
