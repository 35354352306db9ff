"""Fixtures that more than one test needs: tiny real models in folders, and pictures."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # the tests need no network, and must not wait for one

import numpy as np
import pytest
import tiny
from PIL import Image


@pytest.fixture(scope="session", autouse=True)
def data_home(tmp_path_factory) -> Path:
    """Edited files are signed by a certificate that lives in the user's data folder: the tests have their own."""
    folder = tmp_path_factory.mktemp("data-home")
    os.environ["XDG_DATA_HOME"] = str(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory) -> Path:
    """A tiny InstructPix2Pix folder with an open vocabulary. Do not change it: copy it (`tiny_copy`)."""
    return tiny.save_folder(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def closed_folder(tmp_path_factory) -> Path:
    """The same model with a closed vocabulary."""
    return tiny.save_folder(tmp_path_factory.mktemp("models") / "closed", closed=True)


@pytest.fixture
def tiny_copy(tiny_folder, tmp_path) -> Path:
    """A copy of `tiny_folder` to break."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "model"))


@pytest.fixture
def photo() -> Image.Image:
    """A picture of 96 × 64 with smooth parts, edges, and detail finer than the model's pixels."""
    y, x = np.mgrid[:64, :96].astype(np.float32)
    smooth = np.stack([x / 95, y / 63, 1 - x / 95], axis=-1) * 200
    smooth[20:44, 30:60] = (220, 40, 40)
    detail = np.random.default_rng(0).integers(0, 40, smooth.shape)
    return Image.fromarray((smooth + detail).clip(0, 255).astype(np.uint8))
