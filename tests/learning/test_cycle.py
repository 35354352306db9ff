"""The training step of the method, on real models of the smallest size."""

import pytest
import torch
from processes import alone
from tiny import build_editor
from without_answers import build_without_answers

from uip2p.errors import UserError
from uip2p.learning.augment import AugmentConfig, augment, blur
from uip2p.learning.cycle import CycleConfig, CycleObjective
from uip2p.learning.datasets import DataConfig, Unpaired
from uip2p.learning.losses import firm_reward, firm_weights
from uip2p.learning.randomness import Draw
from uip2p.models.clip import ClipConfig, build_clip
from uip2p.models.folder import Settings

SIZE = 32
DATA = Unpaired(DataConfig(seed=11, size=SIZE), "train")
BATCH = [DATA[i] for i in range(3)]
DRAW = Draw(0, 0, range(3))


def build(config: CycleConfig, prediction_type: str = "v_prediction", train_text: bool = False) -> CycleObjective:
    editor = build_editor(prediction_type, train_text)
    with torch.no_grad():  # a fresh image half is all zeros: let the picture matter
        editor.unet.conv_in.weight.normal_(std=0.2)
        editor.unet.conv_out.weight.mul_(3)
    clip = build_clip(ClipConfig(SIZE, 8, 16, 1, 2, 16, 1, 2, 16), editor.tokenizer)
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
        told = read(words)
        told.states.retain_grad()
        seen[tuple(words)] = told.states
        return told

    objective.editor.read = watched
    objective(BATCH, DRAW).losses["reconstruction"].sum().backward()
    forward = seen[tuple(row["instruction"] for row in BATCH)]
    assert forward.grad is not None and forward.grad.abs().sum() > 0


def test_back_translation_starts_from_the_models_own_edit_and_aims_at_the_picture():
    objective = build(CycleConfig(prior=1.0, prior_null=0.0, back_translation=1.0))
    seen = {}
    predict = objective.editor.predict

    def watched(noisy, image, t, told, tap=None):
        seen["condition"] = image
        return predict(noisy, image, t, told, tap)

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
    objective = build(CycleConfig(prior=1.0, rollout=0.7, patch=1.0, identity_warmup=2, straight_through=True,
                                   firm=True, cycle_noise=0.3, attention_maps="standard",
                                   augment=AugmentConfig(0.2, 0.05, 0.1, blur=1.0, views=2))).eval()  # fmt: skip
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
    t, told = torch.tensor([0, 300, 999]), source.editor.read(["a car"] * 3)
    a, b = (o.start(z, torch.zeros_like(z), t, told, DRAW) for o in (source, rollout))
    assert not torch.allclose(a[:2], b[:2], atol=0.1)
    assert not torch.allclose(b[0], z[0], atol=0.1)  # at t = 0 the noised source is the source; the rollout is not
    # From t = 999 there is nowhere to go: the rollout is the noise itself.
    noise = source._latent_noise(DRAW, "ε₁", z)
    assert torch.allclose(b[2], noise[2], atol=1e-4)


def test_a_shift_favours_noisy_timesteps_and_keeps_the_range():
    draw = Draw(3, 1, range(4000))
    plain, shifted = (
        build(CycleConfig(min_timestep=50, timestep_shift=s))._timestep(draw, "t").double() for s in (1, 3)
    )
    assert shifted.min() >= 50 and shifted.max() <= 999
    u = (plain - 50) / 949
    assert torch.allclose(shifted, 50 + 949 * 3 * u / (1 + 2 * u), atol=0.51)


def test_straight_through_shows_the_finished_sample_and_teaches_the_estimate():
    objective = build(CycleConfig(straight_through=True, rollout_steps=3, dropout=0.0))
    z, t, told = torch.randn(3, 4, 8, 8), torch.tensor([300, 600, 999]), objective.editor.read(["a car"] * 3)
    z_e = objective.editor.estimate(z, z, t, told)
    finished = objective.finish(z, z_e, z, t, told)
    assert not finished.requires_grad and not torch.allclose(finished, z_e, atol=1e-2)
    one = build(CycleConfig(straight_through=True, rollout_steps=1, dropout=0.0))
    assert torch.equal(one.finish(z, z_e, z, t, told), z_e)  # nothing left to do: the estimate itself
    decoded, decode = [], objective.editor.decode
    objective.editor.decode = lambda latents: decoded.append(latents) or decode(latents)
    assert grads(objective, "similarity") > 0  # through the estimate, as the finished sample has no gradient
    plain = build(CycleConfig(dropout=0.0))
    decode_plain = plain.editor.decode
    plain.editor.decode = lambda latents: decoded.append(latents) or decode_plain(latents)
    plain(BATCH, DRAW)
    assert not torch.allclose(decoded[0][:3], decoded[1][:3], atol=1e-2)


def test_noise_on_the_edited_picture_is_bounded_and_off_by_default():
    z = torch.randn(3, 4, 8, 8)
    plain, noisy = build(CycleConfig()), build(CycleConfig(cycle_noise=0.5))
    assert torch.equal(plain.hand_over(z, DRAW), plain.editor.condition(z))
    many = Draw(0, 0, range(200))
    added = noisy.hand_over(torch.zeros(200, 4, 8, 8), many) * noisy.editor.vae.config.scaling_factor
    spread = added.flatten(1).std(1)
    assert 0.4 < spread.max() < 0.6 and spread.min() < 0.05 and spread.mean().item() == pytest.approx(0.25, abs=0.05)
    assert grads(noisy, "reconstruction") > 0


def test_the_identity_warmup_asks_for_what_is_already_there():
    objective = build(CycleConfig(identity_warmup=2, dropout=0.0))
    asked, read = [], objective.editor.read
    objective.editor.read = lambda words: asked.append(words) or read(words)
    losses = objective(BATCH, DRAW).losses  # samples 0, 1, 2: the last is past the warm-up
    assert asked[0] == [BATCH[0]["reverse_instruction"], BATCH[1]["reverse_instruction"], BATCH[2]["instruction"]]
    assert losses["direction"][:2].abs().sum() == 0 and losses["direction"][2] > 0
    assert (losses["identity"][:2] > 0).all() and losses["identity"][2] == 0
    for later in (Draw(0, -1, range(3)), Draw(0, 1, range(5, 8))):  # validation is never a warm-up
        assert objective(BATCH, later).losses["identity"].abs().sum() == 0


def test_the_patch_term_sees_what_the_pooled_embedding_may_not():
    without, with_ = build(CycleConfig()), build(CycleConfig(patch=1.0))
    x, other = (torch.rand(3, 3, SIZE, SIZE) * 2 - 1 for _ in range(2))
    home = [o.judge(BATCH, DRAW, x, x, other)[0]["reconstruction"] for o in (without, with_)]
    assert (home[1] > home[0] + 1e-3).all()
    same = [o.judge(BATCH, DRAW, x, x, x)[0]["reconstruction"] for o in (without, with_)]
    assert torch.allclose(*same, atol=1e-4)


def test_firm_weighs_each_loss_by_what_its_own_sample_does():
    plain, firm = (build(CycleConfig(dropout=0.0, firm=on)) for on in (False, True))
    batch, draw = [DATA[i] for i in range(12)], Draw(0, 0, range(12))  # of so many some go the right way
    a, b = plain(batch, draw), firm(batch, draw)
    edits, keeps = firm_weights(b.logs["clip_direction"], b.logs["clip_return"])
    assert edits.std() > 0 and keeps.std() > 0  # else this test could not tell the weights from one
    for name, weight in {"direction": edits, "similarity": edits, "reconstruction": keeps, "attention": keeps}.items():
        assert torch.allclose(b.losses[name], weight * a.losses[name], atol=1e-5), name
    assert torch.allclose(b.logs["firm"], firm_reward(b.logs["clip_direction"], b.logs["clip_return"]))
    assert list(a.losses) == list(b.losses) and "firm" not in a.logs


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


def test_blur_takes_texture_and_keeps_areas():
    checks = ((torch.arange(SIZE)[:, None] + torch.arange(SIZE)) % 2).float().expand(3, 3, SIZE, SIZE)
    sigma = torch.tensor([0.0, 0.5, 2.0])
    blurred = blur(checks, sigma, 2.0)
    spread = blurred.flatten(1).std(1)
    assert torch.allclose(blurred[0], checks[0], atol=1e-5) and spread[1] < 0.3 and spread[2] < 0.02
    flat = torch.full((3, 3, SIZE, SIZE), 0.7)
    assert torch.allclose(blur(flat, sigma, 2.0), flat, atol=1e-5)
    assert torch.equal(blur(checks[2:], sigma[2:], 2.0), blurred[2:])


@pytest.mark.parametrize("fault", [{"noise": -0.1}, {"views": 0}])
def test_impossible_augmentation_is_refused(fault):
    with pytest.raises(UserError, match=next(iter(fault))):
        AugmentConfig(**fault)


def test_cycle_recipes_cannot_reach_an_edited_picture(tmp_path):
    """In a process of its own: build the cycle's data and its modules with those that draw targets forbidden, and
    every scene that is rendered checked to be a source."""
    code, said = alone(build_without_answers, log=tmp_path / "log")
    assert code == 0 and said.strip().endswith("clean"), said


def test_a_side_that_no_map_has_is_an_error_where_the_loss_is_asked_for():
    with pytest.raises(UserError, match="attention_side is 1, and at this size no cross-attention map"):
        build(CycleConfig(attention_side=1))(BATCH, DRAW)
    losses = build(CycleConfig(attention_side=1, attention=0.0))(BATCH, DRAW).losses
    assert losses["attention"].tolist() == [0, 0, 0]
