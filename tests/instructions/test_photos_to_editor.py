"""From a folder of captioned photographs to a trained editor, by the commands that a user types."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from runs import ColorWriter, config, make_source

from uip2p.cli import main
from uip2p.instructions.generate import generate
from uip2p.learning.journal import Journal

ROOT = Path(__file__).parents[2]
PHOTOS = next((path for path in (ROOT / "runs/photos", ROOT / "../shared/data/photos") if path.is_dir()), None)


def train(recipe: str, data: Path, root: Path, *overrides: str) -> int:
    sets = [f"--set=train.{override}" for override in overrides]
    return main(["train", "--recipe", recipe, "--data", str(data), "--root", str(root), *sets])


def test_two_steps_of_each_stage(unplanned, tmp_path):
    out = tmp_path / "run"
    generate(config(make_source(tmp_path / "pictures", 6, 2)), out, make_writer=ColorWriter, quiet=True)
    few = ("steps=2", "batch_size=2", "warmup_steps=0", "sample_every_images=0")
    assert train("own-finetune", out, tmp_path / "root", *few) == 2, "own-words comes first"
    for recipe in ("own-words", "own-finetune"):
        assert train(recipe, out, tmp_path / "root", *few) == 0
    picture, model = tmp_path / "pictures/0.png", tmp_path / "root/finetune/model"
    words = ["make the car number zero green", "--model", str(model), "-o", str(tmp_path / "edited.png")]
    assert main(["edit", str(picture), *words]) == 0
    assert Image.open(tmp_path / "edited.png").size == Image.open(picture).size


@pytest.mark.slow
@pytest.mark.skipif(PHOTOS is None, reason="no captioned photographs: put an imagefolder with captions at runs/photos")
@pytest.mark.skipif(importlib.util.find_spec("spacy") is None, reason="the grammar needs spaCy")
def test_two_hundred_steps_on_photographs(tmp_path):
    out, root = tmp_path / "edits", tmp_path / "root"
    assert main(["data", "generate", str(PHOTOS), "-o", str(out)]) == 0
    assert train("own-words", out, root, "log_every=20") == 0
    assert train("own-finetune", out, root, "log_every=20") == 0
    words, cycle = (Journal.read(root / stage / "metrics.jsonl") for stage in ("words", "finetune"))
    unseen = [row["validation"] for row in words if "validation" in row]  # pictures that are held out
    assert unseen[-1]["contrast"] < unseen[0]["contrast"]
    assert unseen[-1]["accuracy"] > 5 / 128, "five times what a guess among 128 texts finds"
    cycle = [row for row in cycle if "total" in row]
    assert cycle[-1]["step"] == 200
    for name in ("direction", "similarity"):
        first, last = ([row[name] for row in rows if name in row] for rows in (cycle[:3], cycle[-3:]))
        assert np.mean(last) < np.mean(first), name
    assert cycle[-1]["edit_magnitude"] > 0.01, "it does not copy its input"

    photo = next((PHOTOS / "images").glob("*.jpg"))
    edit = ["make it a snowy day", "--model", str(root / "finetune/model"), "-o", str(tmp_path / "edited.png")]
    assert main(["edit", str(photo), *edit]) == 0
    before, after = (np.asarray(Image.open(path).convert("RGB"), float) for path in (photo, tmp_path / "edited.png"))
    assert before.shape == after.shape and np.abs(before - after).mean() > 1
