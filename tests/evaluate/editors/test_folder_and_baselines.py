"""Outputs made elsewhere, and rows that are nobody's work."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from asks import TEXT, apart, furthest, picture, three_asks

from uip2p.errors import UserError
from uip2p.evaluate.asking import Ask, Sampling
from uip2p.evaluate.editors import Editor, open_editor, require
from uip2p.evaluate.editors.baselines import baseline
from uip2p.images import save_image


def put(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    return save_image(picture(seed), path)


@pytest.fixture
def outputs(tmp_path):
    """Of three_asks: under the whole key, flat, and for a seed; each of another ending."""
    put(tmp_path / "made" / "1" / "a.png", 21)
    put(tmp_path / "made" / "b.jpg", 22)
    put(tmp_path / "made" / "seed-0" / "2" / "c.webp", 23)
    return tmp_path / "made"


def test_an_output_is_found_where_it_lies(outputs):
    editor = open_editor(f"hive=folder:{outputs}")
    assert isinstance(editor, Editor) and editor.name == "hive"
    made = editor.edit(three_asks())
    assert apart(made[0], picture(21)) == apart(made[2], picture(23)) == 0
    assert np.abs(np.asarray(made[1]).astype(int) - np.asarray(picture(22))).mean() < 8  # JPEG
    assert furthest(made[::-1], editor.edit(three_asks()[::-1])) == 0
    with pytest.raises(UserError, match="2/c"):
        editor.edit([replace(three_asks()[2], replicate=1)])  # that one is of seed 0 only
    put(outputs / "seed-1" / "1" / "a.png", 31)
    editor = open_editor(f"folder:{outputs}")
    first = three_asks()[0]
    assert apart(*editor.edit([first, replace(first, replicate=1)])) > 0


def test_missing_outputs_are_counted_at_once(outputs):
    editor = open_editor(f"folder:{outputs}")
    lacking = [Ask(f"9/{name}", picture(1), TEXT, 0) for name in "xyz"]
    places = r"seed-0/9/x.png, seed-0/x.png, 9/x.png, x.png \(nor with .jpg, .jpeg, .webp\)"
    with pytest.raises(UserError, match=f"made: 3 of 6 outputs are missing, the first for 9/x: there is no {places}"):
        editor.edit([*lacking, *three_asks()])
    with pytest.raises(UserError, match="1 of 2 outputs are missing, the first for 9/y"):
        editor.check([("1/a", 0), ("9/y", 0)])


def test_one_file_is_no_answer_to_two_questions(outputs):
    editor = open_editor(f"folder:{outputs}")
    asks = [Ask("1/b", picture(1), TEXT, 0), Ask("2/b", picture(1), TEXT, 0)]
    with pytest.raises(UserError, match=r"b.jpg: 1/b and 2/b would both be this file"):
        editor.edit(asks)


def test_a_description_is_of_the_pictures(outputs):
    before = open_editor(f"folder:{outputs}").describe()
    assert open_editor(f"folder:{outputs}/").describe() == before
    assert set(before["sampling"].values()) == {None}
    put(outputs / "1" / "a.png", 24)
    assert open_editor(f"folder:{outputs}").describe() != before


def test_nothing_of_it_can_be_set(outputs):
    editor = open_editor(f"folder:{outputs}")
    told = editor.sampled(Sampling(steps=100, guidance_scale=7.5, size=512))
    assert told.describe() == editor.describe() and told.round_trip() is None
    with pytest.raises(UserError, match=r"its steps cannot be set.*nothing: its outputs are as they are"):
        require(editor, "steps")


def test_a_folder_that_holds_nothing(tmp_path):
    for place, message in ((tmp_path / "no", "no such folder of outputs"), (tmp_path, "holds no picture")):
        with pytest.raises(UserError, match=message):
            open_editor(f"folder:{place}")
    (tmp_path / "x.png").write_bytes(b"not a picture")
    with pytest.raises(UserError, match=r"x.png: not a picture"):
        open_editor(f"folder:{tmp_path}").edit([Ask("x", picture(1), TEXT, 0)])


# ---- baselines ----------------------------------------------------------------------------------------


@pytest.fixture
def editors(outputs, tiny_folder):
    return [open_editor(f"folder:{outputs}"), open_editor(f"first={tiny_folder}", device="cpu")]


def answered() -> list[Ask]:
    return [replace(ask, answer=lambda number=number: picture(40 + number, 32, 32))
            for number, ask in enumerate(three_asks())]  # fmt: skip


def test_baselines_are_what_they_are_called(editors):
    asks = answered()
    sources, answers = [ask.image for ask in asks], [ask.answer() for ask in asks]
    trip = editors[1].round_trip()
    expected = {"copy-input": sources, "ground truth": answers, "round trip": trip(sources), "ceiling": trip(answers)}
    for name, pictures in expected.items():
        row = baseline(name, editors)
        assert isinstance(row, Editor) and row.name == name
        assert furthest(row.edit(asks), pictures) == 0
    assert furthest(expected["ceiling"], answers) > 0
    with pytest.raises(ValueError, match="no baseline"):
        baseline("best possible", editors)


def test_an_autoencoder_is_the_first_that_there_is_or_the_one_given(editors, tiny_folder):
    other = open_editor(f"other={tiny_folder}", device="cpu")
    assert baseline("round trip", editors).editor.name == "first"
    assert baseline("ceiling", editors, other).editor.name == "other"
    assert baseline("round trip", editors[:1]) is None
    with pytest.raises(UserError, match="has no autoencoder"):
        baseline("round trip", editors, editors[0])


def test_a_round_trip_is_made_at_the_size_that_is_told(editors):
    row = baseline("round trip", editors)
    small = row.sampled(Sampling(size=16, steps=2))
    assert {made.size for made in small.edit(three_asks())} == {(16, 16)}
    assert small.describe() != row.describe() and small.editor.model.vae is editors[1].model.vae
    other = row.sampled(Sampling(steps=3, guidance_scale=9.0))  # which an autoencoder knows nothing of
    assert other.describe() == row.describe() and other.editor.describe() != row.editor.describe()
    copy = baseline("copy-input", editors)
    assert copy.sampled(Sampling(size=16)).edit(three_asks())[0].size == three_asks()[0].image.size


def test_a_question_without_an_answer(editors):
    with pytest.raises(UserError, match="1/a: has no ground truth"):
        baseline("ground truth", editors).edit(three_asks())
