"""Shards and streams: every caption once, from any place on, the captions of one picture together."""

import json
from itertools import islice

import pytest
from caption_sources import COUNT, jsonl, parquet, png, text, webdataset, write_parquet, write_tar

from uip2p.datasets import open_captions
from uip2p.datasets.streaming import PART, CaptionStream, Shard, read, shards, shuffled
from uip2p.errors import UserError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def of_list(tmp_path, counts):
    """A Parquet of pictures with so many captions each, in row groups of 7 pictures."""
    rows = [{"image": png(i), "caption": [f"{i} {n}" for n in range(count)]} for i, count in enumerate(counts)]
    return open_captions(write_parquet(tmp_path / "a.parquet", rows, row_group_size=7))


@pytest.mark.parametrize("rows", [1, 3, 10, 33, 1000])
def test_shards_cover_everything_once_and_part_no_picture(tmp_path, rows):
    source = of_list(tmp_path, [1 + (i * 7) % 5 for i in range(60)])
    parts = shards(source, rows)
    assert [part.number for part in parts] == list(range(len(parts)))
    assert [row for part in parts for row, *_ in read(source, part)] == list(range(len(source)))
    owners = {}
    for part in parts:
        for row, caption, _ in read(source, part):
            assert caption == source.caption(row)
            assert owners.setdefault(caption.image_id, part.number) == part.number
    assert all(rows / 2 <= part.rows <= 1.5 * rows + 5 for part in parts[:-1])
    assert shards(source, rows) == parts


def test_shards_end_where_blocks_do(tmp_path):
    webdataset(tmp_path / "tars")  # 20 and 30 rows
    source = open_captions(tmp_path / "tars")
    assert [part.rows for part in shards(source, 20)] == [20, 30]
    assert [part.rows for part in shards(source, 10)] == [10, 10, 10, 10, 10]
    jsonl(tmp_path / "folder")
    assert [part.rows for part in shards(open_captions(tmp_path / "folder"), 20)] == [20, 20, 10]


def test_a_shard_goes_on_from_any_row(tmp_path):
    parquet(tmp_path / "data")
    source = open_captions(tmp_path / "data")
    part = shards(source, 20)[1]
    whole = [(row, caption) for row, caption, _ in read(source, part)]
    for start in (0, 1, 13, part.rows):
        assert [(row, caption) for row, caption, _ in read(source, part, start)] == whole[start:]
    row, caption, picture = next(read(source, part, 5))
    assert row == part.first + 5 and caption.caption == text(row) and picture() == png(row)


def test_a_bad_row_comes_as_its_error_and_the_next_follows(tmp_path):
    rows = [{"image": png(i), "caption": None if i == 2 else text(i)} for i in range(5)]
    source = open_captions(write_parquet(tmp_path / "a.parquet", rows))
    found = [caption for _, caption, _ in read(source, shards(source, 10)[0])]
    assert isinstance(found[2], UserError) and "a.parquet:0:2: the field 'caption' is missing" in str(found[2])
    assert [found[i].caption for i in (0, 1, 3, 4)] == [text(i) for i in (0, 1, 3, 4)]


def streams(tmp_path):
    webdataset(tmp_path / "tars")
    parquet(tmp_path / "parquet")
    yield "tars", open_captions(tmp_path / "tars", streaming=True)
    yield "hub", open_captions(tmp_path / "parquet", streaming=True, layout="datasets")


def test_streams_have_the_same_captions_and_pictures(tmp_path):
    for kind, stream in streams(tmp_path):
        assert isinstance(stream, CaptionStream)
        parts = shards(stream, 7)
        assert parts == [Shard(0, 0, None), Shard(1, PART, None)], kind
        found = [(row, caption.caption, picture()) for part in parts for row, caption, picture in read(stream, part)]
        rows = [*range(20), *(PART + i for i in range(30))]
        assert found == [(row, text(i), png(i)) for i, row in enumerate(rows)], kind
        late = [(row, caption.caption) for row, caption, _ in read(stream, parts[1], 12)]
        assert late == [(PART + i, text(20 + i)) for i in range(12, 30)], kind
    ids = [caption.id for part in parts for _, caption, _ in read(stream, part)]
    assert ids[21] == "train:1:1" and len(set(ids)) == COUNT


def test_a_tar_has_the_same_ids_streamed_or_not(tmp_path):
    webdataset(tmp_path / "tars")
    source, stream = open_captions(tmp_path / "tars"), open_captions(tmp_path / "tars", streaming=True)
    streamed = [caption for part in shards(stream, 1) for _, caption, _ in read(stream, part)]
    assert streamed == [source.caption(row) for row in range(COUNT)]


def test_an_empty_tar_is_an_empty_part(tmp_path):
    write_tar(tmp_path / "0.tar", {})
    write_tar(tmp_path / "1.tar", {"a.jpg": png(1), "a.txt": b"one"})
    stream = open_captions(tmp_path, streaming=True)
    assert [[caption.id for _, caption, _ in read(stream, part)] for part in shards(stream, 1)] == [[], ["1.tar:a"]]
    assert len(open_captions(tmp_path)) == 1


def test_lists_of_captions_in_a_stream(tmp_path):
    rows = [{"image": png(i), "captions": [f"{i} {n}" for n in range(i)]} for i in range(4)]
    write_parquet(tmp_path / "data/a.parquet", rows)
    stream = open_captions(tmp_path / "data", streaming=True, layout="datasets")
    found = [caption for _, caption, _ in read(stream, shards(stream, 1)[0])]
    assert isinstance(found[0], UserError)
    assert [caption.id for caption in found[1:]] == [
        "train:0:1", "train:0:2#1", "train:0:2#2", "train:0:3#1", "train:0:3#2", "train:0:3#3"
    ]  # fmt: skip
    assert [caption.id for _, caption, _ in read(stream, shards(stream, 1)[0], 3)] == [c.id for c in found[3:]]


def test_a_stream_leaves_other_columns_where_they_are(tmp_path):
    rows = [{"input": "a", "edit": "b", "output": "c", "input_image": png(0), "output_image": png(1)}]
    write_parquet(tmp_path / "data/a.parquet", rows)
    stream = open_captions(tmp_path / "data", streaming=True, layout="datasets")
    assert sorted(next(iter(stream.dataset))) == ["edit", "input", "input_image", "output"]


def test_a_stream_of_magicbrush_and_of_anything_else_is_refused(tmp_path):
    write_parquet(tmp_path / "a.parquet", [{"img_id": "1", "turn_index": 1, "source_img": png(0), "instruction": "x"}])
    with pytest.raises(UserError, match="MagicBrush is not read as a stream"):
        open_captions(tmp_path, streaming=True, layout="datasets")
    with pytest.raises(UserError, match="option streaming is not for the layout 'parquet'"):
        open_captions(tmp_path, streaming=True)


# ---- shuffled -------------------------------------------------------------------------------------------------


def many_tars(path, parts=6, rows=10):
    for part in range(parts):
        files = [(f"{i}.{kind}", data) for i in range(part * rows, part * rows + rows)
                 for kind, data in (("png", png(i)), ("txt", str(i).encode()))]  # fmt: skip
        write_tar(path / f"{part}.tar", files)
    return open_captions(path, streaming=True)


def numbers(rows, count):
    return [int(caption.caption) for _, caption, _ in islice(rows, count)]


@pytest.mark.parametrize("of", [1, 2, 3])
def test_each_epoch_is_in_an_order_of_its_own_and_shared_out(tmp_path, of):
    stream = many_tars(tmp_path)
    readers = [shuffled(stream, 5, (mine, of), window=4) for mine in range(of)]
    epochs = [[numbers(reader, 60 // of) for reader in readers] for _ in range(3)]
    for epoch in epochs:
        assert sorted(number for share in epoch for number in share) == list(range(60))
    assert epochs[0] != epochs[1] != epochs[2] and epochs[0][0] != sorted(epochs[0][0])
    assert numbers(shuffled(stream, 5, (0, of), window=4), 60 // of) == epochs[0][0]
    assert numbers(shuffled(stream, 6, (0, of), window=4), 60 // of) != epochs[0][0]
    with pytest.raises(UserError, match="6 parts cannot be shared by 7 readers"):
        next(shuffled(stream, 0, (0, 7)))


def test_it_goes_on_from_any_position_and_looks_at_no_other_part(tmp_path, monkeypatch):
    stream = many_tars(tmp_path)
    whole = [(position, caption.id) for position, caption, _ in islice(shuffled(stream, 5, window=4), 130)]
    touched = []
    real = type(stream).read

    def noted(self, part, start=0):
        touched.append(part)
        return real(self, part, start)

    monkeypatch.setattr(type(stream), "read", noted)
    for at in (0, 1, 9, 10, 37, 60, 119):
        touched.clear()
        position = type(whole[0][0])(*json.loads(json.dumps(whole[at][0])))
        rest = shuffled(stream, 5, position=position, window=4)
        assert [(place, caption.id) for place, caption, _ in islice(rest, 5)] == whole[at + 1 : at + 6]
        assert len(touched) <= 2


def test_pictures_of_a_stream_are_those_of_its_captions(tmp_path):
    for _, caption, picture in islice(shuffled(many_tars(tmp_path), 1, window=4), 20):
        assert picture() == png(int(caption.caption))
