"""Training from the folder of a run: its edits with the pictures of their source."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from runs import ColorWriter, config, edits_and_rejected, make_source, rows

from uip2p.datasets import open_records
from uip2p.datasets.generated import COLUMNS, GeneratedSource
from uip2p.errors import UserError
from uip2p.instructions import shards
from uip2p.instructions.generate import generate
from uip2p.instructions.shards import place
from uip2p.learning.data import BlockShuffled, OwnRecords, Shuffled


@pytest.fixture
def run(tmp_path):
    """(source, out): 20 pictures with 5 captions each, in two shards."""
    source, out = make_source(tmp_path / "photos", 20), tmp_path / "run"
    generate(config(source), out, make_writer=ColorWriter, quiet=True)
    return source, out


@pytest.mark.parametrize("copied", [False, True])
def test_records_are_the_edits_with_their_pictures(copied, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "GROUP", 7)
    monkeypatch.setattr(shards, "GROUP_WITH_PICTURES", 7)
    source, out = make_source(tmp_path / "photos", 20), tmp_path / "run"
    generate(config(source, copy_pictures=copied), out, make_writer=ColorWriter, quiet=True)
    bytes_of = {path.name: path.read_bytes() for path in source.glob("*.png")}
    if copied:
        shutil.rmtree(source)
    records, expected = open_records(out), rows(out)
    assert isinstance(records, GeneratedSource) and len(records) == len(expected) == sum(records.blocks)
    assert max(records.sizes) == 7 and max(records.blocks) == (7 if copied else 1)
    for number in np.random.default_rng(0).permutation(len(expected)).tolist():
        record, row = records.record(number), expected[number]
        for name in ("caption", "instruction", "edited_caption", "reverse_instruction"):
            assert getattr(record, name) == row[name]
        image = record.image if isinstance(record.image, bytes) else record.image.read_bytes()
        assert image == bytes_of[row["image_id"]] and records.name(number) == row["image_id"]


def test_all_are_mixed_where_they_are_few_and_neighbours_where_they_are_many(run, monkeypatch):
    _, out = run
    monkeypatch.setattr(shards, "GROUP", 7)
    assert isinstance(OwnRecords(out, 16).order, Shuffled)
    monkeypatch.setattr("uip2p.datasets.generated.ALL", 10)
    assert isinstance(OwnRecords(out, 16).order, BlockShuffled)


def test_training_reads_them_and_holds_out_whole_pictures(run):
    _, out = run
    train, validation = (OwnRecords(out, 16, split=split, validation=0.3) for split in ("train", "validation"))
    assert len(train) + len(validation) == len(rows(out)) and len(validation) > 0
    pictures = [{records.source.name(row) for row in records.rows} for records in (train, validation)]
    assert pictures[0].isdisjoint(pictures[1])
    sample = train[3]
    assert sample["image"].shape == (16, 16, 3)
    assert set(sample) == {"image", "caption", "instruction", "edited_caption", "reverse_instruction"}


def test_only_texts_and_the_row_of_the_picture_before_are_read():
    assert COLUMNS == ["row", "id", "image_id", "caption", "instruction", "edited_caption", "reverse_instruction"]


def test_a_run_in_progress_trains_on_what_is_finished_and_says_so(run):
    _, out = run
    place(out, "shards", 1).unlink()
    place(out, "journal", 1).touch()
    with pytest.warns(UserWarning, match=r"not finished \(1 shards are, 1 are in progress\)"):
        records = open_records(out)
    assert len(records) == len(rows(out))
    place(out, "shards", 0).unlink()
    with pytest.raises(UserError, match="no shard is finished yet"):
        open_records(out)


def test_a_source_that_moved_is_told_where_to_be_noted(run, tmp_path):
    source, out = run
    moved = source.rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"pictures are in the captions' source, .*run the data generate command again"):
        open_records(out)
    generate(config(moved), out, make_writer=ColorWriter, quiet=True)
    assert open_records(out).record(0).image.parent == moved


def test_a_source_that_changed_is_refused(run):
    source, out = run
    lines = (source / "metadata.jsonl").read_text().splitlines(keepends=True)
    (source / "metadata.jsonl").write_text("".join(lines[:-1]))
    with pytest.raises(UserError, match=r"written for 100 captions, .*'19.png#5', and .* has others now"):
        open_records(out)
    (source / "metadata.jsonl").write_text("".join([lines[0], *lines[-2:0:-1], lines[-1]]))  # as many, other order
    records = open_records(out)
    wrong = next(n for n, row in enumerate(rows(out)) if row["image_id"] not in ("0.png", "19.png"))
    with pytest.raises(UserError, match="in its place the source has"):
        records.record(wrong)


def test_a_damaged_shard_names_the_way_out(run):
    source, out = run
    before = edits_and_rejected(out)
    path = place(out, "edits", 1)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"edits/00001.parquet: is missing or damaged.*Remove .*shards/00001.json"):
        open_records(out)
    place(out, "shards", 1).unlink()
    generate(config(source), out, make_writer=ColorWriter, quiet=True)
    assert edits_and_rejected(out) == before


def test_config_of_something_else_is_an_error(run):
    _, out = run
    (out / "config.json").write_text(json.dumps({"train": 1}))
    with pytest.raises(UserError, match="is not that of a run of data generate"):
        open_records(out)
