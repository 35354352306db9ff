"""The training step of the method, on real models of the smallest size."""

import subprocess
import sys

import pytest
import torch

from uip2p.learning.augment import AugmentConfig, augment
from uip2p.learning.cycle import CycleConfig, CycleObjective
from uip2p.learning.datasets import DataConfig, Unpaired
from uip2p.learning.randomness import Draw
from uip2p.models.clip import ClipConfig, build_clip
from uip2p.models.folder import Settings
from uip2p.models.latent_editor import LatentEditor
from uip2p.models.miniature import (
    AutoencoderConfig,
    TextConfig,
    UnetConfig,
    build_autoencoder,
    build_scheduler,
    build_text_encoder,
    build_unet,
)
from uip2p.models.tokenizer import build_tokenizer
from uip2p.models.widen import widen_conv_in
from uip2p.scenes.language import vocabulary

SIZE = 32
DATA = Unpaired(DataConfig(seed=11, size=SIZE), "train")
BATCH = [DATA[i] for i in range(3)]
DRAW = Draw(0, 0, range(3))


def build(config: CycleConfig, prediction_type: str = "v_prediction", train_text: bool = False) -> CycleObjective:
    torch.manual_seed(0)
    tokenizer = build_tokenizer(vocabulary(), max_length=32)
    text = TextConfig(width=16, layers=1, heads=2)
    editor = LatentEditor(
        widen_conv_in(build_unet(UnetConfig((16, 32), (False, True), 1, 2, 8), 4, SIZE // 4, 16)),
        build_autoencoder(AutoencoderConfig((8, 8, 16), 1, 4, SIZE)),
        build_text_encoder(text, tokenizer),
        tokenizer,
        build_scheduler(prediction_type),
        train_text,
    )
    with torch.no_grad():  # a fresh image half is all zeros: let the picture matter
        editor.unet.conv_in.weight.normal_(std=0.2)
        editor.unet.conv_out.weight.mul_(3)
    clip = build_clip(ClipConfig(SIZE, 8, 16, 1, 2, 16, 1, 2, 16), tokenizer)
    with torch.no_grad():  # an untrained CLIP says the same of everything: let it tell pictures apart
        for parameter in clip.model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(3)
    return CycleObjective(editor, [clip], config, Settings())


def grads(objective: CycleObjective, name: str) -> float:
    objective.zero_grad()
    objective(BATCH, DRAW).losses[name].sum().backward()
    return sum(p.grad.abs().sum().item() for p in objective.editor.unet.parameters() if p.grad is not None)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_each_loss_alone_reaches_the_unet_and_is_per_sample(kind):
    objective = build(CycleConfig(prior=1.0, base_direction=1.0, dropout=0.0), kind)
    losses = objective(BATCH, DRAW).losses
    assert set(losses) == {"direction", "similarity", "attention", "reconstruction", "prior", "base_direction"}
    for name, loss in losses.items():
        assert loss.shape == (3,) and torch.isfinite(loss).all(), name
        assert grads(objective, name) > 0, name


def test_nothing_frozen_gets_a_gradient():
    objective = build(CycleConfig(prior=1.0, base_direction=1.0))
    sum(v.sum() for v in objective(BATCH, DRAW).losses.values()).backward()
    trainable = {name for name, p in objective.named_parameters() if p.requires_grad}
    assert trainable and all(name.startswith("editor.unet.") for name in trainable)
    assert all(p.grad is None for name, p in objective.named_parameters() if name not in trainable)
    text = build(CycleConfig(), train_text=True)
    assert any(p.requires_grad for n, p in text.named_parameters() if n.startswith("editor.text_encoder."))


def test_the_reverse_pass_sends_gradients_through_the_edited_picture():
    """Reconstruction depends on the forward pass only through z_e: cut that and the forward instruction has no say."""
    objective = build(CycleConfig(dropout=0.0), train_text=True)
    seen = {}
    read = objective.editor.read

    def watched(words):
        states, content = read(words)
        states.retain_grad()
        seen[tuple(words)] = states
        return states, content

    objective.editor.read = watched
    objective(BATCH, DRAW).losses["reconstruction"].sum().backward()
    forward = seen[tuple(row["instruction"] for row in BATCH)]
    assert forward.grad is not None and forward.grad.abs().sum() > 0


def test_back_translation_starts_from_the_models_own_edit_and_aims_at_the_picture():
    objective = build(CycleConfig(prior=1.0, prior_null=0.0, back_translation=1.0))
    seen = {}
    predict = objective.editor.predict

    def watched(noisy, image, t, states):
        seen["condition"] = image
        return predict(noisy, image, t, states)

    objective.editor.predict = watched
    z, c = (torch.randn(3, 4, 8, 8) for _ in range(2))
    z_e = torch.randn(3, 4, 8, 8, requires_grad=True)
    objective.prior_loss(BATCH, DRAW, z, c, z_e).sum().backward()
    assert torch.equal(seen["condition"], objective.editor.condition(z_e)) and z_e.grad is None
    objective.config = CycleConfig(prior=1.0, prior_null=0.0)
    objective.prior_loss(BATCH, DRAW, z, c, z_e)
    assert torch.equal(seen["condition"], c)
    objective.config = CycleConfig(prior=1.0, prior_null=1.0)
    objective.prior_loss(BATCH, DRAW, z, c, z_e)
    assert seen["condition"].abs().sum() == 0


def test_weights_scale_their_loss_and_zero_removes_it():
    one, two = build(CycleConfig(dropout=0.0)), build(CycleConfig(dropout=0.0, direction=2.0, similarity=0.0))
    a, b = one(BATCH, DRAW).losses, two(BATCH, DRAW).losses
    assert torch.allclose(2 * a["direction"], b["direction"], rtol=1e-3) and b["similarity"].abs().sum() == 0
    assert torch.allclose(a["reconstruction"], b["reconstruction"], rtol=1e-3)


def test_a_sample_does_not_depend_on_its_batch():
    objective = build(CycleConfig(prior=1.0, rollout=0.7, augment=AugmentConfig(0.2, 0.05, 0.1))).eval()
    whole = objective(BATCH, DRAW)
    for i in range(3):
        alone = objective(BATCH[i : i + 1], Draw(0, 0, [i]))
        for name, value in {**whole.losses, **whole.logs}.items():
            assert torch.allclose(value[i], {**alone.losses, **alone.logs}[name][0], atol=2e-4), name


def test_timesteps_are_independent_and_bounded():
    objective = build(CycleConfig(min_timestep=50, max_timestep=600))
    draw = Draw(3, 1, range(4000))
    t, r = (objective._timestep(draw, name).double() for name in ("t", "t'"))
    assert 590 < t.max() <= 600 and 50 <= t.min() < 60 and r.max() > 590
    assert abs(torch.corrcoef(torch.stack([t, r]))[0, 1]) < 0.05


def test_rollout_replaces_the_noised_source_by_the_models_own_way():
    source, rollout = build(CycleConfig()), build(CycleConfig(rollout=1.0, rollout_steps=2))
    z = torch.randn(3, 4, 8, 8)
    t, states = torch.tensor([0, 300, 999]), source.editor.read(["a car"] * 3)[0]
    a, b = (o.start(z, torch.zeros_like(z), t, states, DRAW) for o in (source, rollout))
    assert not torch.allclose(a[:2], b[:2], atol=0.1)
    assert not torch.allclose(b[0], z[0], atol=0.1)  # at t = 0 the noised source is the source; the rollout is not
    # From t = 999 there is nowhere to go: the rollout is the noise itself.
    noise = source._latent_noise(DRAW, "ε₁", z)
    assert torch.allclose(b[2], noise[2], atol=1e-4)


def test_identity_alarm():
    objective = build(CycleConfig())
    assert "collapse" in objective.alarm({"copy_rate": 0.99, "clip_direction": 0.01})
    assert objective.alarm({"copy_rate": 0.99, "clip_direction": 0.5}) is None
    assert objective.alarm({"copy_rate": 0.2, "clip_direction": 0.0}) is None


def test_copy_is_logged_as_copy():
    objective = build(CycleConfig())
    x = torch.rand(3, 3, SIZE, SIZE) * 2 - 1
    _, logs = objective.judge(BATCH, DRAW, x, x, x)
    assert logs["copy_rate"].tolist() == [1, 1, 1] and logs["edit_magnitude"].sum() == 0
    assert logs["clip_direction"].abs().max() < 1e-4


def test_augmentation_moves_the_three_pictures_of_a_sample_alike():
    x = torch.rand(3, 3, SIZE, SIZE)
    config = AugmentConfig(0.1, 0.1, 0.2)
    a, b = (augment(x, config, DRAW, "augment") for _ in range(2))
    assert torch.equal(a, b) and not torch.allclose(a, x, atol=1e-2)
    assert torch.equal(augment(x, AugmentConfig(), DRAW, "augment"), x)


def test_cycle_recipes_cannot_reach_an_edited_picture():
    """In a fresh interpreter: build the cycle's data and take a step with the modules that draw targets forbidden, and
    every scene that is rendered checked to be a source."""
    program = """
import sys
class Forbidden:
    def find_spec(self, name, path=None, target=None):
        if name in ("uip2p.scenes.answers", "uip2p.scenes.faults"):
            raise AssertionError(f"the cycle reached for {name}")
sys.meta_path.insert(0, Forbidden())
import uip2p.scenes.world as world
from uip2p.learning.datasets import DataConfig, Unpaired
drawn = []
render = world.render
world.render = lambda scene, size: drawn.append(scene) or render(scene, size)
data = Unpaired(DataConfig(seed=5, size=32, photos=0.2), "train")
rows = [data[i] for i in range(60)]
sources = [data.world.edit(i).source for i in range(60) if not data.is_photo(i)]
assert drawn == sources, "something else than sources was drawn"
assert any(data.is_photo(i) for i in range(60))
assert all(set(row) == {"image", "caption", "instruction", "edited_caption", "reverse_instruction"} for row in rows)
import uip2p.learning.recipes, uip2p.learning.cycle
print("clean")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip().endswith("clean"), done.stderr
