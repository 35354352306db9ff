"""Pictures to sign, a user's own certificate, and a photograph that knows where it was taken."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from certificates import issue
from PIL import Image
from PIL.ExifTags import IFD, Base

from uip2p.provenance import Made


@pytest.fixture(scope="session")
def picture() -> Image.Image:
    """96 × 64, smooth with noise."""
    y, x = np.mgrid[:64, :96]
    noise = np.random.default_rng(0).integers(0, 30, (64, 96, 3))
    return Image.fromarray((np.stack([x * 2, y * 3, x + y], axis=-1) + noise).astype(np.uint8))


@pytest.fixture(scope="session")
def large() -> Image.Image:
    """A photograph's part, 320 × 256: large enough for a watermark."""
    import skimage.data

    return Image.fromarray(skimage.data.astronaut()[:256, 100:420])


@pytest.fixture(scope="session")
def made() -> Made:
    return Made("mini", 3, 20, 7.5, 1.5, "DDIMScheduler")


@pytest.fixture(scope="session")
def photograph(picture) -> bytes:
    """A JPEG with a camera, a place and XMP of its own."""
    tags = Image.Exif()
    tags[Base.Make], tags[Base.Model] = "Nikon", "D850 of Ann"
    tags.get_ifd(IFD.GPSInfo).update({1: "N", 2: (51.0, 30.0, 26.0)})
    content = io.BytesIO()
    picture.save(content, "JPEG", exif=tags, xmp=b'<x:xmpmeta xmlns:x="adobe:ns:meta/">SecretName</x:xmpmeta>')
    return content.getvalue()


@pytest.fixture(scope="session")
def own(tmp_path_factory) -> tuple[Path, Path]:
    """(certificate chain, key): files as a user has them."""
    return issue(tmp_path_factory.mktemp("own"))
