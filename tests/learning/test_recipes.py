"""Every recipe, end to end at the smallest size: the same code and the same files as the real runs."""

import json

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionInstructPix2PixPipeline
from PIL import Image

from uip2p.cli import main
from uip2p.errors import UserError
from uip2p.learning.command import FAMILIES
from uip2p.learning.recipes import build, family_and_stage, find, read_recipe, recipe_names

FEW = [
    "train.steps=2",
    "train.batch_size=4",
    "train.save_every=2",
    "train.validate_every=0",
    "train.warmup_steps=0",
    "train.sample_every_images=8",
    "data.size=32",
]
TINY = {
    "mini-autoencoder": ["model.widths=[8, 8, 16]", "model.latent_channels=4", "model.image_size=32", "loss.crop=0"],
    "mini-clip": [
        "model.image_size=32",
        "model.width=16",
        "model.layers=1",
        "model.heads=2",
        "model.text_width=16",
        "model.text_layers=1",
        "model.text_heads=2",
        "model.embedding=16",
    ],
    "mini-base": [
        "model.unet.widths=[16, 32]",
        "model.unet.attention=[false, true]",
        "model.unet.heads=2",
        "model.unet.norm_groups=8",
        "model.text.width=16",
        "model.text.layers=1",
        "model.text.heads=2",
    ],
}
TINY["mini-judge"] = TINY["mini-clip"]


def train(recipe: str, root, *more: str, out=None) -> int:
    overrides = [*FEW, *TINY.get(recipe, ()), *more]
    to = [] if out is None else ["--out", str(out)]
    sets = [f"--set={override}" for override in overrides]
    return main(["train", "--recipe", recipe, "--root", str(root), *to, *sets])


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Every stage that the editors need, trained for two steps each."""
    root = tmp_path_factory.mktemp("mini")
    for recipe in ("mini-autoencoder", "mini-clip", "mini-judge", "mini-base"):
        assert train(recipe, root) == 0
    return root


@pytest.mark.parametrize("recipe", ["mini-cycle", "mini-finetune", "mini-paired", "mini-demo"])
def test_an_editor_comes_out_that_stock_diffusers_runs(root, recipe):
    if recipe == "mini-finetune":
        assert train("mini-cycle", root) == 0  # what it starts from, where it is not trained yet
    assert train(recipe, root) == 0
    out = root / family_and_stage(recipe)[1]
    pipe = StableDiffusionInstructPix2PixPipeline.from_pretrained(out / "model", safety_checker=None)
    picture = Image.fromarray(np.full((32, 32, 3), 120, np.uint8))
    edited = pipe("make the car red", image=picture, num_inference_steps=2, guidance_scale=2.0).images[0]
    assert edited.size == (32, 32)
    assert list((out / "samples").glob("*.png")) and (out / "metrics.jsonl").read_text()
    settings = json.loads((out / "model/uip2p.json").read_text())
    assert settings["image_size"] == 32 and "mushroom" in settings["vocabulary"]
    before = StableDiffusionInstructPix2PixPipeline.from_pretrained(root / "base/model", safety_checker=None)
    assert any(not torch.equal(a, b) for a, b in zip(pipe.unet.parameters(), before.unet.parameters(), strict=True))


@pytest.mark.parametrize("sees", [True, False])
def test_the_base_is_a_widened_text_to_image_model(root, tmp_path, sees):
    """One that never saw a picture does not look at it yet; the recipe's own has learned to."""
    folder = root / "base"
    if not sees:
        folder = tmp_path / "base"
        overrides = [*FEW, *TINY["mini-base"], "loss.identity=0.0", "loss.repair=0.0"]
        sets = [f"--set={override}" for override in overrides]
        assert main(["train", "--recipe", "mini-base", "--root", str(root), "--out", str(folder), *sets]) == 0
    pipe = StableDiffusionInstructPix2PixPipeline.from_pretrained(folder / "model", safety_checker=None)
    assert pipe.unet.config.in_channels == 8 and bool(pipe.unet.conv_in.weight[:, 4:].abs().sum() > 0) == sees


def test_ones_own_folder_trains_the_cycle(root, tmp_path):
    folder = tmp_path / "mine"
    assert main(["scenes", "--count", "6", "--size", "32", "--out", str(folder)]) == 0
    out = tmp_path / "out"
    overrides = [f"--set={o}" for o in FEW]
    arguments = ["train", "--recipe", "mini-finetune", "--root", str(root), "--out", str(out), "--data", str(folder)]
    assert main([*arguments, *overrides]) == 0
    assert json.loads((out / "model/uip2p.json").read_text())["vocabulary"] is None  # one's own words are open


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_says_what_runs_it_and_what_it_is(name):
    text = (read_recipe.__globals__["RECIPES"] / f"{name}.toml").read_text()
    assert text.startswith(f"# uip2p train --recipe {name}") and read_recipe(name)["about"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.stepz=3", "stepz"),
        ("loss.directoin=1", "direction"),
        ("model.base=5", "base"),
        ("speed.x=1", "speed"),
        ("train.steps=fast", "steps"),
        ("objective=magic", "objective"),
    ],
)
def test_a_wrong_setting_is_named(root, override, message, capsys):
    assert train("mini-cycle", root, override) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("recipe", ["mini-autoencoder", "mini-clip", "mini-base", "mini-paired"])
def test_only_what_the_cycle_trains_is_sharded(root, tmp_path, recipe, capsys):
    """Said before anything is written, whatever else is wrong (two of these have another optimizer too)."""
    out = tmp_path / "run"
    assert train(recipe, root, "train.shard=true", out=out) == 2
    assert "train.shard is for cycle recipes" in capsys.readouterr().err and not out.exists()


def test_a_missing_stage_and_a_missing_recipe_are_named(tmp_path):
    with pytest.raises(UserError, match="mini-cycle"):
        read_recipe("mini-cyle")
    assert find("some/hub-id", tmp_path) == "some/hub-id"
    with pytest.raises(UserError, match=r"no trained paired yet.*--recipe mini-paired"):
        find("paired", tmp_path)


@pytest.mark.parametrize(
    ("name", "family", "stage"),
    [
        ("mini-base", "mini", "base"),
        ("study-base", "study", "base"),
        ("folder/study-cycle-twice.toml", "study", "cycle-twice"),
        ("my-flowers.toml", "mini", "my-flowers"),
        ("flowers.toml", "mini", "flowers"),
    ],
)
def test_a_recipe_has_a_family_and_a_stage(name, family, stage):
    assert family_and_stage(name) == (family, stage)


def test_only_the_miniature_falls_back_on_what_ships(tmp_path):
    """A run of another size must not start from a base of 64 pixels because its own is not trained yet."""
    assert find("base", tmp_path, "mini").endswith("base-mini")
    with pytest.raises(UserError, match=r"no trained base yet.*--recipe study-base"):
        find("base", tmp_path, "study")
    with pytest.raises(UserError, match="sd15 has no stage 'base'"):
        find("base", tmp_path, "sd15")
    with pytest.raises(UserError, match="--recipe study-clip"):
        build("study-cycle", read_recipe("study-cycle"), tmp_path)


def test_a_family_is_trained_in_order_into_its_own_root(tmp_path, monkeypatch, capsys):
    from uip2p.learning import command

    monkeypatch.chdir(tmp_path)
    assert main(["train", "--recipe", "study", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert [line.split()[0] for line in printed.splitlines()[1:]] == list(FAMILIES["study"])
    assert not list(tmp_path.iterdir())
    assert command.train_recipe("study-base", dry_run=True).as_posix() == "runs/study/base"
    assert command.train_recipe("mini-base", dry_run=True).as_posix() == "runs/mini/base"
    assert main(["train", "--recipe", "study", "--out", "x"]) == 2


def test_a_recipe_is_the_same_run_each_time(root):
    tables = read_recipe("mini-cycle", FEW)
    one, two = (build("mini-cycle", tables, root) for _ in range(2))
    for (name, a), b in zip(one.objective.state_dict().items(), two.objective.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    assert all(np.array_equal(one.dataset[i]["image"], two.dataset[i]["image"]) for i in range(5))
