"""Pictures in, pictures out: the only door between bytes or PIL images and tensors.

One convention inside: a picture is uint8 [H, W, 3] in sRGB, and a batch for a network is float32 [B, 3, H, W]
in [-1, 1].
"""

from __future__ import annotations

import contextlib
import errno
import io
import math
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from PIL import Image, ImageCms, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError
from torch import Tensor

from uip2p.errors import UserError

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")  # 6 of Pillow's 43 decoders: less to attack
MAX_PIXELS = 50_000_000
WRITERS: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {}),
    ".jpg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".jpeg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".webp": ("WEBP", {"lossless": True}),
    ".bmp": ("BMP", {}),
    ".tif": ("TIFF", {"compression": "tiff_deflate"}),
    ".tiff": ("TIFF", {"compression": "tiff_deflate"}),
}

Source = str | os.PathLike[str] | bytes | Image.Image | np.ndarray


# ---- in ------------------------------------------------------------------------------------------


def load_image(
    source: Source, max_pixels: int = MAX_PIXELS, formats: Sequence[str] = FORMATS, name: str = "the given bytes"
) -> Image.Image:
    """Any picture -> PIL, RGB, 8 bit, upright, sRGB, first frame, transparency over white.

    source: a file's path, a file's bytes, a PIL image, or uint8 [H, W], [H, W, 3] or [H, W, 4]. formats: that a file
    may have, some of FORMATS. name: what a message calls a file's bytes.
    UserError: not a picture of a known format, damaged, or more than `max_pixels` (read from the header,
    before anything is decoded).
    """
    return load_with_alpha(source, max_pixels, formats, name)[0]


def load_with_alpha(
    source: Source, max_pixels: int = MAX_PIXELS, formats: Sequence[str] = FORMATS, name: str = "the given bytes"
) -> tuple[Image.Image, Image.Image | None]:
    """As `load_image`, and the transparency (PIL, L) that was flattened, None for an opaque picture."""
    if isinstance(source, Image.Image):
        return _upright_rgb(source, "the given picture", max_pixels)
    if isinstance(source, np.ndarray):
        is_picture = source.ndim == 2 or (source.ndim == 3 and source.shape[2] in (3, 4))
        if source.dtype != np.uint8 or not is_picture or source.size == 0:
            raise UserError(
                f"the given array is {source.dtype} {list(source.shape)}: give uint8 [H, W, 3]."
            )
        return _upright_rgb(Image.fromarray(source), "the given array", max_pixels)

    with warnings.catch_warnings():  # damage is an error or it is nothing; size is judged by our own limit
        warnings.simplefilter("ignore")
        if isinstance(source, bytes):
            return _decode(io.BytesIO(source), name, max_pixels, formats)
        with _open(Path(source)) as file:
            return _decode(file, str(source), max_pixels, formats)


def _decode(
    stream: IO[bytes], name: str, max_pixels: int, formats: Sequence[str]
) -> tuple[Image.Image, Image.Image | None]:
    try:
        picture = Image.open(stream, formats=tuple(formats))
    except Image.DecompressionBombError:
        raise _too_large(name, "far too many pixels", max_pixels) from None
    except UnidentifiedImageError:
        raise UserError(f"{name}: not a picture we can read. Give a {_list(formats)} file.") from None
    except Exception as error:  # a hostile header can fail in any decoder's own way
        raise UserError(f"{name}: its header is damaged ({error}). Export the picture again.") from error
    return _upright_rgb(picture, name, max_pixels)


def _open(path: Path) -> IO[bytes]:
    try:
        return open(path, "rb")
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file. Check the path.") from None
    except IsADirectoryError:
        raise UserError(f"{path}: this is a folder. Give one picture, or `--records` for many.") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from error


def _upright_rgb(picture: Image.Image, name: str, max_pixels: int) -> tuple[Image.Image, Image.Image | None]:
    width, height = picture.size
    if width * height > max_pixels:
        raise _too_large(name, f"{width}×{height} pixels", max_pixels)
    try:
        picture.load()
        picture = _to_srgb(_to_8_bit(ImageOps.exif_transpose(picture), name))
        alpha = None
        if picture.has_transparency_data:
            rgba = picture.convert("RGBA")
            alpha = rgba.getchannel("A")
            picture = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
        picture = picture.convert("RGB")
        picture.info = {}  # nobody's profile or place of the photograph ends up in an edited file
        return picture, alpha
    except UserError:
        raise
    except Exception as error:  # likewise: decoders raise OSError, SyntaxError, ValueError, struct.error …
        raise UserError(
            f"{name}: the file is damaged or cut short ({error}). Copy or export the picture again."
        ) from error


def _to_8_bit(picture: Image.Image, name: str) -> Image.Image:
    """Pillow clips deep greyscale at 255 where it should scale: do it here. Other modes pass."""
    if not picture.mode.startswith(("I", "F")):
        return picture
    values = np.asarray(picture).astype(np.float64)
    top = 1.0 if picture.mode == "F" else 65535.0
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > top:
        raise UserError(
            f"{name}: its values are outside 0 to {top:g}, so its white is unknown. Export it as 8 or 16 bit."
        )
    return Image.fromarray(np.rint(values * (255 / top)).astype(np.uint8))


def _to_srgb(picture: Image.Image) -> Image.Image:
    """Applies an embedded colour profile. A broken profile is ignored, as browsers do."""
    profile = picture.info.get("icc_profile")
    if not profile or picture.mode not in ("RGB", "L", "CMYK"):
        return picture
    try:
        embedded = ImageCms.getOpenProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(embedded):
            return picture
        srgb = ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(picture, embedded, srgb, outputMode="RGB") or picture
    except (ImportError, OSError, ValueError, TypeError, ImageCms.PyCMSError):
        return picture


def _too_large(name: str, what: str, max_pixels: int) -> UserError:
    limit = f"{max_pixels / 1e6:g} megapixels"
    return UserError(f"{name}: {what}, and the limit is {limit}. Give a smaller picture.")


def _list(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


# ---- tensors -------------------------------------------------------------------------------------


def to_tensor(picture: Image.Image | np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """uint8 [H, W, 3] or PIL RGB -> float32 [3, H, W] in [-1, 1]; uint8 [B, H, W, 3] -> [B, 3, H, W]. The
    device gets bytes, a quarter of what the numbers take, and makes the numbers itself."""
    array = picture if isinstance(picture, np.ndarray) and picture.flags.writeable else np.array(picture)
    if array.dtype != np.uint8 or array.ndim not in (3, 4) or array.shape[-1] != 3:
        raise ValueError(f"want uint8 [H, W, 3] or [B, H, W, 3], not {array.dtype} {list(array.shape)}")
    return torch.from_numpy(array).to(device).movedim(-1, -3).contiguous().float() / 127.5 - 1


def to_uint8(tensor: Tensor) -> np.ndarray:
    """float [3, H, W] or [B, 3, H, W] in [-1, 1], clamped -> uint8 [H, W, 3] or [B, H, W, 3]."""
    pixels = (tensor.detach().float() / 2 + 0.5).clamp(0, 1) * 255
    return pixels.round().to(torch.uint8).movedim(-3, -1).contiguous().cpu().numpy()


def to_pil(picture: Tensor | np.ndarray) -> Image.Image:
    """float [3, H, W] in [-1, 1], or uint8 [H, W, 3] -> PIL RGB."""
    return Image.fromarray(to_uint8(picture) if isinstance(picture, Tensor) else picture)


# ---- out -----------------------------------------------------------------------------------------


def check_writable(path: str | os.PathLike[str]) -> Path:
    """The path, if a picture can be saved there; UserError otherwise. Call it before the work, not after."""
    path = Path(path)
    if path.suffix.lower() not in WRITERS:
        ending = f"we do not write '{path.suffix}' pictures" if path.suffix else "the name has no ending"
        raise UserError(f"{path}: {ending}. End the name in {_list(list(WRITERS))}.")
    if path.is_dir():
        raise UserError(f"{path}: this is a folder. Give a file name.")
    if not path.parent.is_dir():
        raise UserError(f"{path}: the folder {path.parent} does not exist. Create it first.")
    return path


def save_image(picture: Image.Image | np.ndarray | Tensor, path: str | os.PathLike[str]) -> Path:
    """Saves in the format of the name's ending, whole or not at all. UserError: unknown ending, full disk."""
    path = check_writable(path)
    picture = picture if isinstance(picture, Image.Image) else to_pil(picture)
    format, options = WRITERS[path.suffix.lower()]
    encoded = io.BytesIO()
    picture.save(encoded, format, **options)
    return write_atomic(path, encoded.getvalue())


def write_atomic(path: str | os.PathLike[str], content: bytes) -> Path:
    """Writes beside and renames, so that no reader and no crash sees half a file. UserError: full disk."""
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(beside, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            what = "the disk is full. Free some space or save elsewhere"
        else:
            what = f"{error.strerror}. Save elsewhere"
        raise UserError(f"{path}: cannot be saved: {what}; nothing was left behind.") from error
    return path


def grid(
    pictures: Sequence[np.ndarray], columns: int, labels: Sequence[str] | None = None, gap: int = 4
) -> Image.Image:
    """uint8 pictures [H, W, 3] of any sizes -> one contact sheet, row by row. labels: a line under each."""
    if not pictures:
        raise ValueError("grid of no pictures")
    font = ImageFont.load_default()
    label_height = 14 if labels is not None else 0
    cell_height = max(picture.shape[0] for picture in pictures) + label_height + gap
    cell_width = max(picture.shape[1] for picture in pictures) + gap
    rows = math.ceil(len(pictures) / columns)
    sheet = Image.new("RGB", (columns * cell_width + gap, rows * cell_height + gap), "white")
    draw = ImageDraw.Draw(sheet)
    for index, picture in enumerate(pictures):
        x, y = gap + index % columns * cell_width, gap + index // columns * cell_height
        sheet.paste(Image.fromarray(picture), (x, y))
        if labels is not None:
            text = labels[index]
            while text and draw.textlength(text, font) > cell_width - gap:
                text = text[:-1]
            draw.text((x, y + cell_height - label_height - gap), text, "black", font)
    return sheet
