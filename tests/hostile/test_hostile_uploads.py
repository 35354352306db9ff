"""What strangers send to an open port: a clear refusal, whatever it is, and no memory taken by it."""

from __future__ import annotations

import importlib
import io
import sys
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from uip2p.errors import UserError
from uip2p.serving.container import MAX_METADATA, check_file
from uip2p.serving.pictures import open_picture

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")
sys.path.insert(0, BENCHMARKS)
hostile = importlib.import_module("hostile")
sys.path.remove(BENCHMARKS)


@pytest.mark.parametrize("name", hostile.MAKERS)
def test_each_is_refused_with_a_sentence(name):
    with pytest.raises(UserError, match=r"^image: ") as refusal:
        open_picture(hostile.MAKERS[name]())
    assert len(str(refusal.value)) < 250


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_what_cameras_and_editors_put_beside_a_picture_is_no_harm(format):
    exif = Image.Exif()
    exif[0x010F] = "Camera"
    exif[0x927C] = bytes(60_000)  # a maker's note
    options = {"exif": exif, "icc_profile": bytes(500_000)} if format != "PNG" else {"exif": exif}
    content = hostile.picture(format, size=(40, 640), **options) + b"a film: ftypmp42" + hostile.picture("JPEG")
    assert open_picture(content).size == (40, 640)


def test_a_png_by_another_name_is_a_png():
    assert open_picture(hostile.picture("PNG")).size == (64, 64)  # no name is looked at, and no declared type


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_metadata_is_counted_to_the_byte_limit(format):
    beside = b"<x:xmpmeta>" + bytes(MAX_METADATA)
    if format == "JPEG":  # 64 kB a segment
        content = hostile.after_start(hostile.picture("JPEG"), hostile.segments(0xE5, b"", MAX_METADATA // 65533 + 1))
    elif format == "PNG":
        content = hostile.png(64, 64, hostile.chunk(b"eXIf", beside))
    else:
        content = hostile.picture("WEBP", xmp=beside)
    with pytest.raises(UserError, match=r"4\.\d MB of metadata"):
        check_file(content)


def test_an_archive_within_the_pixels_is_only_pixels():
    """A rider is what comes behind the picture's end; the same bytes as pixels are a picture."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a", b"x" * 3000)
    pixels = (archive.getvalue() * 20)[: 32 * 32 * 3]
    out = io.BytesIO()
    Image.frombytes("RGB", (32, 32), pixels).save(out, "PNG", compress_level=0)
    assert open_picture(out.getvalue()).size == (32, 32)
