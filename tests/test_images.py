"""images.py: whatever comes in, uint8 RGB of the right values comes out, or an error that says what to do."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from uip2p import images
from uip2p.errors import UserError


@pytest.fixture
def picture() -> np.ndarray:
    y, x = np.mgrid[:20, :30]
    return np.stack([x * 8, y * 12, 255 - x * 8], axis=-1).astype(np.uint8)


def encode(image: Image.Image, format: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "WEBP"])
def test_lossless_formats_come_back_exactly(picture, format):
    options = {"lossless": True} if format == "WEBP" else {}
    assert np.array_equal(images.load_image(encode(Image.fromarray(picture), format, **options)), picture)


def test_path_pil_array_and_bytes_are_the_same_picture(picture, tmp_path):
    path = images.save_image(picture, tmp_path / "a.png")
    for source in (path, str(path), path.read_bytes(), Image.open(path), picture):
        assert np.array_equal(images.load_image(source), picture)


@pytest.mark.parametrize("byte_order", ["<u2", ">u2"])
def test_16_bit_greyscale_is_scaled_not_clipped(byte_order):
    ramp = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    stream = encode(Image.fromarray(ramp.astype(byte_order)), "TIFF")
    for data in (stream, encode(Image.fromarray(ramp), "PNG")):
        loaded = np.asarray(images.load_image(data))
        assert np.array_equal(loaded[..., 0].ravel(), np.arange(256)) and np.ptp(loaded, axis=-1).max() == 0


def test_float_tiff_in_0_1_is_scaled_and_any_other_refused():
    ramp = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)
    loaded = np.asarray(images.load_image(encode(Image.fromarray(ramp), "TIFF")))
    assert np.array_equal(loaded[..., 0].ravel(), range(256))
    with pytest.raises(UserError, match=r"outside 0 to 1.*8 or 16 bit"):
        images.load_image(encode(Image.fromarray(ramp * 300), "TIFF"))


def test_transparency_lies_over_white_and_can_be_had(picture):
    alpha = np.zeros((20, 30), np.uint8)
    alpha[:, :15] = 255
    image = Image.fromarray(np.dstack([picture, alpha]))
    flat, returned = images.load_with_alpha(encode(image, "PNG"))
    assert np.array_equal(np.asarray(flat)[:, :15], picture[:, :15])
    assert (np.asarray(flat)[:, 15:] == 255).all()
    assert np.array_equal(returned, alpha)
    assert images.load_with_alpha(picture)[1] is None


def test_transparent_palette_entry_is_white():
    image = Image.new("P", (8, 8), 0)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.paste(1, (4, 0, 8, 8))
    loaded = np.asarray(images.load_image(encode(image, "PNG", transparency=0)))
    assert (loaded[:, :4] == 255).all() and (loaded[:, 4:] == (200, 100, 50)).all()


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_animation_gives_its_first_frame(format):
    frames = [Image.new("RGB", (16, 16), color) for color in ("red", "blue", "lime")]
    options = {"lossless": True} if format == "WEBP" else {}
    data = encode(frames[0], format, save_all=True, append_images=frames[1:], **options)
    assert np.asarray(images.load_image(data)).reshape(-1, 3).tolist() == [[255, 0, 0]] * 256


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(picture, orientation):
    undo = {  # how each orientation is stored: the inverse of what a viewer has to do
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    upright = Image.fromarray(picture)
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(images.load_image(encode(stored, "PNG", exif=exif)), picture)


def test_embedded_profile_is_converted_to_srgb_and_a_broken_one_ignored(picture):
    from PIL import ImageCms

    grey = Image.new("L", (8, 8), 118)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert np.asarray(images.load_image(encode(grey, "PNG", icc_profile=b"nonsense"))).max() == 118
    for profile in (srgb, b"nonsense"):
        loaded = images.load_image(encode(Image.fromarray(picture), "PNG", icc_profile=profile))
        assert np.array_equal(loaded, picture) and not loaded.info


def test_wrong_arrays_are_refused():
    for bad in (np.zeros((8, 8, 3)), np.zeros((8, 8, 2), np.uint8), np.zeros((0, 8, 3), np.uint8)):
        with pytest.raises(UserError, match=r"give uint8 \[H, W, 3\]"):
            images.load_image(bad)


def test_tensor_round_trip_is_exact_and_batched(picture):
    tensor = images.to_tensor(picture)
    assert tensor.shape == (3, 20, 30) and tensor.dtype == torch.float32
    assert tensor.min() >= -1 and tensor.max() <= 1 and tensor[0, 0, 0] == -1
    assert np.array_equal(images.to_uint8(tensor), picture)
    batch = np.stack([picture, 255 - picture])
    assert torch.equal(images.to_tensor(batch)[0], tensor)
    assert np.array_equal(images.to_uint8(images.to_tensor(batch)), batch)
    assert images.to_uint8(tensor * 9).max() == 255  # clamped, not wrapped


@pytest.mark.parametrize("ending", [".png", ".bmp", ".tiff", ".webp", ".jpg"])
def test_saved_pictures_come_back(picture, tmp_path, ending):
    path = images.save_image(picture, tmp_path / f"a{ending}")
    difference = np.abs(np.asarray(images.load_image(path)).astype(int) - picture)
    assert difference.max() <= (0 if ending != ".jpg" else 12)
    assert [file.name for file in tmp_path.iterdir()] == [f"a{ending}"]


def test_saving_to_a_wrong_name_says_what_to_do(picture, tmp_path):
    for name, message in (("a.xyz", "End the name in"), ("a", "no ending"), ("no/a.png", "does not exist")):
        with pytest.raises(UserError, match=message):
            images.save_image(picture, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_grid_lays_pictures_out_in_rows(picture):
    sheet = np.asarray(images.grid([picture] * 3, columns=2, labels=["a", "b", "long" * 50], gap=4))
    assert sheet.shape[1] == 4 + 2 * 34 and np.array_equal(sheet[4:24, 4:34], picture)
    assert np.array_equal(sheet[4:24, 38:68], picture)
