"""The single file in stable-diffusion.cpp, which $SD_CPP names (its `sd-cli`): two gigabytes and some minutes.

CLIP's words come from $COMFYUI, the folder of a ComfyUI (docs/integrations.md).
"""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from comfyui_life import FOLDER
from full_shapes import UNETS, random_sd15
from PIL import Image

from uip2p.editing.editor import Editor
from uip2p.models.single_file import save_single_file
from uip2p.scenes.answers import answer
from uip2p.scenes.world import World

SD_CPP = os.environ.get("SD_CPP", "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (SD_CPP and FOLDER), reason="SD_CPP names no sd-cli, or COMFYUI no folder"),
]
STEPS, TEXT, PICTURE = 4, 7.5, 1.5


def test_it_makes_the_same_picture(tmp_path):
    """Same noise, same timesteps, both scales; another instruction is another picture."""
    parts = random_sd15(Path(FOLDER) / "comfy" / "sd1_tokenizer", UNETS["sd15"])
    save_single_file(parts, tmp_path / "editor.safetensors", torch.float16, {})
    picture = Image.fromarray(answer(World(3, "test").edit(0, "color"), 64).source)
    picture.save(tmp_path / "in.png")
    made = []
    for text in ("make the car blue", "turn the whole sky into a sea of green glass"):
        ours = np.asarray(Editor(parts)(
            picture, text, steps=STEPS, guidance_scale=TEXT, image_guidance_scale=PICTURE, scheduler="euler",
            residual=False,
        )).astype(int)  # fmt: skip
        command = [
            SD_CPP, "-m", "editor.safetensors", "-r", "in.png", "-p", text, "-W", 64, "-H", 64, "--cfg-scale", TEXT,
            "--img-cfg-scale", PICTURE, "--steps", STEPS, "--sampling-method", "euler", "--scheduler", "discrete",
            "--rng", "cpu", "--seed", 0, "-o", "out.png", "--disable-auto-resize-ref-image",
        ]  # fmt: skip
        done = subprocess.run(list(map(str, command)), cwd=tmp_path, capture_output=True, text=True, timeout=900)
        assert "Version: Instruct-Pix2Pix" in done.stdout + done.stderr, done.stderr[-2000:]
        difference = np.abs(np.asarray(Image.open(tmp_path / "out.png").convert("RGB")) - ours)
        print("difference of 255: mean", difference.mean(), "most", difference.max())
        assert difference.max() <= 2
        made.append(ours)
    assert np.abs(made[0] - made[1]).max() > 20
