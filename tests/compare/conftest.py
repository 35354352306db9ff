"""A tiny comparison: real models with random weights as its shared stages, and rows of a few steps."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import tiny
import torch

from uip2p.cli import main
from uip2p.compare.config import load_comparison
from uip2p.compare.training import trainings
from uip2p.models.clip import ClipConfig, build_clip
from uip2p.models.folder import Settings, save_settings
from uip2p.models.tokenizer import build_tokenizer
from uip2p.scenes.language import vocabulary

RECIPE = """
objective = "{objective}"
about = "a few steps"

[data]
seed = 40
size = 32

[model]
base = "base"
train_text = true
{more}
[train]
steps = 8
batch_size = 2
save_every = 4
log_every = 1
"""
MORE = {"paired": "[faults]\nscene = 0.0", "cycle": 'clips = ["clip"]'}

COMPARISON = """
[comparison]
about = "Two rows of a few steps."
root = "{folder}/root"
seeds = [1, 2]

[comparison.sweep]
steps = [1, 2]
guidance_scale = [1.0]
image_guidance_scale = [1.0, 1.5]
maximise = "direction"
seed = 5
count = 9

[comparison.test]
against = "supervised, clean"
seed = 6
count = 9
sessions = 2
splits = {{ composition = 4, language = 5 }}

[comparison.curves]
steps = [1, 3]
guidance_scale = [1.0, 3.0]
image_guidance_scale = [1.0, 2.0]
count = 4
seeds = 1
snapshot_every_images = 24

[[row]]
name = "supervised, clean"
recipe = "{folder}/study-paired.toml"
set = ["train.steps=24"]
seeds = [1]

[[row]]
name = "UIP2P (full)"
recipe = "{folder}/study-cycle.toml"
set = ["train.steps=24"]
curves = true
samples_curve = true
"""


def save_clip(folder: Path, seed: int) -> None:
    torch.manual_seed(seed)
    config = ClipConfig(32, width=16, layers=1, heads=2, text_width=16, text_layers=1, text_heads=2, embedding=16)
    build_clip(config, build_tokenizer(vocabulary())).save(folder)


def write_base(folder: Path, seed: int = 0) -> None:
    editor = tiny.build_editor(seed=seed)
    torch.nn.init.normal_(editor.unet.conv_in.weight, std=0.3)  # widened at zero, it would not see the picture at all
    editor.save(folder)
    save_settings(Settings(tiny.SIZE, steps=2, guidance_scale=1.0, image_guidance_scale=1.0), folder)


def save_stages(root: Path) -> Path:
    """base, clip and judge, as `uip2p train --recipe study` would leave them."""
    write_base(root / "base/model")
    save_clip(root / "clip/model", seed=1)
    save_clip(root / "judge/model", seed=2)
    return root


@pytest.fixture
def save_base():
    """(folder, seed) → a base in the folder."""
    return write_base


def write_files(folder: Path) -> Path:
    for objective, more in MORE.items():
        (folder / f"study-{objective}.toml").write_text(RECIPE.format(objective=objective, more=more))
    path = folder / "tiny.toml"
    path.write_text(COMPARISON.format(folder=folder))
    return path


@pytest.fixture
def tiny_comparison(tmp_path) -> Path:
    """The comparison's file; its stages lie in tmp_path/root."""
    save_stages(tmp_path / "root")
    return write_files(tmp_path)


@pytest.fixture(scope="session")
def first_trained(tmp_path_factory) -> Path:
    """The root of a comparison whose first row is trained, as the comparison would. Do not change it."""
    folder = tmp_path_factory.mktemp("first")
    save_stages(folder / "root")
    comparison = load_comparison(str(write_files(folder)))
    run, *_ = trainings(comparison, comparison.rows)
    run.out.mkdir(parents=True)
    run.write_note()
    assert main(list(run.command[3:])) == 0
    return folder / "root"


@pytest.fixture
def trained(first_trained, tmp_path) -> Path:
    """The file of a comparison whose first row is trained."""
    shutil.copytree(first_trained, tmp_path / "root")
    return write_files(tmp_path)
