"""Claims in plain sentences."""

from __future__ import annotations

from uip2p.provenance.inspection import Claims, Signed
from uip2p.provenance.made import PARAMETERS, SOFTWARE

SOURCE_TYPES = {
    "compositeWithTrainedAlgorithmicMedia": "edited with a trained model (AI)",
    "trainedAlgorithmicMedia": "made by a trained model (AI)",
    "algorithmicMedia": "made by a program",
    "algorithmicallyEnhanced": "changed by a program",
    "compositeSynthetic": "composed, partly of synthetic pictures",
    "digitalCapture": "taken by a camera",
    "computationalCapture": "taken by a camera, out of several exposures",
    "humanEdits": "edited by a person",
    "digitalCreation": "drawn by a person",
}
ACTIONS = {
    "c2pa.opened": "opened a picture", "c2pa.edited": "edited", "c2pa.created": "created",
    "c2pa.watermarked.unbound": "put a watermark on", "c2pa.watermarked": "put a watermark on",
    "c2pa.redacted": "removed something private", "c2pa.placed": "placed a picture in it", "c2pa.cropped": "cropped",
    "c2pa.resized": "resized", "c2pa.converted": "converted", "c2pa.color_adjustments": "adjusted colours",
    "c2pa.published": "published",
}  # fmt: skip
FAULTS = {
    "assertion.dataHash.mismatch": "the picture was changed after it was signed",
    "assertion.hashedURI.mismatch": "its manifest was changed after it was signed",
    "claimSignature.mismatch": "its manifest was changed after it was signed",
    "signingCredential.expired": "the certificate had expired",
    "signingCredential.invalid": "the certificate is not one for signing content",
    "signingCredential.revoked": "the certificate has been revoked",
    "claimSignature.outsideValidity": "it was signed outside the time of the certificate",
}


def sentences(claims: Claims) -> list[str]:
    """The report of one file, a line each; the first names the file."""
    width, height = claims.size
    lines = [f"{claims.file}: {claims.format}, {width}×{height}, {claims.bytes / 1000:.0f} kB"]
    if claims.problem:
        lines.append(f"Damaged: {claims.problem}")
    lines += c2pa(claims)
    if claims.source_type:
        lines.append(f"IPTC source type: {source_type(claims.source_type)}.")
    if claims.software:
        lines.append(f"Software: {claims.software}.")
    if claims.camera:
        lines.append(f"Camera: {claims.camera}.")
    lines.append("It says where it was taken (GPS)." if claims.position else "It does not say where it was taken.")
    if claims.prompts:
        lines.append(f"It carries the prompt of {' and '.join(claims.prompts)} in a text chunk.")
    if claims.watermark:
        lines.append(f"Watermark: that of {SOFTWARE} is in the pixels.")
    elif claims.watermark is not None:
        lines.append(f"Watermark: that of {SOFTWARE} was not found.")
    else:
        lines.append(f"Watermark: {claims.watermark_note or 'not looked for'}.")
    if claims.empty:
        lines.append("This picture claims nothing; that proves nothing: such claims are easily removed.")
    return lines


def c2pa(claims: Claims) -> list[str]:
    if claims.c2pa_error:
        return [f"C2PA: there is a manifest that cannot be read ({claims.c2pa_error})."]
    if not claims.manifests:
        return ["C2PA: no manifest."]
    beside = f", in {claims.sidecar}" if claims.sidecar else ""
    lines = [f"C2PA: a signed manifest{beside}. {verdict(claims.manifests[0])}"]
    for depth, signed in enumerate(claims.manifests):
        program = signed.generator or "an unnamed program"
        lines.append(f"{'Before that, by' if depth else 'By'} {program}: {did(signed)}.")
        if depth:
            lines.append(f"  {verdict(signed, 'it was opened')}")
        lines += [f"  {line}" for line in details(signed)]
    return lines


def verdict(signed: Signed, then: str | None = None) -> str:
    """Who signed, and whether it holds. then: what a history went into; only whoever did that saw the whole file."""
    why = "; ".join(dict.fromkeys(map(fault, signed.faults)))
    if then is None:
        text = f"It does NOT hold: {why}." if why else "It holds: nothing was changed after it was signed."
    else:
        text = f"It did NOT hold when {then}: {why}." if why else f"It held when {then}, says the manifest after it."
    if signed.local_test:
        return f"{text} Signed by a local test certificate, which proves nothing about who."
    who = signed.signer or "nobody named"
    return f"{text} Signed by {who}, says the certificate; whether to trust it was not asked of any list."


def fault(code: str) -> str:
    """C2PA's code in words, where we have some."""
    if code.startswith("ingredient."):
        return "its history was changed after it was signed"
    return FAULTS.get(code, code)


def did(signed: Signed) -> str:
    said = [ACTIONS.get(str(action.get("action")), str(action.get("action"))) for action in signed.actions]
    return ", ".join(dict.fromkeys(said)) or "no action told"


def details(signed: Signed) -> list[str]:
    lines = []
    for action in signed.actions:
        if kind := action.get("source_type"):
            lines.append(f"{ACTIONS.get(str(action['action']), action['action'])}: {source_type(str(kind))}")
        ours = {name: action[f"uip2p.{name}"] for name in PARAMETERS if f"uip2p.{name}" in action}
        if ours:
            when = f", {action['when']}" if action.get("when") else ""
            lines.append(", ".join(f"{key.replace('_', ' ')} {value}" for key, value in ours.items()) + when)
    if signed.redacted:
        lines.append(f"{signed.redacted} private parts of the history before were removed, which C2PA allows")
    return lines


def source_type(uri: str) -> str:
    """IPTC's term in words, and the term."""
    term = uri.rstrip("/").rsplit("/", 1)[-1]
    return f"{SOURCE_TYPES[term]} [{term}]" if term in SOURCE_TYPES else uri
