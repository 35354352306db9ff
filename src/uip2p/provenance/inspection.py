"""What a picture claims of itself, read without trusting a byte of it."""

from __future__ import annotations

import html
import io
import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.ExifTags import IFD, Base

from uip2p.errors import UserError, first_line
from uip2p.images import FORMATS, MAX_PIXELS, load_image
from uip2p.provenance import manifest, watermark
from uip2p.provenance.encoding import sidecar
from uip2p.provenance.metadata import XMP_TAG
from uip2p.provenance.signer import INSTALL, missing

MOST_BYTES = 200_000_000  # of a file
MOST_XMP = 1_000_000
MOST_CLAIMS = 50  # manifests, actions: what is beyond is counted only
DIGITAL_SOURCE = re.compile(r"""DigitalSourceType(?:\s+rdf:resource)?\s*(?:=\s*["']|>)\s*([^"'<>]{1,300})""")
CREATOR_TOOL = re.compile(r"""xmp:CreatorTool\s*(?:=\s*["']|>)\s*([^"'<>]{1,300})""")
GENERATORS = {"parameters": "A1111", "prompt": "ComfyUI", "workflow": "ComfyUI"}  # text chunks that tell the prompt


@dataclass(frozen=True, slots=True)
class Signed:
    """One manifest. faults: codes of C2PA, empty where it holds. changed: whether the file is not what was signed.
    actions: each with "action", and what else it says. parents: the names of the manifests it was made from."""

    name: str
    generator: str
    signer: str
    local_test: bool
    algorithm: str
    time: str | None
    faults: list[str]
    changed: bool
    actions: list[dict[str, Any]]
    parents: list[str]
    redacted: int


@dataclass(frozen=True, slots=True)
class Claims:
    """manifests: the last first, then what it was made from. c2pa_error: a manifest is there and cannot be read.
    watermark: None where it was not looked for, and why is `watermark_note`. problem: the picture itself is damaged."""

    file: str
    format: str
    size: tuple[int, int]
    bytes: int
    sidecar: str | None = None
    manifests: list[Signed] = field(default_factory=list)
    c2pa_error: str | None = None
    source_type: str | None = None
    software: str | None = None
    camera: str | None = None
    position: bool = False
    prompts: list[str] = field(default_factory=list)
    watermark: bool | None = None
    watermark_note: str | None = None
    problem: str | None = None

    @property
    def empty(self) -> bool:
        """Whether it claims nothing of how it was made."""
        return not (self.manifests or self.c2pa_error or self.source_type or self.software or self.camera
                    or self.prompts or self.watermark)  # fmt: skip


def inspect(path: str | Path) -> Claims:
    """What a picture file claims. UserError: no such file, no picture of a format we read, too many pixels."""
    path = Path(path)
    content = _content(path)
    beside = sidecar(path)
    beside_it = _content(beside) if beside.is_file() else None
    with warnings.catch_warnings():  # damage is told or it is nothing; size is judged by our own limit
        warnings.simplefilter("ignore")
        said = header(content, str(path))
        said |= c2pa_claims(content, said["format"], beside_it)
        said |= watermark_claims(content)
    return Claims(file=str(path), bytes=len(content), sidecar=str(beside) if beside_it else None, **said)


def _content(path: Path) -> bytes:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UserError(f"{path}: larger than {MOST_BYTES // 1_000_000} MB: not read.")
        return path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file. Check the path.") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from error


# ---- metadata ------------------------------------------------------------------------------------


def header(content: bytes, name: str) -> dict[str, Any]:
    """What the header, XMP, EXIF and text chunks say, without a pixel decoded."""
    try:
        picture = Image.open(io.BytesIO(content), formats=FORMATS)
    except Image.DecompressionBombError:
        raise UserError(f"{name}: far too many pixels to look at.") from None
    except Exception:  # a hostile header can fail in any decoder's own way
        raise UserError(
            f"{name}: not a picture we can read, or its header is damaged. Give a {', '.join(FORMATS)} file."
        ) from None
    if picture.width * picture.height > MAX_PIXELS:
        raise UserError(f"{name}: {picture.width}×{picture.height} pixels, too many to look at.")
    said: dict[str, Any] = {"format": picture.format, "size": picture.size}
    info = {key: value for key, value in picture.info.items() if isinstance(key, str)}
    said["prompts"] = sorted({GENERATORS[key] for key, value in info.items() if key in GENERATORS and value})
    packet = xmp_packet(picture, info)
    said["source_type"], tool = _first(DIGITAL_SOURCE, packet), _first(CREATOR_TOOL, packet)
    try:
        tags = picture.getexif()
        said["software"] = _text(tags.get(Base.Software)) or tool
        said["camera"] = " ".join(filter(None, (_text(tags.get(Base.Make)), _text(tags.get(Base.Model))))) or None
        said["position"] = bool(tags.get_ifd(IFD.GPSInfo))
    except Exception as error:  # likewise
        said |= {"software": tool, "problem": f"its EXIF is damaged ({first_line(error)})"}
    return said


def xmp_packet(picture: Image.Image, info: dict[str, Any]) -> str:
    """The XMP of any format, or ''. Searched, not parsed: XML from strangers is not for a parser."""
    packet = info.get("xmp") or info.get("XML:com.adobe.xmp") or ""
    if not packet and picture.format == "TIFF":
        packet = getattr(picture, "tag_v2", {}).get(XMP_TAG, b"")
    text = packet.decode("utf-8", "replace") if isinstance(packet, bytes) else str(packet)
    return text[:MOST_XMP]


def _first(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.search(text)
    return _text(html.unescape(found.group(1))) if found else None


def _text(value: Any) -> str | None:
    """A stranger's text as one short line: no control characters reach a terminal."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str):
        return None
    line = "".join(letter if letter.isprintable() else " " for letter in value[:300])
    return line.strip() or None


# ---- C2PA ----------------------------------------------------------------------------------------


def c2pa_claims(content: bytes, format: str, sidecar: bytes | None) -> dict[str, Any]:
    if missing("c2pa"):
        return {"c2pa_error": f"manifests are not read without c2pa-python: {INSTALL}"} if b"c2pa" in content else {}
    import c2pa

    try:
        said = manifest.read(content, manifest.MIME[format], sidecar)
        return {} if said is None else {"manifests": chain(said)}
    except c2pa.C2paError.NotSupported:  # of the format: no manifest can be in a BMP
        return {}
    except c2pa.C2paError as error:
        text = first_line(error)
        elsewhere = "it lies elsewhere, and nothing is fetched: " if text.startswith("Remote:") else ""
        return {"c2pa_error": _text(elsewhere + text)}
    except manifest.NO_MANIFEST:
        return {"c2pa_error": "its manifest does not say what a manifest should"}


def chain(said: dict[str, Any]) -> list[Signed]:
    """The active manifest and those it was made from, nearest first, each once."""
    found: list[Signed] = []
    waiting, seen = [said["active_manifest"]], set()
    while waiting and len(found) < MOST_CLAIMS:
        name = waiting.pop(0)
        if name in seen or name not in said["manifests"]:
            continue
        seen.add(name)
        found.append(one(name, said))
        waiting += found[-1].parents
    return found


def one(name: str, said: dict[str, Any]) -> Signed:
    content = said["manifests"][name]
    store, claim, signature = content.get("assertion_store") or {}, content["claim"], content.get("signature") or {}
    actions = [
        action for label, each in store.items() if label.startswith("c2pa.actions") for action in each["actions"]
    ]
    parents = [each for label, each in store.items() if label.startswith("c2pa.ingredient")]
    faults = manifest.failures(said) if name == said["active_manifest"] else ingredient_faults(name, said)
    issuer, holder = _text(signature.get("issuer")) or "", _text(signature.get("common_name")) or ""
    return Signed(
        name=_text(name) or "", generator=_generator(claim), signer=", ".join(filter(None, (holder, issuer))),
        local_test="local test certificate" in issuer, algorithm=_text(str(signature.get("alg", ""))) or "",
        time=_text(signature.get("time")), faults=faults,
        changed=any(code.startswith(("assertion.", "claimSignature.")) and code.endswith(".mismatch")
                    for code in faults),
        actions=[_plain(action) for action in actions[:MOST_CLAIMS]],
        parents=[each for each in map(_parent, parents) if each],
        redacted=len(claim.get("redacted_assertions") or []),
    )  # fmt: skip


def _generator(claim: dict[str, Any]) -> str:
    said = claim.get("claim_generator_info") or claim.get("claim_generator") or ""
    said = said[0] if isinstance(said, list) else said
    if isinstance(said, dict):
        return " ".join(filter(None, (_text(said.get("name")), _text(said.get("version")))))
    return _text(said) or ""


def _parent(ingredient: dict[str, Any]) -> str | None:
    """The name of an ingredient's own manifest, of an address such as self#jumbf=/c2pa/NAME."""
    link = ingredient.get("activeManifest") or ingredient.get("c2pa_manifest")
    return link["url"].split("/c2pa/", 1)[1].split("/")[0] if link else None


def ingredient_faults(name: str, said: dict[str, Any]) -> list[str]:
    """What was wrong with an older manifest when the picture was edited, by the one who edited it."""
    for content in said["manifests"].values():
        for label, each in (content.get("assertion_store") or {}).items():
            if label.startswith("c2pa.ingredient") and _parent(each) == name:
                results = (each.get("validationResults") or {}).get("activeManifest") or {}
                return sorted({found["code"] for found in results.get("failure", [])} - {manifest.UNTRUSTED})
    return []


def _plain(action: dict[str, Any]) -> dict[str, Any]:
    """An action's name, agent, source type and flat parameters, as short texts and numbers."""
    agent = action.get("softwareAgent")
    agent = agent.get("name") if isinstance(agent, dict) else agent
    flat = {"action": action.get("action"), "agent": agent, "source_type": action.get("digitalSourceType"),
            "when": action.get("when")}  # fmt: skip
    parameters = action.get("parameters")
    flat |= parameters if isinstance(parameters, dict) else {}
    plain = {key: value if isinstance(value, (bool, int, float)) else _text(value) for key, value in flat.items()}
    return {str(_text(key)): value for key, value in list(plain.items())[:MOST_CLAIMS] if value is not None}


# ---- watermark -----------------------------------------------------------------------------------


def watermark_claims(content: bytes) -> dict[str, Any]:
    try:
        picture = load_image(content)
    except UserError as error:
        return {"problem": str(error).removeprefix("the given bytes: ")}
    if not watermark.fits(picture.size):
        return {"watermark_note": "too small to carry one"}
    return {"watermark": watermark.found(picture)}
