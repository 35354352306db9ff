"""Checks by the reverse edit: what each figure is, and that a check changes nothing about the edits themselves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from uip2p.editing.editor import Editor
from uip2p.editing.reversibility import (
    Check,
    Words,
    best,
    candidates,
    complete,
    default_encoder,
    load_encoder,
    reversibility,
)
from uip2p.errors import UserError
from uip2p.images import to_tensor
from uip2p.models.clip import load_clip
from uip2p.models.folder import ASSETS, SHIPPED

TEXT, CAPTION = "make the car blue", "a red car on a street"


@pytest.fixture(scope="module")
def editor(tiny_folder):
    return Editor.from_pretrained(tiny_folder, device="cpu")


@pytest.fixture(scope="module")
def clip(encoder):
    return load_clip(encoder)


def test_reversibility_of_what_came_back_of_copies_and_of_destroyed_pictures():
    rng = torch.Generator().manual_seed(0)
    source, noise, other = (torch.rand(4, 3, 16, 16, generator=rng) * 2 - 1 for _ in range(3))
    edited = source.clone()
    edited[..., :8, :8] += 0.5 * noise[..., :8, :8]
    assert torch.allclose(reversibility(source, edited, source), torch.ones(4), atol=1e-3)
    assert torch.allclose(reversibility(source, edited, edited), torch.full((4,), 0.5))
    halfway = (source + edited) / 2
    assert torch.allclose(reversibility(source, edited, halfway), torch.full((4,), 2 / 3), atol=1e-3)
    assert torch.allclose(
        reversibility(source, source, source), torch.full((4,), 0.5)
    )  # a copy comes back from nowhere
    destroyed = reversibility(source, noise, other)
    assert ((destroyed > 0.4) & (destroyed < 0.6)).all()
    assert (reversibility(source, edited, other) < 0.4).all()  # the reverse led further away
    # one is far and one near: each sample by itself
    mixed = reversibility(source[:2], edited[:2], torch.stack([source[0], edited[1]]))
    assert mixed[0] > 0.99 and mixed[1] == pytest.approx(0.5)


def test_a_check_is_the_edit_and_its_reverse_and_what_they_measure(editor, clip, photo):
    photo = photo.resize((48, 32))  # of the size that the model works at
    (plain,) = editor.edit(photo, TEXT, seed=5)
    (found,) = editor.edit(photo, TEXT, seed=5, check=True, caption=CAPTION, clip=clip)
    assert np.array_equal(found.image, plain.image) and found.candidates == () and plain.check is None
    check = found.check
    assert isinstance(check, Check)
    assert check.reverse_instruction == "make the car red" and check.guessed == {} and check.seed == 5
    assert (check.caption, check.edited_caption) == (CAPTION, "a blue car on a street")
    assert np.array_equal(check.reversed, editor(plain.image, "make the car red", seed=5))
    x, y, r = (to_tensor(picture)[None] for picture in (photo, plain.image, check.reversed))
    assert check.reversibility == pytest.approx(reversibility(x, y, r).item(), abs=1e-6)
    with torch.no_grad():
        moved = clip.embed_images(y) - clip.embed_images(x)
        meant = clip.embed_texts(["a blue car on a street"]) - clip.embed_texts([CAPTION])
    assert check.direction == pytest.approx(torch.cosine_similarity(moved, meant, eps=1e-3).item(), abs=1e-5)
    assert check.score == pytest.approx(max(check.direction, 0) * check.reversibility)
    assert check.likely_failed is None  # nobody calibrated this model


def test_large_pictures_are_measured_at_the_size_the_model_saw(editor, clip, photo):
    large = photo.resize((192, 128))
    (found,) = editor.edit(large, TEXT, check=True, caption=CAPTION, clip=clip)
    assert found.residual and found.image.size == found.check.reversed.size == large.size
    x, y, r = (
        to_tensor(picture.resize(found.working_size, Image.Resampling.LANCZOS))[None]
        for picture in (large, found.image, found.check.reversed)
    )
    assert found.check.reversibility == pytest.approx(reversibility(x, y, r).item(), abs=1e-6)


def test_best_of_keeps_the_best_of_the_seeds_that_follow(editor, clip, photo):
    options = {"caption": CAPTION, "clip": clip}
    (found,) = editor.edit(photo, TEXT, seed=7, best_of=4, **options)
    alone = [editor.edit(photo, TEXT, seed=seed, check=True, **options)[0] for seed in range(7, 11)]
    assert [check.seed for check in found.candidates] == [7, 8, 9, 10]
    for check, one in zip(found.candidates, alone, strict=True):
        assert check.score == pytest.approx(one.check.score, abs=0.02)  # of a batch: a pixel may round the other way
    winner = max(alone, key=lambda one: (one.check.score, one.check.direction))
    assert found.seed == winner.seed == found.check.seed
    assert np.abs(np.asarray(found.image).astype(int) - np.asarray(winner.image)).max() <= 1
    assert len({round(check.direction, 4) for check in found.candidates}) > 1


def test_ties_go_to_the_direction_and_then_to_the_first(editor, clip, photo):
    from dataclasses import replace

    made = candidates(editor, clip, [photo], [TEXT], [0], [Words(caption=CAPTION)], best_of=3)[0]

    def with_figures(*figures):
        return [replace(one, check=replace(one.check, score=score, direction=direction))
                for one, (score, direction) in zip(made, figures, strict=True)]  # fmt: skip

    assert best(with_figures((0, -0.5), (0, -0.1), (0, -0.2))).seed == 1
    assert best(with_figures((0.1, 0.5), (0.2, 0.3), (0.2, 0.3))).seed == 1


def test_many_pictures_each_with_its_own_words(editor, clip, photo):
    pictures, texts = [photo, photo.rotate(90), photo.resize((32, 32))], [TEXT, "make the dog black", "add a car"]
    captions = [CAPTION, None, "nothing on a beach"]
    done = []
    together = editor.edit(pictures, texts, seed=[1, 2, 3], best_of=2, caption=captions, clip=clip, batch_size=4,
                           reverse=[None, "make the dog white", None], progress=done.append)  # fmt: skip
    assert done == [2, 1]
    assert [one.instruction for one in together] == texts and [one.image.size for one in together] == [
        picture.size for picture in pictures]  # fmt: skip
    assert [one.check.reverse_instruction for one in together] == [
        "make the car red", "make the dog white", "remove the car"]  # fmt: skip
    for index, one in enumerate(together):
        (alone,) = editor.edit(pictures[index], texts[index], seed=index + 1, best_of=2, caption=captions[index],
                               clip=clip, reverse=[None, "make the dog white", None][index])  # fmt: skip
        assert one.check.direction == pytest.approx(alone.check.direction, abs=0.05)
        assert one.check.guessed == alone.check.guessed
    assert editor.edit([], TEXT, check=True, clip=clip) == []


def test_what_no_words_tell_is_what_the_encoder_finds_likeliest(clip, photo):
    picture = to_tensor(photo)
    told = complete(clip, picture, TEXT, Words())
    place, color = told.guessed["place"], told.guessed["colour of the car"]
    with torch.no_grad():
        seen = clip.embed_images(picture[None])[0]
        colors = ["red", "orange", "yellow", "green", "blue", "purple", "pink", "white", "black"]
        inside = told.before.split("car ")[1]
        texts = [f"{'an' if name == 'orange' else 'a'} {name} car {inside}" for name in colors]
        expected = colors[int((clip.embed_texts(texts) @ seen).argmax())]
    assert color == expected and told.reverse == f"make the car {color}" and place.split()[-1] in inside
    assert told.after == f"a blue car {inside}"


def test_words_that_are_given_come_first(clip, photo):
    picture = to_tensor(photo)
    given = Words("paint the car red", CAPTION, "a street with a blue car")
    assert complete(clip, picture, TEXT, given) == complete(clip, picture, "improve it", given)
    told = complete(clip, picture, "improve it", Words("make it worse"))  # in no grammar: the instructions themselves
    assert (told.reverse, told.before, told.after, told.guessed) == ("make it worse", "make it worse", "improve it", {})
    told = complete(clip, picture, TEXT, Words("paint the car red", CAPTION))
    assert (told.reverse, told.before, told.after) == ("paint the car red", CAPTION, "a blue car on a street")


def test_likely_failed_is_below_the_models_threshold(tiny_folder, clip, photo):
    from dataclasses import replace

    editor = Editor.from_pretrained(tiny_folder, device="cpu")
    score = editor.edit(photo, TEXT, check=True, caption=CAPTION, clip=clip)[0].check.score
    for threshold, expected in ((score + 1e-6, True), (score, False), (None, None)):
        editor.settings = replace(editor.settings, likely_failed_below=threshold)
        assert editor.edit(photo, TEXT, check=True, caption=CAPTION, clip=clip)[0].check.likely_failed is expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"best_of": 0}, "best of 0: give a whole number from 1 to 64"),
        ({"best_of": 2.5}, "best of 2.5"),
        ({"caption": CAPTION}, "are for a check"),
        ({"clip": "somewhere"}, "are for a check"),
        ({"check": True, "edited_caption": "a blue car"}, "only beside the caption"),
        ({"check": True, "reverse": " "}, "the instruction is empty"),
        ({"check": True, "clip": "/nowhere"}, "/nowhere: not a CLIP folder"),
        ({"check": True}, "names none: give a CLIPModel folder or hub id with --clip"),
        ({"check": True, "caption": ["a", "b"], "reverse": ["a", "b", "c"]}, "2 texts for a check for 3 edits"),
    ],
)
def test_wrong_calls(editor, photo, options, message):
    with pytest.raises(UserError, match=message):
        editor.edit(photo, TEXT, **options)


def test_an_instruction_without_a_reverse_is_refused_before_anything_is_made(editor, clip, photo, monkeypatch):
    made = []
    monkeypatch.setattr(Editor, "_edit_batch", lambda *args, **options: made.append(args))
    with pytest.raises(UserError, match="'improve it': no phrasing of the miniature world"):
        editor.edit([photo, photo], [TEXT, "improve it"], check=True, clip=clip)
    assert not made


def test_the_encoder_is_read_once_and_only_for_a_check(encoder, editor, photo):
    assert load_encoder(encoder, editor) is load_encoder(str(encoder), editor)
    assert default_encoder("mini") == default_encoder(str(SHIPPED["mini"])) == ASSETS / "clip"
