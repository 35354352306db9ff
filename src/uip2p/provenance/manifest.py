"""The signed C2PA manifest: what was done to which picture, by what. Nothing here asks the network by itself."""

from __future__ import annotations

import functools
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from PIL import Image

from uip2p.errors import UserError, first_line
from uip2p.images import FORMATS
from uip2p.provenance.made import SOFTWARE, SOURCE_TYPE, Made
from uip2p.provenance.signer import PURPOSES, Signer

MIME = {
    "PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp", "TIFF": "image/tiff", "GIF": "image/gif",
    "BMP": "image/bmp",
}  # fmt: skip
HOLDS_MANIFEST = ("PNG", "JPEG", "WEBP", "TIFF", "GIF")  # in a BMP there is no place for one
UNTRUSTED = "signingCredential.untrusted"  # nobody's list of trusted authorities is asked

# What of a source's own history goes on with the edited picture: what was done, by whom, and what may be done with it.
# The rest (thumbnails, camera, place, what we do not know) is redacted: it may show what was edited away.
KEPT = (
    "c2pa.hash.", "c2pa.actions", "c2pa.ingredient", "c2pa.soft-binding", "c2pa.time-stamp", "c2pa.certificate-status",
    "c2pa.training-mining", "cawg.training-mining", "cawg.identity", "stds.schema-org.CreativeWork",
)  # fmt: skip


@functools.cache
def context() -> Any:
    """c2pa's settings: no thumbnails, no actions but ours, nothing fetched."""
    import c2pa

    off = {"enabled": False}
    settings = {
        "version": 1,
        "core": {"allowed_network_hosts": []},
        "verify": {"ocsp_fetch": False, "remote_manifest_fetch": False, "verify_after_sign": False},
        "trust": {"trust_config": "\n".join(PURPOSES)},
        "builder": {
            "thumbnail": off,
            "actions": {"auto_created_action": off, "auto_opened_action": off, "auto_placed_action": off},
        },
    }
    return c2pa.Context(c2pa.Settings.from_dict(settings))


def sign(
    content: bytes, format: str, made: Made, signer: Signer, source: bytes | None = None, watermarked: bool = False
) -> tuple[bytes, bytes]:
    """A picture file's bytes -> (the same with the manifest inside, the manifest). A format that holds none comes back
    as it was. source: the file of the picture that was edited; its own signed history is kept, but for what KEPT leaves
    out. UserError: c2pa cannot sign, or what it signed does not hold."""
    history = None if source is None else read_history(source)
    signed = _sign(content, format, made, signer, watermarked, history)
    if history is not None and faults(*signed, format):  # it is damaged, or does not take redactions: go without
        signed = _sign(content, format, made, signer, watermarked, None)
    if wrong := faults(*signed, format):
        raise UserError(f"the manifest that was just signed does not hold ({', '.join(wrong)}): check the certificate.")
    return signed


def _sign(
    content: bytes, format: str, made: Made, signer: Signer, watermarked: bool, history: History | None
) -> tuple[bytes, bytes]:
    import c2pa

    signed = io.BytesIO()
    try:
        info = c2pa.C2paSignerInfo(signer.algorithm, signer.chain, signer.key, signer.timestamp_url)
        with (
            c2pa.Signer.from_info(info) as signs,
            c2pa.Builder(definition(format, made, watermarked, history), context=context()) as builder,
        ):
            if history is not None:
                builder.add_ingredient(PARENT, history.mime, io.BytesIO(history.content))
            if format not in HOLDS_MANIFEST:
                builder.set_no_embed()
            manifest = builder.sign(signs, MIME[format], io.BytesIO(content), signed)
    except c2pa.C2paError as error:
        where = f" and of {signer.timestamp_url}" if signer.timestamp_url else ""
        raise UserError(f"C2PA: cannot sign ({first_line(error)}): check the certificate, its key{where}.") from error
    return (signed.getvalue() if format in HOLDS_MANIFEST else content), manifest


PARENT = {"title": "source picture", "relationship": "parentOf", "label": "source", "instance_id": "source"}


def definition(format: str, made: Made, watermarked: bool, history: History | None) -> dict[str, Any]:
    """The manifest, as c2pa takes it."""
    opened = {"action": "c2pa.opened", "parameters": {"ingredientIds": [PARENT["instance_id"]]}}
    edited = {
        "action": "c2pa.edited", "when": made.time.isoformat(), "digitalSourceType": SOURCE_TYPE,
        "softwareAgent": {"name": SOFTWARE, "version": made.version}, "parameters": made.parameters(),
    }  # fmt: skip
    actions: list[dict[str, Any]] = [opened, edited]
    if watermarked:
        actions.append({"action": "c2pa.watermarked.unbound"})
    redacted = [] if history is None else history.redacted
    for which in redacted:
        actions.append({"action": "c2pa.redacted", "reason": "c2pa.PII.present", "parameters": {"redacted": which}})
    manifest: dict[str, Any] = {
        "claim_version": 2, "claim_generator_info": [{"name": SOFTWARE, "version": made.version}],
        "format": MIME[format], "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": actions}}],
    }  # fmt: skip
    if redacted:
        manifest["redactions"] = redacted
    if history is None:
        manifest["ingredients"] = [PARENT]
    return manifest


@dataclass(frozen=True, slots=True)
class History:
    """A source picture that has a signed history. redacted: the addresses of what must not go on."""

    content: bytes
    mime: str
    redacted: list[str]


def read_history(content: bytes) -> History | None:
    """None: the picture has none, or none that can be read."""
    import c2pa

    mime = mime_of(content)
    try:
        said = None if mime is None else read(content, mime)
    except c2pa.C2paError:
        return None
    return None if said is None or mime is None else History(content, mime, list(redactions(said)))


def redactions(said: dict[str, Any]) -> Iterator[str]:
    """The addresses of the assertions of a whole history that KEPT does not name."""
    for name, manifest in said["manifests"].items():
        for label in manifest.get("assertion_store", {}):
            if not label.startswith(KEPT):
                yield f"self#jumbf=/c2pa/{name}/c2pa.assertions/{label}"


def mime_of(content: bytes) -> str | None:
    """By what the header says it is."""
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
            return MIME.get(picture.format or "")
    except Exception:  # a hostile header can fail in any decoder's own way
        return None


def read(content: bytes, mime: str, manifest: bytes | None = None) -> dict[str, Any] | None:
    """What c2pa reads and finds of a file, None where there is no manifest. manifest: of a file that holds none.

    "manifests": by their names; "active_manifest": the name of the last; "validation_results", "validation_state".
    C2paError: it is there, and cannot be read."""
    import c2pa

    reader = c2pa.Reader.try_create(mime, io.BytesIO(content), manifest, context=context())
    if reader is None:
        return None
    with reader:
        return json.loads(reader.detailed_json())


def failures(said: dict[str, Any]) -> list[str]:
    """The codes of what is wrong with the file, apart from that no trusted authority is behind it: with its last
    manifest, and with the older ones since they were opened."""
    results = said.get("validation_results") or {}
    wrong = list((results.get("activeManifest") or {}).get("failure", []))
    for delta in results.get("ingredientDeltas") or []:
        wrong += delta["validationDeltas"].get("failure", [])
    return sorted({each["code"] for each in wrong} - {UNTRUSTED})


def faults(content: bytes, manifest: bytes, format: str) -> list[str]:
    """What is wrong with a file that we have just signed: nothing, or codes and the leaks of its history."""
    said = read(content, MIME[format], None if format in HOLDS_MANIFEST else manifest)
    if said is None:
        return ["no manifest"]
    return failures(said) + list(redactions(said))
