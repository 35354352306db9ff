"""The smaller objectives: autoencoder, CLIP, base and the supervised baseline."""

import pytest
import torch
from diffusers import AutoencoderKL
from tiny import build_editor

from uip2p.errors import UserError
from uip2p.learning.autoencode import AutoencodeConfig, AutoencodeObjective, edge_error, random_crop
from uip2p.learning.contrast import content_words, mask_same, word_loss, words_said
from uip2p.learning.datasets import Captioned, DataConfig
from uip2p.learning.denoise import DenoiseConfig, DenoiseObjective
from uip2p.learning.objective import conditioning_dropout, drop, pictures
from uip2p.learning.paired import PairedConfig, PairedObjective
from uip2p.learning.randomness import Draw
from uip2p.learning.repair import damage, patches
from uip2p.models.folder import Settings, load_pipeline
from uip2p.models.miniature import AutoencoderConfig, build_autoencoder
from uip2p.scenes.faults import Faults, Triplets
from uip2p.scenes.world import World


def test_conditioning_dropout_has_instructpix2pix_rates():
    text, image = conditioning_dropout(Draw(0, 0, range(8000)), 0.05)
    assert text.float().mean().item() == pytest.approx(0.10, abs=0.012)
    assert image.float().mean().item() == pytest.approx(0.10, abs=0.012)
    assert (text & image).float().mean().item() == pytest.approx(0.05, abs=0.01)  # both null: a third of the dropped
    assert drop(["a", "b"], torch.tensor([False, True])) == ["a", ""]


def test_equal_captions_are_no_negatives_of_each_other():
    logits = mask_same(torch.zeros(3, 4), ["a", "b", "a"], ["a", "b", "a", "b"])
    assert logits.isinf().tolist() == [
        [False, False, True, False],
        [False, False, False, True],
        [True, False, False, False],
    ]


def test_words_are_named_from_either_embedding():
    names = {word: index for index, word in enumerate(content_words())}
    assert {"left", "mushroom", "blue", "beach"} <= names.keys() and "the" not in names
    said = words_said(["a red car on the left, in the snow", "nothing"], names)
    assert said[0, names["red"]] == said[0, names["snow"]] == 0.25 and said[0].sum() == 1 and said[1].sum() == 0
    right, wrong = torch.zeros(2, len(names)), torch.zeros(2, len(names))
    right[0, [names[w] for w in ("red", "car", "left", "snow")]] = 9
    wrong[0, names["right"]] = 9
    assert word_loss(right, said)[0] < word_loss(wrong, said)[0] - 3 and word_loss(right, said).shape == (2,)


def test_crops_are_pieces_of_the_pictures_and_a_function_of_the_sample():
    x = torch.arange(2 * 3 * 8 * 8.0).view(2, 3, 8, 8)
    crops = random_crop(x, 4, Draw(0, 5, [10, 11]))
    assert crops.shape == (2, 3, 4, 4)
    first = int(crops[0, 0, 0, 0])
    top, left = divmod(first, 8)
    assert torch.equal(crops[0], x[0, :, top : top + 4, left : left + 4])
    assert torch.equal(random_crop(x[1:], 4, Draw(0, 5, [11]))[0], crops[1])


def test_edge_error_sees_a_moved_edge_and_not_a_shift_of_brightness():
    x = torch.zeros(1, 3, 8, 8)
    x[..., 4:] = 1
    assert edge_error(x, x + 0.3).item() == pytest.approx(0, abs=1e-6)
    assert edge_error(x, x.roll(1, -1)).item() > 0.1


def test_the_exported_latents_have_unit_spread(tmp_path):
    torch.manual_seed(0)
    pictures = [World(0).captioned(i)["image"] for i in range(16)]
    vae = build_autoencoder(AutoencoderConfig((8, 8, 16)))
    objective = AutoencodeObjective(vae, AutoencodeConfig(), pictures)
    objective.export(tmp_path)
    again = AutoencoderKL.from_pretrained(tmp_path)
    from uip2p.images import to_tensor

    with torch.no_grad():
        latents = torch.stack([again.encode(to_tensor(p)[None]).latent_dist.mode()[0] for p in pictures])
    assert (latents * again.config.scaling_factor).std().item() == pytest.approx(1, abs=1e-3)


SEEN = [Captioned(DataConfig(seed=3, size=32), "train", others=True)[i] for i in range(64)]


def test_a_fault_is_one_patch_and_the_rest_of_the_picture_is_untouched():
    x, other, draw = pictures(SEEN, "image"), pictures(SEEN, "other"), Draw(0, 0, range(64))
    faulty, mask = damage(x, other, draw), patches(x, draw)
    assert not torch.equal(x[0], other[0])
    assert torch.equal(faulty.where(mask == 0, x), x)
    within = lambda change: (change.abs() < 1e-5).flatten(1).all(1)  # noqa: E731
    laid_in = within((faulty - other).where(mask == 1, 0))
    exchanged = within((faulty.sort(1).values - x.sort(1).values).where(mask == 1, 0))
    assert 0.5 < laid_in.float().mean() < 0.9 and (laid_in | exchanged).all()
    soft = ((mask > 0) & (mask < 1)).float().mean((1, 2, 3))
    assert mask.min() == 0 and soft.min() < 0.1 and soft.max() > 0.2
    assert mask.mean() == pytest.approx(0.2, abs=0.05) and (mask.amax((1, 2, 3)) > 0.5).all()
    assert torch.allclose(damage(x[5:6], other[5:6], Draw(0, 0, [5]))[0], faulty[5])


def test_a_base_sees_nothing_the_picture_or_a_faulty_one_in_the_given_shares():
    objective = DenoiseObjective(build_editor(wide=False), DenoiseConfig(identity=0.3, repair=0.4), Settings())
    x, draw = pictures(SEEN), Draw(0, 1, range(64))
    faulty = damage(x, pictures(SEEN, "other"), draw)
    own, wrong = (objective.editor.encode(p)[1] for p in (x, faulty))
    seen = objective.condition(SEEN, x, own, draw)
    same = lambda a, b: torch.isclose(a, b, atol=1e-5).flatten(1).all(1).float()  # noqa: E731
    nothing, identity, repair = (same(seen, c) for c in (torch.zeros_like(own), own, wrong))
    assert (nothing + identity + repair >= 1).all()  # exchanged colours of a grey picture are no fault
    assert nothing.mean() == pytest.approx(0.3, abs=0.15) and repair.mean() == pytest.approx(0.4, abs=0.15)
    objective(SEEN[:4], Draw(0, 0, range(4))).losses["denoise"].sum().backward()
    grad = objective.editor.unet.conv_in.weight.grad
    assert grad is not None and grad[:, 4:].abs().sum() > 0
    assert DenoiseObjective(build_editor(wide=False), DenoiseConfig(), Settings()).condition(SEEN, x, own, draw) is None


def test_a_base_that_saw_pictures_is_exported_with_what_it_learned(tmp_path):
    objective = DenoiseObjective(build_editor(wide=False), DenoiseConfig(repair=0.5), Settings())
    with torch.no_grad():
        objective.editor.unet.conv_in.weight.fill_(0.25)
    objective.export(tmp_path / "model")
    assert (load_pipeline(tmp_path / "model").unet.conv_in.weight == 0.25).all()
    assert objective.samples(SEEN[:3], Draw(0, 0, range(3))).ndim == 3


def test_impossible_shares_are_refused():
    with pytest.raises(UserError, match="identity and repair"):
        DenoiseConfig(identity=0.7, repair=0.4)


def test_the_baseline_is_trained_towards_the_target_and_shown_the_source():
    editor = build_editor()
    triplets = Triplets(World(3, "train", 32), Faults())
    batch = [triplets[i] for i in range(4)]
    seen = {}

    def perfect(noisy, image, t, told):
        seen["image"] = image
        signal, sigma = (v.view(-1, 1, 1, 1) for v in (editor.alpha_bar[t].sqrt(), (1 - editor.alpha_bar[t]).sqrt()))
        z = editor.encode(stack(batch, "target"))[0]
        return signal * (noisy - signal * z) / sigma - sigma * z

    def stack(rows, key):
        from uip2p.learning.objective import pictures

        return pictures(rows, key)

    editor.predict = perfect
    loss = PairedObjective(editor, PairedConfig(dropout=0.0), Settings())(batch, Draw(0, 0, range(4))).losses["denoise"]
    assert loss.max() < 1e-4  # who knows the target knows the answer
    assert torch.allclose(seen["image"], editor.encode(stack(batch, "source"))[1])
