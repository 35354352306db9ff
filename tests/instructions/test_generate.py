"""A run of `data generate`: what it writes, how it goes on, and what it refuses."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace

import pytest
from runs import ColorWriter, config, edits_and_rejected, ids_done, make_source, rows

from uip2p.datasets import open_captions
from uip2p.errors import UserError
from uip2p.instructions.config import Engine
from uip2p.instructions.generate import generate
from uip2p.instructions.shards import Counts, Done, Journal, Judged, finished, place, read_counts, total_counts
from uip2p.instructions.writer import Edit, Written


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return make_source(tmp_path_factory.mktemp("photos") / "photos")


@pytest.fixture(scope="module")
def unbroken(source, tmp_path_factory):
    out = tmp_path_factory.mktemp("unbroken") / "run"
    generate(config(source), out, make_writer=ColorWriter, quiet=True)
    return out


def test_every_caption_once_in_the_order_of_the_source(source, unbroken):
    captions = open_captions(source)
    ids = [captions.caption(row).id for row in range(len(captions))]
    assert ids_done(unbroken) == dict.fromkeys(ids, 1)
    assert finished(unbroken) == list(range(6)) and not list((unbroken / "journal").iterdir())
    for folder in ("edits", "rejected"):
        numbers = [row["row"] for row in rows(unbroken, folder)]
        assert numbers == sorted(numbers) and all(ids[row["row"]] == row["id"] for row in rows(unbroken, folder))


def test_rows_keep_where_they_come_from(unbroken):
    row = rows(unbroken)[0]
    assert row == row | {"kind": "color", "writer": "color", "model": "", "prompt": "1", "seed": 0}
    assert row["image_id"] == row["id"].split("#")[0]
    assert row["instruction"] == f"make the car {row['edited_caption'].split()[1]}"
    assert row["reverse_instruction"] == f"make the car {row['caption'].split()[1]}"


def test_counts_add_up(unbroken):
    counts = total_counts(unbroken)
    kept, others = rows(unbroken), rows(unbroken, "rejected")
    assert counts.captions == 300 and counts.calls == 300
    assert counts.accepted == len(kept)
    assert counts.proposed == len(kept) + sum(bool(row["reasons"]) for row in others)
    assert counts.errors == sum(bool(row["error"]) for row in others) > 0
    assert counts.rejected["duplicate"] == sum("duplicate" in row["reasons"] for row in others) > 0
    assert len({(row["image_id"], row["instruction"]) for row in kept}) == len(kept)


def test_another_seed_writes_other_edits(source, unbroken, tmp_path):
    generate(config(source, seed=1), tmp_path / "run", make_writer=ColorWriter, quiet=True)
    assert edits_and_rejected(tmp_path / "run") != edits_and_rejected(unbroken)


@pytest.mark.parametrize("change", [{"seed": 1}, {"shard_rows": 60}, {"mode": "reverse"}, {"limit": 7}])
def test_another_run_in_the_same_folder_is_refused_by_the_fields_name(source, unbroken, change):
    before = edits_and_rejected(unbroken)
    with pytest.raises(UserError, match=f"{next(iter(change))} is .* another run"):
        generate(config(source, **change), unbroken, make_writer=ColorWriter, quiet=True)
    assert edits_and_rejected(unbroken) == before


def test_another_writer_or_version_of_its_prompt_is_refused(source, unbroken):
    class Newer(ColorWriter):
        prompt = "2"

    with pytest.raises(UserError, match=r"writer\.prompt is '1' in this run, and is '2'"):
        generate(config(source), unbroken, make_writer=Newer, quiet=True)


def test_captions_that_moved_are_the_same_and_others_are_refused(source, tmp_path):
    small, out = make_source(tmp_path / "small", 4), tmp_path / "run"
    generate(config(small), out, make_writer=ColorWriter, quiet=True)
    small.rename(tmp_path / "moved")
    generate(config(tmp_path / "moved"), out, make_writer=ColorWriter, quiet=True)
    assert json.loads((out / "config.json").read_text())["source"]["path"] == str(tmp_path / "moved")
    with pytest.raises(UserError, match=r"captions\.last is '3\.png#5' in this run, and is '59\.png#5'"):
        generate(config(source), out, make_writer=ColorWriter, quiet=True)


def test_a_cap_leaves_a_run_that_goes_on(source, unbroken, tmp_path):
    spent_before = []

    class Capped(ColorWriter):
        def __init__(self, config, spent):
            super().__init__(config, spent)
            spent_before.append(spent.calls)

        def write(self, captions, mode="full"):
            for count, written in enumerate(super().write(captions, mode)):
                if count == 130:
                    raise UserError("the cap of 130 calls is reached")
                yield written

    out = tmp_path / "run"
    for done in (130, 260):
        with pytest.raises(UserError, match="cap of 130"):
            generate(config(source), out, make_writer=Capped, quiet=True)
        assert sum(ids_done(out).values()) == done
    counts = generate(config(source), out, make_writer=Capped, quiet=True)
    assert spent_before == [0, 130, 260] and counts.calls == 300
    assert edits_and_rejected(out) == edits_and_rejected(unbroken)


def test_limit_is_the_first_captions(source, tmp_path):
    generate(config(source, limit=70), tmp_path / "run", make_writer=ColorWriter, quiet=True)
    captions = open_captions(source)
    assert set(ids_done(tmp_path / "run")) == {captions.caption(row).id for row in range(70)}


def test_pictures_are_copied_once_a_group(source, tmp_path):
    out = tmp_path / "run"
    generate(config(source, copy_pictures=True), out, make_writer=ColorWriter, quiet=True)
    from pyarrow import parquet

    table = parquet.read_table(place(out, "edits", 0)).to_pylist()
    assert all(row["image"]["bytes"] == (source / row["image_id"]).read_bytes() for row in table)


def test_a_picture_that_cannot_be_copied_rejects_its_edits(tmp_path):
    small, out = make_source(tmp_path / "small", 4), tmp_path / "run"
    (small / "2.png").unlink()
    counts = generate(config(small, copy_pictures=True), out, make_writer=ColorWriter, quiet=True)
    assert {row["image_id"] for row in rows(out)} == {"0.png", "1.png", "3.png"}
    lost = [row for row in rows(out, "rejected") if row["reasons"] == ["picture"]]
    assert lost and {row["image_id"] for row in lost} == {"2.png"} and counts.rejected["picture"] == len(lost)


@pytest.mark.slow
def test_several_processes_write_the_same_bytes(source, unbroken, tmp_path):
    counts = generate(config(source), tmp_path / "run", Engine(workers=2), make_writer=ColorWriter, quiet=True)
    assert edits_and_rejected(tmp_path / "run") == edits_and_rejected(unbroken)
    assert counts.captions == 300 and counts.accepted == len(rows(unbroken))


def test_runs_share_a_folder_by_rank(source, unbroken, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in (0, 1):
        monkeypatch.setenv("RANK", str(rank))
        generate(config(source), tmp_path / "run", make_writer=ColorWriter, quiet=True)
        assert finished(tmp_path / "run") == ([0, 2, 4] if rank == 0 else list(range(6)))
    assert edits_and_rejected(tmp_path / "run") == edits_and_rejected(unbroken)


# ---- journals ----------------------------------------------------------------------------------------


DONE = dict(id="a#0", image_id="a", caption="A car", edits=(Judged(Edit("color", "x", "y", "z"), ("why",)),))


def test_a_torn_last_line_is_cut_off_and_written_again(tmp_path):
    path = tmp_path / "00000.jsonl"
    journal = Journal(path)
    lines = [journal.add(row=row, **DONE) for row in (0, 1)]
    journal.close()
    whole = path.read_bytes()
    for kept in range(len(whole.splitlines(keepends=True)[0]), len(whole)):
        path.write_bytes(whole[:kept])
        journal = Journal(path)
        assert journal.lines == {0: lines[0]}, kept
        journal.add(row=1, **DONE)
        journal.close()
        assert path.read_bytes() == whole


def test_a_damaged_line_costs_only_itself(tmp_path):
    path = tmp_path / "00000.jsonl"
    journal = Journal(path)
    for row in range(3):
        journal.add(row=row, **DONE)
    journal.close()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"\x00" * 30 + b"\n" + lines[2])
    journal = Journal(path)
    assert sorted(journal.lines) == [0, 2]
    journal.close()


@pytest.mark.parametrize("text", [
    "a\x00b\x1b[31m\r\n\x85c", "\u202eright to left", "\ud800 half a pair", "<script>alert(1)</script>", "x" * 100_000,
    '"},{"row": 9}',
])  # fmt: skip
def test_hostile_text_stays_text(text, source, tmp_path):
    class Hostile(ColorWriter):
        def write(self, captions, mode="full"):
            for row, _ in captions:
                yield Written(row, (Edit("color", f"{row} {text}", text, text),), error=text)

    counts = generate(config(source, limit=12), tmp_path / "run", make_writer=Hostile, quiet=True)
    readable = text.encode("utf-8", "replace").decode()
    found = rows(tmp_path / "run") + [row for row in rows(tmp_path / "run", "rejected") if row["reasons"]]
    assert counts.captions == 12 and len(found) == 12
    assert {row["edited_caption"] for row in found} == {readable}
    assert {row["error"] for row in rows(tmp_path / "run", "rejected") if not row["reasons"]} == {readable}


def test_lines_survive_json():
    line = Done(3, "a#1", "a", "A car", (Judged(Edit("add", "i", "e", "r"), ("one",), ("two",)),), "", 1, 2, 3, 0.5)
    assert Done.from_json(json.loads(json.dumps(line.to_json()))) == line
    assert Counts.of([line, replace(line, error="x")]) == Counts(
        2, 2, 0, {"one": 2}, {"two": 2}, 1, 2, 4, 6, 1.0
    )  # type: ignore[arg-type]


def test_damaged_counts_are_an_error_with_a_way_out(source, tmp_path):
    out = tmp_path / "run"
    generate(config(source, limit=50), out, make_writer=ColorWriter, quiet=True)
    before = edits_and_rejected(out)
    place(out, "shards", 0).write_text("{")
    with pytest.raises(UserError, match="Remove it: the same command does this shard again"):
        generate(config(source, limit=50), out, make_writer=ColorWriter, quiet=True)
    place(out, "shards", 0).unlink()
    generate(config(source, limit=50), out, make_writer=ColorWriter, quiet=True)
    assert edits_and_rejected(out) == before and read_counts(out, 0).captions == 50


def test_a_full_disk_is_an_error_and_costs_nothing(source, unbroken, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    options = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(options, capture_output=True).returncode != 0:
        pytest.skip("only root may mount a small disk, and not everywhere")
    try:
        out, filler = disk / "run", disk / "filler"
        filler.write_bytes(bytes(190 * 1024))
        with pytest.raises(UserError, match=r"could not be written .*MiB are free.* What was done is kept"):
            generate(config(source), out, make_writer=ColorWriter, quiet=True)
        done = ids_done(out)
        assert 0 < len(done) < 300 and set(done.values()) == {1}
        filler.unlink()
        generate(config(source), out, make_writer=ColorWriter, quiet=True)
        assert edits_and_rejected(out) == edits_and_rejected(unbroken)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
