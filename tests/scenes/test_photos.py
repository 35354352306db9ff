"""Photographs: free ones only, each in one split and one tone."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from uip2p.errors import UserError
from uip2p.scenes.language import vocabulary, words_of
from uip2p.scenes.photos import BUNDLED, SPLITS, Photos, list_photos, split_of, tone_of
from uip2p.scenes.vocabulary import TONES

FREE = ("Attribution License", "Attribution-ShareAlike License")
NOT_FREE = ("Attribution-NonCommercial License", "Attribution-NoDerivs License", "Attribution-ShareAlike License ",
            "Attribution-NonCommercial-ShareAlike License", "attribution license", None,
            "Flickr users; Flickr8k terms: non-commercial research/education")


def picture(seed, size=(60, 40)):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    rows = []
    for i, licence in enumerate([*FREE * 30, *NOT_FREE]):
        picture(i).save(tmp_path / f"images/{i:03d}.png")
        rows.append({"file_name": f"images/{i:03d}.png", "licence": licence})
    rows.append({"file_name": "images/none.png"})
    (tmp_path / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def test_only_free_photographs_are_listed(folder):
    names = {photo.name for photo in list_photos([folder])}
    assert names == {f"{i:03d}.png" for i in range(60)} | set(BUNDLED)


def test_a_photograph_without_colour_is_passed_over(tmp_path):
    grey, red = picture(0).convert("L").convert("RGB"), picture(1)
    grey.save(tmp_path / "grey.png")
    red.save(tmp_path / "red.png")
    rows = [{"file_name": name, "licence": FREE[0]} for name in ("grey.png", "red.png")]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert {photo.name for photo in list_photos([tmp_path])} - set(BUNDLED) == {"red.png"}


def test_a_photograph_is_in_one_split_and_one_tone(folder):
    photos = list_photos([folder])
    by_split = {split: {photo.name for photo in Photos([folder], split).photos} for split in SPLITS}
    assert sum(map(len, by_split.values())) == len(photos) == len(set.union(*by_split.values()))
    assert all(photo.split == split_of(photo.name) and photo.tone == tone_of(photo.name) for photo in photos)
    tones = [tone_of(f"{i}.jpg") for i in range(2000)]
    assert abs(tones.count("plain") / 2000 - 0.5) < 0.05 and set(tones) == set(TONES)
    splits = [split_of(f"{i}.jpg") for i in range(2000)]
    assert abs(splits.count("train") / 2000 - 0.7) < 0.05 and abs(splits.count("test") / 2000 - 0.2) < 0.05
    assert split_of("astronaut.png") == split_of("chelsea.png") == "test"


def test_what_trains_the_editor_sees_no_photograph_in_two_tones(folder):
    for split in ("train", "validation"):
        photos = Photos([folder], split)
        assert photos.plain and all(photo.tone == "plain" for photo in photos.plain)
        assert {photos.edit(i).name for i in range(300)} <= {photo.name for photo in photos.plain}


@pytest.mark.parametrize("split", SPLITS)
def test_each_split_works_without_a_folder(split):
    photos = Photos(split=split, size=48)
    record = photos.edit_record(0)
    assert record.image.shape == (48, 48, 3) and record.image.dtype == np.uint8 and record.image.std() > 5
    assert photos.captioned(0)["image"].shape == (48, 48, 3)


def test_records_and_captions():
    photos, words = Photos(split="train", seed=1, size=32), set(vocabulary())
    seen = set()
    for i in range(200):
        edit, record = photos.edit(i), photos.edit_record(i)
        assert np.array_equal(record.image, photos.picture(i))
        assert (record.caption, record.instruction) == (edit.caption, edit.instruction)
        assert edit.caption != edit.edited_caption and edit.instruction != edit.reverse_instruction
        for text in (*words_of(edit.caption), *words_of(edit.edited_caption), *words_of(photos.captioned(i)["caption"]),
                     *words_of(edit.instruction), *words_of(edit.reverse_instruction)):
            assert text in words
        seen.add((edit.kind, edit.tone))
    assert seen == {("time", "night"), ("style", "black and white"), ("style", "sepia"), ("tone", "warm"),
                    ("tone", "bright"), ("tone", "dark")}


def test_pictures_are_a_function_of_their_index():
    a, b = Photos(split="test", seed=5), Photos(split="test", seed=5)
    assert all(np.array_equal(a.picture(i), b.picture(i)) and a.edit(i) == b.edit(i) for i in (9, 2))
    assert not np.array_equal(a.picture(1), Photos(split="test", seed=6).picture(1))


def test_captioned_photographs_are_developed(folder):
    photos = Photos([folder], "train", seed=2, size=16)
    captions = [photos.captioned(i)["caption"] for i in range(200)]
    assert any("night" in text for text in captions) and any(text in ("a photo", "a picture") for text in captions)


def test_bad_folders_are_named(tmp_path):
    with pytest.raises(UserError, match=r"metadata\.jsonl"):
        list_photos([tmp_path])
    metadata = tmp_path / "metadata.jsonl"
    for text, message in (("[1]\n", "row 1"), ("\n{broken\n", "row 2"), ('{"licence": "CC-BY"}', "file_name"),
                          ('{"licence": "CC-BY", "file_name": "gone.png"}', r"no file .*gone\.png")):
        metadata.write_text(text)
        with pytest.raises(UserError, match=message):
            list_photos([tmp_path])
    with pytest.raises(UserError, match="unknown split 'dev'"):
        Photos(split="dev")
