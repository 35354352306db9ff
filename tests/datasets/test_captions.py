"""Captions from every layout: the same rows, their pictures, their ids; and which columns are what."""

import io
import json
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
from caption_sources import (
    COUNT,
    MAKERS,
    break_column,
    parquet,
    pictures,
    png,
    text,
    webdataset,
    write_parquet,
    write_tar,
)

from uip2p.datasets import open_captions
from uip2p.datasets.parquet import RowGroups
from uip2p.datasets.tar import list_fully, list_plainly
from uip2p.errors import UserError
from uip2p.images import load_image


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The datasets library keeps what it converts; here, in the test's own folder."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def red(source, row) -> int:
    return int(np.asarray(load_image(source.image(row)))[0, 0, 0])


@pytest.mark.parametrize("kind", MAKERS)
def test_every_layout_has_the_same_captions(tmp_path, kind):
    MAKERS[kind](tmp_path / "data")
    source = open_captions(tmp_path / "data")
    assert len(source) == COUNT == sum(source.blocks)
    captions = [source.caption(row) for row in range(COUNT)]
    assert [caption.caption for caption in captions] == [text(row) for row in range(COUNT)]
    assert len({caption.id for caption in captions}) == COUNT
    assert all(caption.image_id == caption.id == source.image_id(row) for row, caption in enumerate(captions))
    assert not any(str(tmp_path) in caption.id for caption in captions), "the same in every copy"
    assert [red(source, row) for row in (0, 7, 19, 20, 49)] == [0, 7, 19, 20, 49]
    with pytest.raises(IndexError):
        source.caption(COUNT)
    again = pickle.loads(pickle.dumps(source))
    assert again.caption(30) == captions[30] and red(again, 30) == 30


def test_ids_say_where(tmp_path):
    for kind, expected in {
        "jsonl": "images/21.png", "csv": "21.png", "beside": "1/21.JPG", "parquet": "train-1.parquet:0:1",
        "webdataset": "00001.tar:000010021", "saved": "saved:21",
    }.items():  # fmt: skip
        MAKERS[kind](tmp_path / kind)
        assert open_captions(tmp_path / kind).caption(21).id == expected


def test_a_hub_data_set_is_read_through_the_library(tmp_path):
    """A folder stands for the hub here: the library reads both alike."""
    parquet(tmp_path / "data")
    where = tmp_path / "data"
    source = open_captions(where, layout="datasets")
    assert [source.caption(row).caption for row in range(COUNT)] == [text(row) for row in range(COUNT)]
    assert source.caption(21).id == "train:21" and red(source, 21) == 21
    with pytest.raises(UserError, match=r"cannot be loaded as a data set .*test"):
        open_captions(where, layout="datasets", split="test")
    with pytest.raises(UserError, match=r"nobody/nothing@v2: cannot be loaded as a data set \("):
        open_captions("nobody/nothing@v2")


def test_a_split_of_a_saved_dictionary(tmp_path):
    import datasets

    part = datasets.Dataset.from_dict({"image": [png(3)], "caption": ["three"]})
    datasets.DatasetDict({"train": part, "dev": part}).save_to_disk(tmp_path / "data")
    assert open_captions(tmp_path / "data", split="dev").caption(0).id == "dev:0"
    with pytest.raises(UserError, match="no split 'test'; there are train, dev"):
        open_captions(tmp_path / "data", split="test")


# ---- several captions of a picture -------------------------------------------------------------------------


def test_captions_of_a_picture_follow_each_other(tmp_path):
    rows = [(0, ["zero", "null"]), (1, ["one"]), (2, []), (3, ["three", "drei", "trois"])]
    jsonl, table = tmp_path / "jsonl", tmp_path / "parquet"
    pictures(jsonl, [f"{number}.png" for number, _ in rows])
    lines = [json.dumps({"file_name": f"{number}.png", "captions": texts}) for number, texts in rows]
    (jsonl / "metadata.jsonl").write_text("\n".join(lines))
    write_parquet(table / "a.parquet", [{"image": png(number), "captions": texts} for number, texts in rows],
                  row_group_size=2)  # fmt: skip
    for folder, name, blocks in ((jsonl, "{}.png", [2, 1, 1, 3]), (table, "a.parquet:{}", [3, 4])):
        source = open_captions(folder)
        assert source.blocks == blocks and len(source) == 7
        assert [source.caption(row).caption for row in (0, 1, 2, 4, 5, 6)] == [
            "zero", "null", "one", "three", "drei", "trois"
        ]  # fmt: skip
        with pytest.raises(UserError, match="'captions' is missing: the picture has no caption"):
            source.caption(3)
        place = name.format("0" if folder == jsonl else "0:0")
        assert [source.caption(row).id for row in (0, 1)] == [f"{place}#1", f"{place}#2"]
        assert source.caption(1).image_id == place and "#" not in source.caption(2).id
        assert [red(source, row) for row in range(7)] == [0, 0, 1, 2, 3, 3, 3]


def test_rows_of_the_same_picture_are_its_captions(tmp_path):
    pictures(tmp_path, ["a.png", "b.png"])
    (tmp_path / "metadata.csv").write_text(
        "file_name,caption,edit\na.png,one,paint it\nb.png,two,\na.png,three,cut it\n"
    )
    source = open_captions(tmp_path)
    assert [(c.id, c.caption, c.instruction) for c in map(source.caption, range(3))] == [
        ("a.png#1", "one", "paint it"), ("a.png#2", "three", "cut it"), ("b.png", "two", "")
    ]  # fmt: skip


# ---- columns ------------------------------------------------------------------------------------------------


def test_hq_edit_is_found_by_its_columns_and_its_edited_picture_is_not_read(tmp_path):
    rows = [{"input": f"cat {i}", "edit": "make it a dog", "inverse_edit": "make it a cat", "output": f"dog {i}",
             "input_image": {"bytes": png(i), "path": None}, "output_image": {"bytes": b"never", "path": None}}
            for i in range(9)]  # fmt: skip
    file = write_parquet(tmp_path / "data/train-00000-of-00001.parquet", rows)
    break_column(file, "output_image")
    source = open_captions(tmp_path)
    assert source.columns.texts == ["input", "edit", "output", "inverse_edit"]
    caption = source.caption(4)
    assert (caption.caption, caption.instruction, caption.edited_caption, caption.reverse_instruction) == (
        "cat 4", "make it a dog", "dog 4", "make it a cat"
    )  # fmt: skip
    assert red(source, 4) == 4


def test_a_column_can_be_named_and_a_wrong_one_lists_those_there(tmp_path):
    parquet(tmp_path)
    with pytest.raises(UserError, match="has no column 'words'; there are image, TEXT, n"):
        open_captions(tmp_path, columns={"caption": "words"})
    with pytest.raises(UserError, match="columns has no field 'captoin'"):
        open_captions(tmp_path, columns={"captoin": "TEXT"})
    write_parquet(tmp_path / "own/a.parquet", [{"x": "a cat", "y": png(1)}])
    with pytest.raises(UserError, match=r"no column is called as a caption usually is .*; there are x, y"):
        open_captions(tmp_path / "own")
    source = open_captions(tmp_path / "own", columns={"caption": "x", "image": "y"})
    assert source.caption(0).caption == "a cat" and red(source, 0) == 1
    (tmp_path / "metadata.csv").write_text("file_name,words\na.png,hello\n")
    with pytest.raises(UserError, match=r"metadata\.csv: no column .* a caption .* there are file_name, words"):
        open_captions(tmp_path / "metadata.csv")


def test_an_output_that_is_a_picture_is_no_edited_caption(tmp_path):
    write_parquet(tmp_path / "a.parquet", [{"prompt": "a cat", "image": png(0), "output": png(1), "edit": 5}])
    caption = open_captions(tmp_path).caption(0)
    assert caption.caption == "a cat" and caption.edited_caption == caption.instruction == ""


def test_files_of_one_split(tmp_path):
    write_parquet(tmp_path / "data/train-00000-of-00001.parquet", [{"image": png(0), "caption": "train"}])
    write_parquet(tmp_path / "data/dev-00000-of-00001.parquet", [{"image": png(0), "caption": "dev"}])
    assert len(open_captions(tmp_path)) == 2
    assert open_captions(tmp_path, split="dev").caption(0).caption == "dev"
    with pytest.raises(UserError, match=r"has no test-….parquet file. There are dev-00000-of-00001.parquet, train"):
        open_captions(tmp_path, split="test")


def test_captions_of_parquet_are_read_without_the_pictures(tmp_path):
    file = write_parquet(tmp_path / "a.parquet", [{"image": png(0), "caption": "a cat"}])
    break_column(file, "image")
    source = open_captions(file)
    assert source.caption(0).caption == "a cat"
    with pytest.raises(UserError, match="row group 0 is damaged"):
        source.image(0)


def test_few_files_are_open_and_few_row_groups_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("uip2p.datasets.parquet.OPEN", 3)
    for number in range(9):
        write_parquet(tmp_path / f"{number}.parquet", [{"image": png(i), "caption": text(i)} for i in range(8)],
                      row_group_size=2)  # fmt: skip
    rows = RowGroups(sorted(tmp_path.iterdir()))
    for _ in range(2):
        assert [rows.fields(row, ["caption"])["caption"] for row in range(72)] == [text(i) for i in range(8)] * 9
        assert len(rows.opened) == 3 and len(rows.kept) == 8


# ---- tar ----------------------------------------------------------------------------------------------------


def test_a_caption_is_in_txt_or_in_json_and_a_failed_download_is_no_row(tmp_path):
    about = {"caption": "from json", "alt": "from alt", "edit": "make it red"}
    files = {
        "a.jpg": png(1), "a.json": json.dumps(about).encode(), "a.txt": b" from txt\n",
        "gone.json": json.dumps({"caption": "x", "status": "failed_to_download"}).encode(), "gone.txt": b"x",
        "b.jpg": png(2), "b.txt": b"b",
    }  # fmt: skip
    write_tar(tmp_path / "0.tar", files)
    source = open_captions(tmp_path)
    assert len(source) == 2 and source.skipped == {"row without a picture": 1}
    assert source.caption(0).caption == "from txt" and source.caption(0).instruction == "make it red"
    assert source.caption(1).caption == "b" and [red(source, row) for row in (0, 1)] == [1, 2]
    assert open_captions(tmp_path, columns={"caption": "alt"}).caption(0).caption == "from alt"
    with pytest.raises(UserError, match=r"a\.json: has no column 'words'; there are caption, alt, edit"):
        open_captions(tmp_path, columns={"caption": "words"})
    write_tar(tmp_path / "0.tar", {name: data for name, data in files.items() if name != "a.txt"})
    assert open_captions(tmp_path).caption(0).caption == "from json"
    with pytest.raises(UserError, match=r"0\.tar:b: the field 'caption' is missing: the picture has no caption"):
        open_captions(tmp_path).caption(1)


def archive(path, format, names, **about):
    with tarfile.open(path, "w", format=format) as shard:
        for number, name in enumerate(names):
            info = tarfile.TarInfo(name)
            info.size = 0 if name.endswith("/") else number * 300
            info.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            for field, value in about.items():
                setattr(info, field, value)
            shard.addfile(info, io.BytesIO(bytes(info.size)))


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize(
    "names", [["a.jpg", "a.txt", "b/", "b/c.jpg", "b/c.json"], ["f/" * 60 + "a.jpg"], ["ü.jpg", "犬.txt"], []]
)
@pytest.mark.parametrize("about", [{}, {"mtime": 1.25}, {"uname": "ü"}])
def test_a_tar_is_listed_plainly_or_fully_with_the_same_outcome(tmp_path, format, names, about):
    file = tmp_path / "0.tar"
    archive(file, format, names, **about)
    fully, plainly = list_fully(file), list_plainly(file)
    assert plainly in (None, fully) and len(fully) == len(names)
    if format != tarfile.GNU_FORMAT and names[:1] == ["a.jpg"] and "uname" not in about:
        assert plainly == fully, "the fast way is taken where it can be"


def test_the_fast_way_gives_up_on_what_is_wrong(tmp_path):
    file = tmp_path / "0.tar"
    archive(file, tarfile.USTAR_FORMAT, ["a.jpg", "a.txt"])
    whole = bytearray(file.read_bytes())
    assert list_plainly(file) is not None
    for at, content in ((0, b"X"), (124, b"-0000001000"), (124, b"77777777777"), (156, b"L"), (148, b"0000000")):
        broken = whole[:at] + content + whole[at + len(content) :]
        if at == 124:  # a checksum that is right
            broken[148:156] = b" " * 8
            broken[148:156] = b"%06o\0 " % sum(broken[:512])
        file.write_bytes(broken)
        assert list_plainly(file) is None, content
    for length in (100, 700):
        file.write_bytes(whole[:length])
        assert list_plainly(file) is None


def test_tables_that_img2dataset_leaves_beside_its_tars_are_not_the_source(tmp_path):
    webdataset(tmp_path / "data")
    assert open_captions(tmp_path / "data").caption(0).id == "00000.tar:000000000"


# ---- InstructPix2Pix ------------------------------------------------------------------------------------------


def ip2p(path, prompts=40):
    """The edited pictures are garbage or not there at all: nobody opens them."""
    seeds = []
    for number in range(prompts):
        folder = path / f"{number:07d}"
        folder.mkdir(parents=True)
        seeds.append([folder.name, ["11", "22"]])
        key = ("input", "caption")[number % 2]
        prompt = {key: f"cat {number}", "edit": "make it a dog", "output": "dog"}
        (folder / "prompt.json").write_text(json.dumps(prompt))
        (folder / "11_0.jpg").write_bytes(png(number))
        (folder / "22_0.jpg").write_bytes(png(number + 100))
        (folder / "11_1.jpg").write_bytes(b"garbage")
    (path / "seeds.json").write_text(json.dumps(seeds))
    (path / "metadata.json").write_text("{}")


def test_instruct_pix2pix_in_its_own_layout(tmp_path):
    ip2p(tmp_path)
    source = open_captions(tmp_path)
    assert len(source) == 80 and source.blocks == [2] * 40
    assert [source.caption(row).id for row in (2, 3)] == ["0000001/11_0.jpg", "0000001/22_0.jpg"]
    for row in range(80):
        caption = source.caption(row)
        assert (caption.caption, caption.instruction, caption.edited_caption, caption.reverse_instruction) == (
            f"cat {row // 2}", "make it a dog", "dog", ""
        )  # fmt: skip
        assert red(source, row) == row // 2 + 100 * (row % 2)
    first = open_captions(tmp_path, first_seed=True)
    assert len(first) == 40 and first.caption(7).id == "0000007/11_0.jpg"


def test_instruct_pix2pix_is_split_as_its_authors_do(tmp_path):
    ip2p(tmp_path)
    parts = {split: open_captions(tmp_path, split=split, first_seed=True) for split in ("train", "val", "test")}
    assert {split: len(part) for split, part in parts.items()} == {"train": 36, "val": 2, "test": 2}
    assert [parts[split].caption(0).caption for split in parts] == ["cat 0", "cat 36", "cat 38"]
    with pytest.raises(UserError, match="has no split 'validation'; there are train, val, test"):
        open_captions(tmp_path, split="validation")


def test_instruct_pix2pix_reads_a_prompt_when_it_is_asked_for(tmp_path):
    ip2p(tmp_path)
    (tmp_path / "0000003/prompt.json").unlink()
    (tmp_path / "0000004/prompt.json").write_text("[1]")
    source = open_captions(tmp_path, first_seed=True)
    with pytest.raises(UserError, match=r"0000003/prompt\.json: cannot be read"):
        source.caption(3)
    with pytest.raises(UserError, match=r"0000004/prompt\.json: must hold an object"):
        source.caption(4)
    (tmp_path / "0000005/11_0.jpg").unlink()
    with pytest.raises(UserError, match=r"0000005/11_0\.jpg: there is no such file"):
        source.image(5)
    (tmp_path / "seeds.json").write_text(json.dumps([["../up", ["1"]]]))
    with pytest.raises(UserError, match=r"the name '\.\./up/prompt\.json' leads out of its folder"):
        open_captions(tmp_path).caption(0)
    (tmp_path / "seeds.json").write_text('{"a": 1}')
    with pytest.raises(UserError, match=r"seeds\.json: must hold a list of"):
        open_captions(tmp_path)


# ---- MagicBrush -----------------------------------------------------------------------------------------------

SESSIONS = {
    "30": [{"input": "30-input.png", "mask": "30-mask1.png", "output": "30-output1.png", "instruction": "add a hat"}],
    "139": [
        {"input": "139-input.png", "mask": "139-mask1.png", "output": "139-output1.png", "instruction": "add a dog"},
        {"input": "139-output1.png", "mask": "139-mask2.png", "output": "139-output2.png", "instruction": "now a cat"},
    ],
}
DESCRIPTIONS = {
    "30": {"30-input.png": "a man", "30-output1.png": "a man with a hat"},
    "139": {"139-input.png": "a lawn", "139-output1.png": "a dog on a lawn", "139-output2.png": "a dog and a cat"},
}


@pytest.mark.parametrize("file", ["edit_sessions.json", "edit_turns.json"])
def test_magicbrush_in_a_folder(tmp_path, file):
    pictures(tmp_path, ["images/30/30-input.png", "images/139/139-input.png"])  # no output is there to be read
    turns = SESSIONS if "sessions" in file else [turn for session in SESSIONS.values() for turn in session]
    (tmp_path / file).write_text(json.dumps(turns))
    with pytest.raises(UserError, match=r"keeps its captions in a file of their own. Give it: descriptions="):
        open_captions(tmp_path)
    (tmp_path / "global_descriptions.json").write_text(json.dumps(DESCRIPTIONS))
    source = open_captions(tmp_path)
    assert len(source) == 2 and source.skipped == {"later turn of a session": 1}
    caption = source.caption(1)
    assert (caption.id, caption.caption, caption.instruction, caption.edited_caption) == (
        "139-input.png", "a lawn", "add a dog", "a dog on a lawn"
    )  # fmt: skip
    assert [red(source, row) for row in (0, 1)] == [0, 1]
    for wrong in ({"1": 5}, [5], 5, [{"input": None}]):
        (tmp_path / file).write_text(json.dumps(wrong))
        with pytest.raises(UserError, match="must hold turns with input, output and instruction"):
            open_captions(tmp_path)
    (tmp_path / file).write_text(json.dumps(turns))
    (tmp_path / "mine.json").write_text(json.dumps({"30": DESCRIPTIONS["30"]}))
    source = open_captions(tmp_path, descriptions=tmp_path / "mine.json")
    assert source.caption(0).caption == "a man"
    with pytest.raises(UserError, match=r"139-input\.png: the field 'caption' is missing"):
        source.caption(1)


def test_magicbrush_in_parquet(tmp_path):
    rows = [{"img_id": img, "turn_index": turn + 1, "source_img": {"bytes": png(int(img)), "path": None},
             "mask_img": {"bytes": b"?", "path": None}, "instruction": row["instruction"],
             "target_img": {"bytes": b"?", "path": None}}
            for img in ("30", "139") for turn, row in enumerate(SESSIONS[img])]  # fmt: skip
    write_parquet(tmp_path / "data/train-0.parquet", rows, row_group_size=1)
    with pytest.raises(UserError, match=r"Give it: descriptions=…/global_descriptions\.json"):
        open_captions(tmp_path)
    (tmp_path / "global_descriptions.json").write_text(json.dumps(DESCRIPTIONS))
    source = open_captions(tmp_path, descriptions=tmp_path / "global_descriptions.json")
    assert len(source) == 2 and source.skipped == {"later turn of a session": 1} and sum(source.blocks) == 2
    assert source.caption(1).caption == "a lawn" and source.caption(1).edited_caption == "a dog on a lawn"
    assert source.caption(1).instruction == "add a dog" and red(source, 1) == 139
    write_parquet(tmp_path / "no/a.parquet", [{k: v for k, v in row.items() if k != "instruction"} for row in rows])
    with pytest.raises(UserError, match="no column is called as an instruction usually is"):
        open_captions(tmp_path / "no", descriptions=tmp_path / "global_descriptions.json")
    captioned = [row | {"source_global_caption": "seen", "target_global_caption": "then"} for row in rows]
    write_parquet(tmp_path / "with/dev-0.parquet", captioned)
    source = open_captions(tmp_path / "with")
    assert (len(source), source.caption(0).caption, source.caption(1).edited_caption) == (2, "seen", "then")


# ---- photographs ----------------------------------------------------------------------------------------------

ROOT = Path(__file__).parents[2]
PHOTOS = next((path for path in (ROOT / "runs/photos", ROOT / "../shared/data/photos") if path.is_dir()), None)


@pytest.mark.skipif(PHOTOS is None, reason="needs a folder of captioned photographs: runs/photos")
def test_real_photographs_with_five_captions_each():
    rows = [json.loads(line) for line in (PHOTOS / "metadata.jsonl").read_text().splitlines()]
    source = open_captions(PHOTOS)
    captions = [source.caption(row) for row in range(len(source))]
    assert [caption.caption for caption in captions] == [text.strip() for row in rows for text in row["captions"]]
    assert source.blocks == [len(row["captions"]) for row in rows] and len({caption.id for caption in captions}) > 5000
    assert all(source.image(row).is_file() for row in range(len(source)))


# ---- options --------------------------------------------------------------------------------------------------


def test_an_option_that_a_layout_does_not_have_is_an_error(tmp_path):
    webdataset(tmp_path / "tars")
    with pytest.raises(UserError, match="option split is not for the layout 'webdataset', which takes columns"):
        open_captions(tmp_path / "tars", split="train")
    with pytest.raises(UserError, match="no layout 'tars'"):
        open_captions(tmp_path / "tars", layout="tars")
    parquet(tmp_path / "parquet")
    with pytest.raises(UserError, match="descriptions are for MagicBrush"):
        open_captions(tmp_path / "parquet", descriptions=tmp_path / "x.json")
