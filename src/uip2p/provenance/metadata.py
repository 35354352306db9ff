"""XMP and EXIF: what any viewer reads without cryptography. Anybody can write or strip it."""

from __future__ import annotations

import io
from typing import Any
from xml.sax.saxutils import quoteattr

from PIL import Image, PngImagePlugin
from PIL.ExifTags import IFD, Base

from uip2p.images import WRITERS
from uip2p.provenance.made import SOURCE_TYPE, Made

XMP_TAG = 700  # of TIFF
OPTIONS: dict[str, dict[str, Any]] = dict(WRITERS.values())  # format -> how we save it
HOLDS_METADATA = tuple(format for format in OPTIONS if format != "BMP")

NAMESPACES = {
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
}


def saving(format: str, quality: int | None = None) -> dict[str, Any]:
    """Pillow's options. quality: 0 to 100, of JPEG and WebP, which is lossless at 100; None is how we save files."""
    if quality is None or format not in ("JPEG", "WEBP"):
        return dict(OPTIONS[format])
    if format == "JPEG":
        return {**OPTIONS[format], "quality": quality}
    return {"lossless": True} if quality == 100 else {"quality": quality}


def with_metadata(picture: Image.Image, format: str, made: Made, quality: int | None = None) -> bytes:
    """The file's bytes with XMP and EXIF of `made` and of nothing else; a format that holds none goes without. quality:
    see `saving`."""
    options = saving(format, quality)
    if format in HOLDS_METADATA:
        tags = exif(made)
        if format == "PNG":
            options["pnginfo"] = PngImagePlugin.PngInfo()
            options["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp(made))
        elif format == "TIFF":
            tags[XMP_TAG] = xmp(made).encode()
        else:
            options["xmp"] = xmp(made).encode()
        options["exif"] = tags
    content = io.BytesIO()
    bare = picture.copy()
    bare.info = {}  # Pillow writes some of it back
    bare.save(content, format, **options)
    return content.getvalue()


def exif(made: Made) -> Image.Exif:
    tags = Image.Exif()
    tags[Base.Software] = ascii_text(made.software)
    tags[Base.DateTime] = made.time.strftime("%Y:%m:%d %H:%M:%S")
    tags[Base.ImageDescription] = ascii_text(f"Edited with a trained model ({made.software}, {made.model})")
    offset = made.time.strftime("%z") or "+0000"
    tags.get_ifd(IFD.Exif)[Base.OffsetTime] = f"{offset[:3]}:{offset[3:]}"
    return tags


def xmp(made: Made) -> str:
    """The packet. IPTC's AI properties are those of its standard 2025.1."""
    said = {
        "Iptc4xmpExt:DigitalSourceType": SOURCE_TYPE,
        "Iptc4xmpExt:AISystemUsed": made.model,
        "Iptc4xmpExt:AISystemVersionUsed": made.software,
        "xmp:CreatorTool": made.software,
        "xmp:ModifyDate": made.time.isoformat(),
    }
    if made.instruction is not None:
        said["Iptc4xmpExt:AIPromptInformation"] = made.instruction
    names = "".join(f" xmlns:{short}={quoteattr(uri)}" for short, uri in NAMESPACES.items())
    values = "".join(f" {name}={quoteattr(printable(value))}" for name, value in said.items())
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about=""{names}{values}/></rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
    )


def printable(text: str) -> str:
    """XML has no words for control characters."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def ascii_text(text: str) -> str:
    """EXIF's texts are ASCII."""
    return printable(text).encode("ascii", "replace").decode()
