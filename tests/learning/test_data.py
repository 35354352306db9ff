import json
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from uip2p.errors import UserError
from uip2p.learning.data import BlockShuffled, OwnRecords, Shuffled, StepSampler, batches, step_samples
from uip2p.learning.schedule import fraction
from uip2p.learning.train_config import TrainConfig

ROW = dict(
    file_name="a.png",
    caption="a red car",
    instruction="make the car blue",
    edited_caption="a blue car",
    reverse_instruction="make the car red",
)


def folder(path, *rows, pictures=("a.png",)):
    for index, name in enumerate(pictures):
        Image.new("RGB", (30 + index, 20), (index, 0, 200)).save(path / name)
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (path / "metadata.jsonl").write_text("\n".join(lines))
    return path


@pytest.mark.parametrize("world", [1, 2, 3, 5])
def test_the_ranks_share_a_step_and_resuming_leaves_out_nothing(world):
    for step in (0, 7):
        parts = [list(step_samples(step, 10, rank, world)) for rank in range(world)]
        assert [sample for part in parts for sample in part] == list(range(step * 10, step * 10 + 10)) and all(parts)
    whole = list(StepSampler(0, 6, 10, 1, world)) if world > 1 else list(StepSampler(0, 6, 10))
    resumed = list(StepSampler(4, 6, 10, 1, world)) if world > 1 else list(StepSampler(4, 6, 10))
    assert whole[4:] == resumed and len(StepSampler(4, 6, 10)) == 2


class Squares:
    def __getitem__(self, index):
        if index == 13:
            raise UserError("row 13 has no picture")
        return {"square": np.int64(index) ** 2}


def test_workers_give_the_same_batches_in_the_same_order():
    plain, forked = (list(batches(Squares(), StepSampler(0, 3, 4), workers)) for workers in (0, 2))
    assert plain == forked and plain[1][2] == {"square": 36}


@pytest.mark.parametrize("workers", [0, 1])
def test_a_bad_row_is_the_same_clear_error_from_a_worker(workers):
    with pytest.raises(UserError) as error:
        list(batches(Squares(), StepSampler(3, 4, 4), workers))
    assert str(error.value) == "row 13 has no picture"


@pytest.mark.parametrize("length", [1, 2, 3, 16, 17, 1000])
def test_each_epoch_is_a_permutation_of_its_own(length):
    order = Shuffled(length, seed=5)
    epochs = [[order(epoch * length + i) for i in range(length)] for epoch in range(3)]
    assert all(sorted(epoch) == list(range(length)) for epoch in epochs)
    if length > 3:
        assert epochs[0] != epochs[1] != epochs[2] and epochs[0] != list(range(length))
        assert [Shuffled(length, seed=6)(i) for i in range(length)] != epochs[0]
        assert [Shuffled(length, seed=5)(i) for i in range(length)] == epochs[0]


def test_rows_land_anywhere():
    landed = Counter(Shuffled(10, seed)(0) for seed in range(2000))
    assert len(landed) == 10 and min(landed.values()) > 140


def test_a_folder_is_an_endless_dataset_of_edits(tmp_path):
    rows = [ROW | {"file_name": f"{name}.png", "caption": name, "other": 1} for name in "abc"]
    records = OwnRecords(folder(tmp_path, *rows, "", pictures=["a.png", "b.png", "c.png"]), size=16)
    assert len(records) == 3
    epoch = [records[index] for index in range(3, 6)]
    assert sorted(item["caption"] for item in epoch) == ["a", "b", "c"]
    assert set(epoch[0]) == {"image", "caption", "instruction", "edited_caption", "reverse_instruction"}
    for item in epoch:
        assert item["image"].shape == (16, 16, 3) and item["image"].dtype == np.uint8
        assert item["image"][0, 0, 0] == "abc".index(item["caption"]), "the picture is the row's own"
    assert records.record(4).instruction == "make the car blue"


@pytest.mark.parametrize(
    ("second", "says"),
    [
        ("{not json", r"metadata\.jsonl, row 2: is not valid JSON"),
        ("[1, 2]", r"row 2: must be a JSON object"),
        ({k: v for k, v in ROW.items() if k != "edited_caption"}, r"row 2: the field 'edited_caption' is missing"),
        (ROW | {"instruction": "  "}, r"row 2: the field 'instruction' must be text that is not empty"),
        (ROW | {"caption": 5}, r"row 2: the field 'caption' must be text that is not empty, got 5"),
        (ROW | {"file_name": "gone.png"}, r"row 2: file_name 'gone\.png' is not a file in"),
    ],
)
def test_a_bad_row_is_named_at_once(tmp_path, second, says):
    with pytest.raises(UserError, match=says):
        OwnRecords(folder(tmp_path, ROW, second), 16)


def test_no_metadata_no_rows_and_a_picture_that_is_none(tmp_path):
    with pytest.raises(UserError, match=r"holds no metadata\.jsonl, no \.parquet and no \.tar"):
        OwnRecords(tmp_path, 16)
    with pytest.raises(UserError, match="has no rows"):
        OwnRecords(folder(tmp_path, ""), 16)
    (tmp_path / "a.png").write_text("this is text")
    (tmp_path / "metadata.jsonl").write_text(json.dumps(ROW))
    with pytest.raises(UserError, match=r"a\.png"):
        OwnRecords(tmp_path, 16)[0]


@pytest.mark.parametrize("blocks", [[1], [3, 0, 5], [4] * 30, [100, 1, 1, 50, 7]])
def test_blocks_are_shuffled_and_each_epoch_is_a_permutation(blocks):
    order, length = BlockShuffled(blocks, seed=2, window=3), sum(blocks)
    epochs = [[order(epoch * length + i) for i in range(length)] for epoch in range(2)]
    assert all(sorted(epoch) == list(range(length)) for epoch in epochs)
    assert [order(i) for i in range(length)] == epochs[0], "going back gives the same"
    if length > 20:
        assert epochs[0] != epochs[1]
        starts = np.cumsum([0, *blocks])
        where = [int(np.searchsorted(starts, row, side="right")) for row in epochs[0]]
        for at in range(0, length - 4, 4):
            assert len(set(where[at : at + 4])) <= 6, "few blocks at once"


def test_some_rows_are_held_out_and_which_does_not_depend_on_the_others(tmp_path):
    names = [f"{number}.png" for number in range(60)]
    rows = [ROW | {"file_name": name, "caption": name} for name in names]
    whole = folder(tmp_path, *rows, pictures=names)

    def captions(split, share=0.2):
        records = OwnRecords(whole, 16, 0, split, share)
        return {records[index]["caption"] for index in range(len(records))}

    held_out = captions("validation")
    assert 4 < len(held_out) < 20 and captions("train") == set(names) - held_out
    folder(tmp_path, *rows[10:], pictures=names)
    assert captions("validation") == held_out - set(names[:10])
    with pytest.raises(UserError, match="every row is held out"):
        OwnRecords(whole, 16, 0, "train", 1.0)


def test_the_learning_rate_rises_and_falls():
    rates = [fraction(step, 100, warmup_steps=9, schedule="cosine", final_fraction=0.1) for step in range(100)]
    assert rates[0] == 0.1 and rates[9] == 1.0 == max(rates) and rates[99] == pytest.approx(0.1)
    assert all(a < b for a, b in pairwise(rates[:10]))
    assert all(a > b for a, b in pairwise(rates[9:]))
    short = TrainConfig(steps=20, batch_size=1, learning_rate=1.0, schedule="cosine", warmup_steps=9, horizon=100)
    assert [short.learning_rate_at(step) for step in range(20)] == rates[:20]
    assert fraction(50, 100, warmup_steps=9) == 1.0 and fraction(0, 1, schedule="cosine") == 1.0
