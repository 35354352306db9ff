"""A loss encoder that reads latents: how it starts, what it learns, and that the cycle with it decodes nothing."""

import pytest
import torch
from tiny import SIZE, build_editor

from uip2p.cli import main
from uip2p.errors import UserError
from uip2p.learning.augment import AugmentConfig
from uip2p.learning.cycle import CycleConfig, CycleObjective
from uip2p.learning.datasets import Captioned, DataConfig, Unpaired
from uip2p.learning.latent_clip import LatentClipConfig, LatentClipObjective
from uip2p.learning.plan import make_plan
from uip2p.learning.randomness import Draw
from uip2p.learning.recipes import build as build_run
from uip2p.learning.recipes import find, read_cycle, read_recipe
from uip2p.models.clip import Clip, ClipConfig, LatentClip, build_clip, build_latent_clip, load_clip
from uip2p.models.folder import Settings, save_settings

DATA = Unpaired(DataConfig(seed=11, size=SIZE), "train")
BATCH = [DATA[i] for i in range(3)]
DRAW = Draw(0, 0, range(3))
LATENT = SIZE // 4


def teacher(editor, contrast: float = 3) -> Clip:
    """An untrained CLIP says nearly the same of everything. contrast lets it tell pictures apart."""
    torch.manual_seed(0)
    clip = build_clip(ClipConfig(SIZE, 8, 16, 1, 2, 16, 1, 2, 16), editor.tokenizer)
    with torch.no_grad():
        for parameter in clip.model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(contrast)
    return clip


def student(editor) -> LatentClip:
    return build_latent_clip(teacher(editor), 4, LATENT)


def cycle(config: CycleConfig) -> CycleObjective:
    editor = build_editor()
    with torch.no_grad():  # a fresh image half is all zeros: let the picture matter
        editor.unet.conv_in.weight.normal_(std=0.2)
        editor.unet.conv_out.weight.mul_(3)
    return CycleObjective(editor, [student(editor)], config, Settings())


def test_it_starts_as_its_teacher_but_for_the_patch_embedding():
    editor = build_editor()
    old, new = (clip.model.state_dict() for clip in (teacher(editor), student(editor)))
    changed = {name for name in old if old[name].shape != new[name].shape or not torch.equal(old[name], new[name])}
    assert changed == {"vision_model.embeddings.patch_embedding.weight"}
    assert new[changed.pop()].shape == (16, 4, 2, 2)  # 4 × 4 patches, as the teacher's of 8 pixels
    assert torch.equal(teacher(editor).embed_texts(["a dog"]), student(editor).embed_texts(["a dog"]))


def test_latents_that_cannot_be_cut_as_the_pictures_were_are_refused():
    with pytest.raises(UserError, match="multiple of 4"):
        build_latent_clip(teacher(build_editor()), 4, 6)


def test_it_is_saved_and_known_again_and_refuses_pictures(tmp_path):
    editor = build_editor()
    clip = student(editor).freeze()
    clip.save(tmp_path)
    again = load_clip(tmp_path)
    z = torch.randn(2, 4, LATENT, LATENT)
    assert isinstance(again, LatentClip) and torch.equal(again.embed_images(z), clip.embed_images(z))
    with pytest.raises(UserError, match="reads latents"):
        again.embed_images(torch.zeros(2, 3, SIZE, SIZE))
    teacher(editor).save(tmp_path)
    assert not isinstance(load_clip(tmp_path), LatentClip)


def test_it_learns_to_say_of_latents_what_the_teacher_says_of_pictures():
    editor = build_editor()
    pictures = Captioned(DataConfig(seed=3, size=SIZE), "train")
    batch, draw = [pictures[i] for i in range(16)], Draw(0, 0, range(16))
    clip = teacher(editor, contrast=1)
    config = LatentClipConfig(augment=AugmentConfig())
    objective = LatentClipObjective(build_latent_clip(clip, 4, LATENT), clip, editor.vae, config)
    before = {name: value.clone() for name, value in objective.state_dict().items()}
    optimizer = torch.optim.Adam([p for p in objective.parameters() if p.requires_grad], 1e-2)
    means = []
    for _ in range(150):
        losses = objective(batch, draw).losses
        means.append({name: loss.mean().item() for name, loss in losses.items()})
        optimizer.zero_grad()
        sum(loss.mean() for loss in losses.values()).backward()
        optimizer.step()
    assert all(loss.shape == (16,) for loss in losses.values())
    assert set(means[0]) == {"embedding", "patches"} and all(means[-1][name] < means[0][name] / 4 for name in means[0])
    learned = {name for name, value in objective.state_dict().items() if not torch.equal(value, before[name])}
    asked = {name for name, parameter in objective.named_parameters() if parameter.requires_grad}
    parts = ("student.model.vision_model.", "student.model.visual_projection.")
    assert learned == asked and all(name.startswith(parts) for name in asked)


def forbid_decoding(objective: CycleObjective) -> None:
    def forbidden(*args, **kwargs):
        raise AssertionError("the decoder was called")

    objective.editor.vae.decoder.forward = forbidden


def test_the_cycle_decodes_nothing_and_every_loss_reaches_the_unet():
    objective = cycle(CycleConfig(dropout=0.0, patch=1.0, prior=1.0, identity_warmup=1))
    forbid_decoding(objective)
    losses = objective(BATCH, DRAW).losses
    for name, loss in losses.items():
        assert loss.shape == (3,) and torch.isfinite(loss).all(), name
        objective.zero_grad()
        loss.sum().backward(retain_graph=True)
        assert sum(p.grad.abs().sum() for p in objective.editor.unet.parameters() if p.grad is not None) > 0, name
    pictures = CycleObjective(objective.editor, [teacher(objective.editor)], CycleConfig(), Settings())
    with pytest.raises(AssertionError, match="decoder was called"):
        pictures(BATCH, DRAW)


def test_a_copy_is_a_copy_in_latents_too():
    objective = cycle(CycleConfig())
    x = torch.randn(3, 3, SIZE, SIZE)
    z, c = objective.editor.encode(x)
    source = objective.source(x, c)
    assert torch.allclose(source, z) and torch.equal(objective.shown(z), z)
    losses, logs = objective.judge(BATCH, DRAW, source, z, z)
    assert logs["copy_rate"].tolist() == [1, 1, 1] and logs["edit_magnitude"].max() < 1e-6
    assert losses["reconstruction"].max() < 1e-3
    assert objective.shown(z + 100).max() == 6  # as decodes are clamped: one step from pure noise can land anywhere


def test_encoders_of_one_kind():
    editor = build_editor()
    with pytest.raises(UserError, match="some latents"):
        CycleObjective(editor, [teacher(editor), student(editor)], CycleConfig(), Settings())


@pytest.fixture
def models(tmp_path):
    """A base and its loss encoder in folders, and a latent encoder trained for two steps by the command."""
    editor = build_editor()
    editor.save(tmp_path / "base")
    save_settings(Settings(image_size=SIZE), tmp_path / "base")
    for name in ("clip", "autoencoder"):
        (tmp_path / name / "model").mkdir(parents=True)
    teacher(editor).save(tmp_path / "clip/model")
    editor.vae.save_pretrained(tmp_path / "autoencoder/model")
    few = ["train.steps=2", "train.batch_size=4", "train.validate_every=1", "train.warmup_steps=0"]
    sets = [f"--set={override}" for override in few]
    assert main(["train", "--recipe", "study-latent-clip", "--root", str(tmp_path), *sets]) == 0
    return tmp_path


def test_from_the_recipe_to_a_cycle_without_a_decoder_and_its_plan(models):
    own = [f"model.base='{models / 'base'}'", f"data.size={SIZE}"]
    read = {
        kind: read_recipe("study-cycle", [*own, f"model.clips=['{kind}']"]) for kind in ("clip", "latent-clip")
    }
    objective = build_run("study-cycle", read["latent-clip"], models).objective
    forbid_decoding(objective)
    assert objective.latent and torch.isfinite(objective(BATCH, DRAW).losses["direction"]).all()

    def plan(kind):
        data, editor, loss, train = read_cycle("study-cycle", read[kind])
        return make_plan(editor, loss, train, data.size, lambda name: find(name, models, "study"))

    assert plan("latent-clip").flops < 0.8 * plan("clip").flops  # the plan counts what the step really does
    wrong = read_recipe("study-cycle", [*own, "model.clips=['latent-clip']", "data.size=64"])
    with pytest.raises(UserError, match=r"data\.size"):
        run = build_run("study-cycle", wrong, models)
        run.objective([run.dataset[0]], Draw(0, 0, [0]))
