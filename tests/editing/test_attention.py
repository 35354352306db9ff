"""Where an edit looked, word by word: what a map is, that it is the picture's own, and nothing unasked."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tiny
import torch
from PIL import Image

from uip2p.editing.attention import Watch, WordMap, overlay, sheet, shown, words
from uip2p.editing.batch import asdict_without_image, edit_records
from uip2p.editing.editor import Editor
from uip2p.editing.sampling import make_scheduler, noise_generators, sample
from uip2p.errors import UserError
from uip2p.models.clip import load_clip
from uip2p.scenes.answers import answer
from uip2p.scenes.vocabulary import KINDS
from uip2p.scenes.world import World

TEXT = "make the car blue"


@pytest.fixture(scope="module")
def editor(tiny_folder):
    return Editor.from_pretrained(tiny_folder, "cpu")


@pytest.fixture(scope="module")
def xl(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "xl"
    tiny.build_xl_pipeline().save_pretrained(folder)
    return Editor.from_pretrained(folder, "cpu")


def maps(edited) -> np.ndarray:
    return np.stack([one.map for one in edited.attention])


def pixels(picture) -> np.ndarray:
    return np.asarray(picture).astype(int)


# ---- words -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, expected",
    [
        (TEXT, [("make", [1]), ("the", [2]), ("car", [3]), ("blue", [4])]),
        ("add a CAT, to the left!", [("add", [1]), ("a", [2]), ("CAT", [3, 4, 5]), ("to", [7]), ("the", [8]),
                                     ("left", [9])]),
        ("“make” it - blue", [("make", [4]), ("it", [8, 9]), ("blue", [11])]),
        ("add a-dog", [("add", [1]), ("a-dog", [2, 3, 4])]),
        ("é dog", [("é", [1, 2]), ("dog", [3])]),
    ],
)  # fmt: skip
def test_a_word_has_all_of_its_tokens_and_punctuation_belongs_to_none(editor, text, expected):
    found = words(text, editor.parts.tokenizer)
    assert [word for word, _ in found] == [word for word, _ in expected]
    ids = editor.parts.tokenizer(text).input_ids
    for word, tokens in found:
        spelled = editor.parts.tokenizer(word, add_special_tokens=False).input_ids
        assert [ids[token] for token in tokens] == spelled, word
    assert found == expected


# ---- maps --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["editor", "xl"])
@pytest.mark.parametrize("size, shape", [((32, 32), (4, 4)), ((96, 64), (4, 6)), ((64, 160), (5, 2))])
def test_a_map_a_word_in_the_proportions_of_the_picture(request, photo, which, size, shape):
    """The tiny UNets attend at half of the latents' side."""
    editor = request.getfixturevalue(which)
    (edited,) = editor.edit(photo.resize(size), TEXT, steps=2, attention=True)
    assert [one.word for one in edited.attention] == TEXT.split()
    width, height = edited.working_size
    assert all(one.map.dtype == np.float32 and one.map.shape == (height // 8, width // 8) for one in edited.attention)
    assert maps(edited).shape[1:] == shape
    assert maps(edited).min() > 0 and maps(edited).sum(axis=0).max() < 1, "the other tokens have the rest"


def test_the_picture_is_the_same_and_unasked_nothing_is_read(editor, photo, monkeypatch):
    asked = editor.edit(photo, TEXT, attention=True)[0]

    def never(*args):
        raise AssertionError("read")

    monkeypatch.setattr("uip2p.editing.sampling.TokenTap", never)
    plain = editor.edit(photo, TEXT)[0]
    assert plain.attention == () and np.abs(pixels(plain.image) - pixels(asked.image)).max() <= 1


def test_maps_are_each_pictures_own(editor, photo):
    """Whatever else is in the batch, and in whatever order."""
    pictures = [photo, photo.rotate(180), photo.resize((32, 32)), photo]
    texts = [TEXT, "add a dog", TEXT, "make the car red"]
    together = editor.edit(pictures, texts, seed=[1, 2, 3, 4], attention=True)
    for index, edited in enumerate(together):
        (alone,) = editor.edit(pictures[index], texts[index], seed=index + 1, attention=True)
        assert np.allclose(maps(edited), maps(alone), atol=1e-5)
    assert not np.allclose(maps(together[0]), maps(together[3]), atol=1e-5)


def test_maps_are_of_the_branch_that_sees_picture_and_text(editor, photo):
    """The first step's do not depend on guidance, which mixes the branches only after it."""
    alone, two, three = (
        maps(editor.edit(photo, TEXT, steps=1, guidance_scale=text, image_guidance_scale=image, attention=True)[0])
        for text, image in ((1.0, 1.0), (7.5, 1.0), (7.5, 1.5))
    )
    assert np.allclose(alone, two, atol=1e-5) and np.allclose(alone, three, atol=1e-5)


def test_maps_are_the_mean_of_the_steps_and_all_tokens_have_everything(editor, photo):
    x = torch.rand(1, 4, 8, 12, generator=torch.Generator().manual_seed(0))
    watch, seen = Watch(), []

    def both(weights):
        watch(weights)
        seen.append(weights)

    sample(editor.parts, x, [TEXT], noise_generators([0]), scheduler=make_scheduler(editor.parts), steps=3,
           guidance_scale=3.0, image_guidance_scale=1.5, on_attention=both)  # fmt: skip
    assert len(seen) == 3 and all(torch.allclose(one.sum(dim=1), torch.ones(1, 4, 6), atol=1e-5) for one in seen)
    (found,) = watch.word_maps([TEXT], editor.parts.tokenizer)
    mean = torch.stack(seen).mean(dim=0)[0]
    for token, one in enumerate(found, start=1):  # each of these words is one token
        assert np.allclose(one.map, mean[token].numpy(), atol=1e-6)


@pytest.mark.filterwarnings("ignore:.* on the CPU")
def test_half_precision_looks_at_the_same(editor, tiny_folder, photo):
    half = Editor.from_pretrained(tiny_folder, "cpu", "bf16").edit(photo, TEXT, steps=1, attention=True)[0]
    full = editor.edit(photo, TEXT, steps=1, attention=True)[0]
    assert maps(half).dtype == np.float32 and np.allclose(maps(half), maps(full), rtol=0.15)


def test_with_a_check_only_the_edits_are_watched(editor, encoder, photo, monkeypatch):
    steps, watch = [], Watch.__call__
    monkeypatch.setattr(Watch, "__call__", lambda self, weights: (steps.append(len(weights)), watch(self, weights)))
    options = {"caption": "a red car on a street", "clip": load_clip(encoder)}
    (best,) = editor.edit(photo, TEXT, best_of=2, steps=3, attention=True, **options)
    assert steps == [2, 2, 2], "two candidates, three steps, no reverse"
    assert best.check and len(best.candidates) == 2
    (alone,) = editor.edit(photo, TEXT, seed=best.seed, steps=3, attention=True)
    assert np.allclose(maps(best), maps(alone), atol=1e-5)


def test_maps_do_not_land_in_json(editor, photo, tmp_path):
    edited = editor.edit(photo, TEXT, attention=True)[0]
    assert "attention" not in json.loads(json.dumps(asdict_without_image(edited)))
    (tmp_path / "metadata.jsonl").write_text("")
    with pytest.raises(UserError, match="attention is for one picture"):
        edit_records(editor, tmp_path / "metadata.jsonl", tmp_path / "out", attention=True)


def test_attention_slicing_cannot_be_read(tiny_folder, photo):
    sliced = Editor.from_pretrained(tiny_folder, "cpu", attention_slicing=True)
    with pytest.raises(UserError, match="attention slicing hides it"):
        sliced.edit(photo, TEXT, attention=True)


def test_the_shipped_models_nouns_look_at_the_thing():
    """Of a recoloured or removed thing: its word has more than twice as much weight on it as elsewhere on average."""
    world = World(7, "test")
    edits = [edit for index in range(16) if _thing(edit := world.edit(index, ("color", "remove")[index % 2]))]
    answers = [answer(edit) for edit in edits]
    pictures = [Image.fromarray(one.source) for one in answers]
    found = Editor.from_pretrained("mini", "cpu").edit(pictures, [edit.instruction for edit in edits], attention=True)
    ratios = []
    for edit, one, edited in zip(edits, answers, found, strict=True):
        (looked,) = (each.map for each in edited.attention if each.word == _thing(edit))
        inside = one.mask.reshape(8, 8, 8, 8).mean(axis=(1, 3))
        ratios.append((looked * inside).sum() / inside.sum() / looked.mean())
    assert len(ratios) >= 8 and np.mean(ratios) > 2


def _thing(edit) -> str | None:
    """The one thing that an instruction names."""
    named = [word for word in edit.instruction.split() if word in KINDS]
    return named[0] if len(named) == 1 else None


# ---- showing -----------------------------------------------------------------------------------------


def test_an_overlay_grows_lighter_where_a_word_looked_and_is_as_large_as_the_picture():
    ramp = WordMap("car", np.linspace(0.001, 0.003, 8, dtype=np.float32)[None].repeat(4, axis=0))
    made = overlay(Image.new("RGB", (160, 80), (90, 120, 60)), ramp)
    assert made.size == (160, 80) and made.mode == "RGB"
    brightness = np.asarray(made.convert("L")).astype(int)
    assert np.ptp(brightness, axis=0).max() <= 2, "each column alike"
    assert (np.diff(brightness[40]) >= -1).all() and brightness[40, -1] - brightness[40, 0] > 100


def test_a_flat_map_is_not_made_to_look_like_one_that_points():
    flat = 0.01 + 1e-4 * np.random.default_rng(0).random((4, 4))
    assert shown(flat).max() < 0.05 and shown(np.zeros((4, 4))).max() == 0
    pointed = shown(np.eye(4) + 0.1)
    assert pointed.min() == 0 and pointed.max() == 1


@pytest.mark.parametrize("size", [(1, 700), (64, 64), (500, 300)])
def test_a_sheet_shows_the_result_and_each_word(size):
    grey, red = Image.new("RGB", size, "grey"), Image.new("RGB", size, "red")
    made = sheet(grey, red, [WordMap(word, np.eye(4, dtype=np.float32)) for word in ["move", "the", "car"]])
    assert made.width > 4 * min(256, 256 * size[0] // size[1]) and made.height >= 256 * min(1, size[1] / size[0])
    assert np.asarray(made)[10, 4].tolist() == [255, 0, 0]
