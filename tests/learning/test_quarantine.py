"""A picture that cannot be decoded: its neighbour takes its place, it is written down, and too many stop the run."""

import io
import json
import multiprocessing
from collections import Counter

import pytest
from caption_sources import png, write_parquet, write_tar

from uip2p.errors import UserError
from uip2p.learning.data import OwnRecords, StepSampler, batches
from uip2p.learning.quarantine import Quarantine

TEXTS = {"instruction": "i", "edited_caption": "e", "reverse_instruction": "r"}


def folder(path, count, bad=()):
    """Pictures told apart by their captions; `bad` ones cannot be decoded."""
    path.mkdir()
    for number in range(count):
        (path / f"{number}.png").write_bytes(b"garbage" if number in bad else png(number))
    rows = [json.dumps({"file_name": f"{number}.png", "caption": str(number), **TEXTS}) for number in range(count)]
    (path / "metadata.jsonl").write_text("\n".join(rows))
    return path


def captions(records, indices):
    return [int(records[index]["caption"]) for index in indices]


def test_the_next_row_of_the_order_takes_the_place(tmp_path):
    whole = captions(OwnRecords(folder(tmp_path / "whole", 30), 8, seed=3), range(90))
    bad = {whole[4], whole[10], whole[11]}
    records = OwnRecords(folder(tmp_path / "broken", 30, bad), 8, seed=3, corrupt=0.1)
    expected = [next(row for row in whole[index:] if row not in bad) for index in range(60)]
    assert captions(records, range(60)) == expected and expected[4] == whole[5] and expected[10] == whole[12]
    again = OwnRecords(tmp_path / "broken", 8, seed=3, corrupt=0.1)
    assert captions(again, reversed(range(60))) == expected[::-1], "a function of the index and of nothing before it"
    assert all(records[index]["image"][0, 0, 0] == expected[index] for index in range(60)), "picture and texts together"


@pytest.mark.parametrize("world", [1, 2])
def test_ranks_and_workers_stay_in_step(tmp_path, world):
    path = folder(tmp_path / "data", 40, {3, 17})
    log = tmp_path / "run/quarantine.jsonl"
    plain = [step for step in batches(OwnRecords(path, 8), StepSampler(0, 20, 6))]
    for workers in (0, 2):
        ranks = [
            list(batches(OwnRecords(path, 8, quarantine=log), StepSampler(0, 20, 6, rank, world), workers))
            for rank in range(world)
        ]
        for step in range(20):
            found = [row["caption"] for rank in ranks for row in rank[step]]
            assert found == [row["caption"] for row in plain[step]]
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {line["row"] for line in lines} == {"3.png", "17.png"}
    assert all("not a picture we can read" in line["reason"] for line in lines)


def test_it_is_written_once_and_named_as_its_source_names_it(tmp_path):
    log = tmp_path / "quarantine.jsonl"
    (tmp_path / "tar").mkdir()
    rows = [{"image": b"garbage" if i == 3 else png(i), "caption": str(i), **TEXTS} for i in range(20)]
    write_parquet(tmp_path / "parquet/a.parquet", rows)
    write_tar(tmp_path / "tar/a.tar", {name: data for i, row in enumerate(rows) for name, data in (
        (f"{i}.png", row["image"]), (f"{i}.json", json.dumps(row | {"image": 0}).encode()))})  # fmt: skip
    for kind, name in (("parquet", "a.parquet:0:3"), ("tar", "a.tar:3")):
        log.unlink(missing_ok=True)
        records = OwnRecords(tmp_path / kind, 8, quarantine=log)
        assert set(captions(records, range(100))) == set(range(20)) - {3}
        assert [json.loads(line)["row"] for line in log.read_text().splitlines()] == [name]


def test_only_pictures_are_replaced(tmp_path):
    path = folder(tmp_path / "data", 20, {3})
    good = OwnRecords(path, 8)
    rows = [{"image": png(i), "caption": str(i), **TEXTS} for i in range(20)]
    rows[3] |= {"instruction": " ", "image": b"garbage"}
    write_parquet(tmp_path / "parquet/a.parquet", rows)
    with pytest.raises(UserError, match=r"a\.parquet:0:3: the field 'instruction' must be text"):
        captions(OwnRecords(tmp_path / "parquet", 8), range(20))
    write_tar(tmp_path / "a.tar", {name: data for i in range(3) for name, data in (
        (f"{i}.png", png(i)), (f"{i}.json", json.dumps(rows[i] | {"image": 0}).encode()))})  # fmt: skip
    records = OwnRecords(tmp_path / "a.tar", 8)
    (tmp_path / "a.tar").write_bytes((tmp_path / "a.tar").read_bytes()[:700])
    with pytest.raises(UserError, match="ends in the middle of a row"):
        captions(records, range(3))
    assert len(captions(good, range(20))) == 20


# ---- when it is too many --------------------------------------------------------------------------------------


def stops_at(count, bad, share=0.01):
    """After how many rows a run of `count` different ones stops, None if it does not. bad: row → whether it is."""
    quarantine = Quarantine(None, share, count)
    for row in range(count):
        quarantine.seen += 1
        if bad(row):
            try:
                quarantine.add(str(row), "damaged.")
            except UserError:
                return row + 1
    return None


def test_the_bound():
    assert stops_at(100_000, lambda row: True) == 6, "nothing but bad pictures: at once"
    assert stops_at(100_000, lambda row: row % 3 == 0) == 16
    assert 400 < stops_at(100_000, lambda row: row % 50 == 0) < 600, "two per cent"
    assert stops_at(100_000, lambda row: row % 100 == 0) is None, "one per cent is allowed"
    assert stops_at(100_000, lambda row: row in (0, 1, 2)) is None, "bad luck at the beginning"
    assert stops_at(100_000, lambda row: row % 3 == 0, share=0.5) is None
    assert stops_at(1000, lambda row: row == 700, share=0.0) == 701, "none at all"


@pytest.mark.parametrize(("count", "forgiven"), [(1, 0), (9, 0), (10, 1), (20, 2), (40, 4), (50, 5), (90, 5)])
def test_a_small_set_forgives_one_in_ten(count, forgiven):
    assert stops_at(count, lambda row: row < forgiven) is None
    assert stops_at(count, lambda row: row <= forgiven) == forgiven + 1


def test_a_bad_row_counts_once_however_many_epochs():
    quarantine = Quarantine(None, 0.01, 20)
    for _ in range(1000):
        quarantine.seen += 20
        quarantine.add("a", "damaged.")
        quarantine.add("b", "damaged.")
    with pytest.raises(UserError, match=r"^3 of 20 pictures cannot be read, more than data\.corrupt = 0\.01 allows"):
        quarantine.add("c", "damaged.")


def test_the_error_says_which_and_where_they_are_listed(tmp_path):
    path, log = folder(tmp_path / "data", 100, range(100)), tmp_path / "quarantine.jsonl"
    says = rf"^6 of 6 pictures .* {log} names them\. The last one, \d+\.png: .*not a picture"
    with pytest.raises(UserError, match=says):
        OwnRecords(path, 8, quarantine=log)[0]
    assert len(log.read_text().splitlines()) == 6
    with pytest.raises(UserError, match="not one picture can be read"):
        OwnRecords(folder(tmp_path / "few", 5, range(5)), 8, corrupt=1.0)[0]


def test_it_cannot_be_written(tmp_path):
    (tmp_path / "run").write_text("a file, no folder")
    records = OwnRecords(folder(tmp_path / "data", 20, {3}), 8, quarantine=tmp_path / "run/quarantine.jsonl")
    with pytest.raises(UserError, match=r"quarantine\.jsonl: could not be written"):
        captions(records, range(20))


def write_many(path, who):
    quarantine = Quarantine(path, 1.0, 1000)
    for number in range(200):
        quarantine.seen += 1
        quarantine.add(f"{who}-{number}", "long " * 300)


def test_lines_of_several_processes_do_not_mix(tmp_path):
    path, context = tmp_path / "quarantine.jsonl", multiprocessing.get_context("fork")
    processes = [context.Process(target=write_many, args=(path, who)) for who in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    lines = [json.loads(line) for line in io.StringIO(path.read_text())]
    assert Counter(line["row"].split("-")[0] for line in lines) == {"0": 200, "1": 200, "2": 200}
