"""Folder, Parquet and WebDataset shards: the same rows, whatever they lie in, and clear words about bad ones."""

import io
import json
import tarfile

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from uip2p.datasets import open_records
from uip2p.errors import UserError
from uip2p.images import load_image
from uip2p.learning.data import OwnRecords, StepSampler, batches

COUNT = 50


def texts(number):
    return {"caption": f"a car {number}", "instruction": "make the car blue", "edited_caption": f"a blue car {number}",
            "reverse_instruction": "make the car red"}  # fmt: skip


def png(number) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (20, 16), (number, 0, 200)).save(stream, "PNG")
    return stream.getvalue()


def make_folder(path):
    path.mkdir()
    for number in range(COUNT):
        (path / f"{number}.png").write_bytes(png(number))
    rows = [json.dumps({"file_name": f"{number}.png", **texts(number)}) for number in range(COUNT)]
    (path / "metadata.jsonl").write_text("\n".join(rows))


def make_parquet(path):
    path.mkdir()
    for number, part in enumerate((range(20), range(20, COUNT))):
        rows = [{"image": {"bytes": png(i), "path": f"{i}.png"}, **texts(i)} for i in part]
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path / f"part-{number}.parquet", row_group_size=7)


def make_tar(path, change=None):
    path.mkdir(exist_ok=True)
    for number, part in enumerate((range(20), range(20, COUNT))):
        with tarfile.open(path / f"{number:05d}.tar", "w") as shard:
            for i in part:
                files = {f"{i:09d}.png": png(i), f"{i:09d}.json": json.dumps(texts(i)).encode(), f"{i:09d}.txt": b"x"}
                for name, data in (change(files) if change else files).items():
                    info = tarfile.TarInfo(name)
                    info.size = len(data)
                    shard.addfile(info, io.BytesIO(data))


MAKERS = {"folder": make_folder, "parquet": make_parquet, "tar": make_tar}


@pytest.mark.parametrize("kind", MAKERS)
def test_every_source_has_the_same_rows(tmp_path, kind):
    MAKERS[kind](tmp_path / kind)
    source = open_records(tmp_path / kind)
    assert len(source) == COUNT == sum(source.blocks) and len({source.name(row) for row in range(COUNT)}) == COUNT
    for row in (0, 6, 7, 19, 20, 49):
        record = source.record(row)
        assert record.caption == f"a car {row}" and record.edited_caption == f"a blue car {row}"
        assert np.asarray(load_image(record.image))[0, 0].tolist() == [row, 0, 200]


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("workers", [0, 2])
def test_training_reads_each_row_once_an_epoch_from_any_number_of_workers(tmp_path, kind, workers):
    MAKERS[kind](tmp_path / kind)
    records = OwnRecords(tmp_path / kind, 8, seed=3)
    seen = [row for step in batches(records, StepSampler(0, 10, 5), workers) for row in step]
    assert sorted(row["image"][0, 0, 0] for row in seen) == list(range(COUNT))
    assert [row["caption"] for row in seen] != [f"a car {number}" for number in range(COUNT)]
    assert all(row["caption"] == f"a car {row['image'][0, 0, 0]}" for row in seen)


def test_a_single_file_will_do(tmp_path):
    make_parquet(tmp_path / "p")
    make_tar(tmp_path / "t")
    assert len(open_records(tmp_path / "p/part-0.parquet")) == 20 and len(open_records(tmp_path / "t/00001.tar")) == 30


def test_bad_parquet_is_named(tmp_path):
    rows = [{"image": {"bytes": png(0), "path": "0.png"}, **texts(0)}, {"image": None, **texts(1)}]
    rows.append({"image": {"bytes": png(2), "path": "2.png"}, **texts(2), "instruction": " "})
    file = tmp_path / "rows.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    source = open_records(file)
    with pytest.raises(UserError, match=r"rows\.parquet, row rows\.parquet:0:1: the field 'image' is missing"):
        source.record(1)
    with pytest.raises(UserError, match="the field 'instruction' must be text that is not empty"):
        source.record(2)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([{"picture": 1, "caption": "a"}]), file)
    with pytest.raises(UserError, match="has no column 'image'; there are picture, caption"):
        open_records(file)
    file.write_bytes(b"PAR1 and then nothing")
    with pytest.raises(UserError, match="cannot be read as Parquet"):
        open_records(file)


def test_bad_shards_are_named(tmp_path):
    make_tar(tmp_path, lambda files: {name: data for name, data in files.items() if name != "000000003.json"})
    with pytest.raises(UserError, match=r"00000\.tar, 000000003: has no 000000003\.json"):
        open_records(tmp_path)
    make_tar(tmp_path, lambda files: {name: data if "3.json" not in name else b"{" for name, data in files.items()})
    with pytest.raises(UserError, match=r"000000003: 000000003\.json is not valid JSON"):
        open_records(tmp_path).record(3)
    make_tar(tmp_path)
    source, shard = open_records(tmp_path), tmp_path / "00001.tar"
    shard.write_bytes(shard.read_bytes()[:9000])
    with pytest.raises(UserError, match=r"00001\.tar: ends in the middle of a row"):
        source.record(49)
    shard.write_bytes(b"this is no tar" * 100)
    with pytest.raises(UserError, match=r"00001\.tar: cannot be read as an uncompressed \.tar"):
        open_records(tmp_path)


def test_nothing_that_can_be_read(tmp_path):
    with pytest.raises(UserError, match="there is no such file or folder"):
        open_records(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(UserError, match=r"holds no metadata\.jsonl, no \.parquet and no \.tar"):
        open_records(tmp_path)
