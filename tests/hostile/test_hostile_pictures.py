"""Bad pictures through the real command: a clear error, or the right result. Nothing in between, and no traceback."""

from __future__ import annotations

import resource
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from uip2p.cli import main
from uip2p.images import load_image


@pytest.fixture
def edit(tiny_folder, tmp_path, capsys):
    """Runs `uip2p edit PICTURE "add a dog"` -> (exit code, stderr, the result's path)."""

    def edit(picture: Path) -> tuple[int, str, Path]:
        out = tmp_path / "out.png"
        code = main(["edit", str(picture), "add a dog", "-o", str(out), "--model", str(tiny_folder), "--device", "cpu"])
        return code, capsys.readouterr().err, out

    return edit


def png_of_zeros(side: int) -> bytes:
    """A valid PNG of side² black pixels, without ever having side² pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    row = bytes(1 + (side + 7) // 8)
    data = b"".join([*(packer.compress(row) for _ in range(side)), packer.flush()])
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def refused(result: tuple[int, str, Path], *words: str) -> None:
    code, stderr, out = result
    assert code == 2 and not out.exists()
    assert stderr.startswith("uip2p edit: error: ") and stderr.count("\n") == 1
    for word in words:
        assert word in stderr


def test_a_text_file(edit, tmp_path):
    path = tmp_path / "notes.png"
    path.write_text("not a picture")
    refused(edit(path), "notes.png: not a picture we can read", "Give a PNG, JPEG")


def test_other_formats_are_not_even_tried(edit, tmp_path):
    path = tmp_path / "picture.png"
    Image.new("RGB", (8, 8)).save(path, "PPM")
    refused(edit(path), "not a picture we can read")


def test_an_empty_file_a_folder_and_nothing(edit, tmp_path):
    (tmp_path / "empty.png").touch()
    refused(edit(tmp_path / "empty.png"), "not a picture we can read")
    refused(edit(tmp_path), "this is a folder")
    refused(edit(tmp_path / "nothing.png"), "there is no such file. Check the path")


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("part", [0.5, 0.9])
def test_a_truncated_picture(edit, photo, tmp_path, format, part):
    path = tmp_path / f"cut.{format.lower()}"
    photo.save(path, format)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    refused(edit(path), path.name, "Export the picture again" if format == "WEBP" else "again")


def test_random_damage_never_ends_in_a_traceback(photo, tmp_path):
    from uip2p.errors import UserError

    random = np.random.default_rng(0)
    for format in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"):
        photo.save(tmp_path / "whole", format)
        whole = np.frombuffer((tmp_path / "whole").read_bytes(), np.uint8)
        for _ in range(60):
            broken = whole.copy()
            where = random.integers(0, min(len(whole), 400), size=4)
            broken[where] = random.integers(0, 256, size=4)
            try:
                load_image(broken.tobytes())
            except UserError as error:
                assert len(str(error)) > 20


def test_a_decompression_bomb_is_refused_from_its_header(edit, tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_of_zeros(13300))
    assert path.stat().st_size < 100_000
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    refused(edit(path), "bomb.png: 13300×13300 pixels", "limit is 50 megapixels", "Give a smaller picture")
    assert time.perf_counter() - began < 1.0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB; decoded it is 170 MB and more


def test_a_greater_bomb_that_pillow_itself_refuses(edit, tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_of_zeros(20000))
    refused(edit(path), "bomb.png: far too many pixels", "limit is 50 megapixels")


def test_cmyk_16_bit_animated_and_rotated_pictures_are_edited(edit, photo, tmp_path):
    grey = np.linspace(0, 65535, 96 * 64).reshape(64, 96).astype(np.uint16)
    exif = Image.Exif()
    exif[0x0112] = 6
    photo.convert("CMYK").save(tmp_path / "cmyk.jpg")
    Image.fromarray(grey).save(tmp_path / "deep.png")
    photo.save(tmp_path / "moving.gif", save_all=True, append_images=[photo.rotate(90)])
    photo.save(tmp_path / "turned.jpg", exif=exif)
    for name in ("cmyk.jpg", "deep.png", "moving.gif", "turned.jpg"):
        code, stderr, out = edit(tmp_path / name)
        assert code == 0, stderr
        size = (64, 96) if name == "turned.jpg" else (96, 64)
        assert Image.open(out).size == size and Image.open(out).mode == "RGB"
    cmyk = np.asarray(load_image(tmp_path / "cmyk.jpg")).astype(int)
    assert np.abs(cmyk - np.asarray(photo)).mean() < 20  # and not its negative
    assert abs(np.asarray(load_image(tmp_path / "deep.png")).mean() - 127.5) < 1  # scaled, not clipped to white


# ---- saving ----------------------------------------------------------------------------------------------------------


def test_an_unknown_ending_is_refused_before_any_work(photo, tmp_path, capsys):
    photo.save(tmp_path / "in.png")
    for name, message in (("out.xyz", "we do not write '.xyz' pictures"), ("out", "the name has no ending")):
        code = main(["edit", str(tmp_path / "in.png"), "add a dog", "-o", str(tmp_path / name), "--model", "/nowhere"])
        stderr = capsys.readouterr().err
        assert code == 2 and message in stderr and ".png, .jpg" in stderr


FULL_DISK = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000))
from uip2p.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_full_disk_is_said_and_leaves_nothing_behind(photo, tiny_folder, tmp_path):
    """The limit on a file's size stands for the disk's: write(2) fails the same way, half way through."""
    photo.save(tmp_path / "in.png")
    (tmp_path / "out.png").write_bytes(b"the result of yesterday")
    arguments = ["edit", tmp_path / "in.png", "add a dog", "-o", tmp_path / "out.png", "--model", tiny_folder,
                 "--device", "cpu"]  # fmt: skip
    done = subprocess.run([sys.executable, "-c", FULL_DISK, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "out.png: cannot be saved: the disk is full. Free some space" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.png", "out.png"]
    assert (tmp_path / "out.png").read_bytes() == b"the result of yesterday"


def test_a_disk_that_fills_stops_a_folder_at_once_and_the_same_command_goes_on(photo, tiny_folder, tmp_path):
    import json

    pictures = tmp_path / "pictures"
    pictures.mkdir()
    sizes = {"a.png": (8, 8), "b.png": (96, 64), "c.png": (8, 8)}  # only the second is larger than the limit
    for name, size in sizes.items():
        photo.resize(size).save(pictures / name)
    rows = [json.dumps({"file_name": name, "instruction": "add a dog"}) for name in sizes]
    (pictures / "metadata.jsonl").write_text("\n".join(rows))
    arguments = ["edit", "--records", pictures / "metadata.jsonl", "-o", tmp_path / "out", "--model", tiny_folder,
                 "--device", "cpu", "--batch-size", "1"]  # fmt: skip
    full = subprocess.run([sys.executable, "-c", FULL_DISK, *map(str, arguments)], capture_output=True, text=True)
    assert full.returncode == 2 and "the disk is full" in full.stderr
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == ["a.png"]
    assert main([*map(str, arguments)]) == 0
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == sorted(sizes)
