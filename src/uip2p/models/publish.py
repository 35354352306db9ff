"""A model folder as the hub is to have it: what goes there, and what keeps it from going there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from uip2p.errors import UserError, first_line
from uip2p.models.pickles import SUFFIXES

CARD = "README.md"
# What a model consists of. Nothing else is published: no state of a training run, nobody's notes.
PARTS = re.compile(
    r"(README\.md|LICENSE(\.md|\.txt)?|NOTICE(\.txt)?|\.gitattributes|model_index\.json|uip2p\.json"
    r"|[\w.-]+\.safetensors(\.index\.json)?"
    r"|(unet|vae|text_encoder|text_encoder_2|tokenizer|tokenizer_2|scheduler)/[\w.-]+\.(json|txt|safetensors)"
    r"|[\w-]+/model\.onnx(\.data|_data)?"
    r"|(images/)?[\w.-]+\.(png|jpg|jpeg|webp))"
)
TRAINING = re.compile(r"(^|/)(checkpoints|state|optimizer|scheduler_state|random_states|training_args)\b", re.I)
WORDS = ("vocab.json", "merges.txt", "tokenizer.json")  # lists of words, which look like anything
SECRETS = {
    "an access token of the hub": re.compile(r"\bhf_[A-Za-z0-9]{20,}"),
    "a key of an API": re.compile(r"\b(sk-[A-Za-z0-9_-]{20,}|AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{30,})"),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "a path of this machine": re.compile(
        r"(?<![\w:/.~-])(/(home|Users|root|mnt|media|scratch|work|workspace|tmp|var|opt|srv|private)/[^\s\"'`,\])]+"
        r"|[A-Za-z]:\\+Users\\+[^\s\"'`]+)"
    ),
}


@dataclass(frozen=True, slots=True)
class Publication:
    """files: (name in the folder, bytes), what would be sent. metadata: the card's head. missing: what a card should
    have, and this one has not. problems: why it is not published, each a sentence; none where it may be."""

    folder: Path
    files: tuple[tuple[str, int], ...]
    metadata: dict[str, Any]
    missing: tuple[str, ...]
    problems: tuple[str, ...]


def inspect(folder: Path) -> Publication:
    """Reads names, texts and the heads of the weights; no network. UserError: it is no folder."""
    if not folder.is_dir():
        raise UserError(f"{folder}: is no folder. Give a model's, such as runs/mini/cycle/model.")
    files, problems = [], []
    for path in sorted(path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()):
        name = path.relative_to(folder).as_posix()
        if problem := unwelcome(path, name):
            problems.append(problem)
        else:
            files.append((name, path.stat().st_size))
            problems += [f"{name}: {what}. Take it out." for what in leaks(path)]
    metadata, missing, wrong = read_card(folder / CARD)
    return Publication(folder, tuple(files), metadata, tuple(missing), (*wrong, *problems))


def unwelcome(path: Path, name: str) -> str | None:
    """Why a file is not published, or None."""
    if path.is_symlink():
        return f"{name}: a link, which would publish what it points at. Copy the file itself there."
    if path.suffix.lower() in SUFFIXES:
        return f"{name}: a pickle, which can run any code while it is loaded. Take it out; weights go as safetensors."
    if TRAINING.search(name):
        return f"{name}: the state of a training run, which is no part of a model. Give the folder model/ alone."
    if not PARTS.fullmatch(name):
        return f"{name}: is no part of a model. Take it out."
    return None


def leaks(path: Path) -> list[str]:
    """What a file says that nobody should read, each with the place."""
    if path.name in WORDS or path.suffix.lower() not in (".md", ".txt", ".json", ".safetensors", ""):
        return []
    if path.suffix == ".safetensors":
        try:
            with safe_open(path, "pt") as file:
                lines = [f"{key}: {value}" for key, value in (file.metadata() or {}).items()]
        except (OSError, SafetensorError) as error:
            return [f"cannot be read as safetensors ({first_line(error)})"]
    else:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return [
        f"line {number} has {what} ('{match[0][:12]}…')"
        for number, line in enumerate(lines, start=1)
        for what, pattern in SECRETS.items()
        if (match := pattern.search(line))
    ]


def read_card(path: Path) -> tuple[dict[str, Any], list[str], list[str]]:
    """README.md → (its metadata, what it lacks, what is wrong with it), by the hub's own reader."""
    from huggingface_hub import ModelCard

    if not path.is_file():
        return {}, [], [f"{CARD}: is missing. `uip2p train` writes it; say there what the model is and its licence."]
    try:
        metadata = ModelCard(path.read_text(encoding="utf-8")).data.to_dict()
    except Exception as error:  # YAML's, and the hub's own of a dozen kinds
        return {}, [], [f"{CARD}: its head is not what the hub reads ({first_line(error)}). Correct it."]
    wrong, licence = [], metadata.get("license")
    if not licence:
        wrong.append(f"{CARD}: names no licence. Put 'license: …' into its head: that of the base holds here too.")
    elif licence == "other" and not (metadata.get("license_name") and metadata.get("license_link")):
        wrong.append(
            f"{CARD}: the licence is 'other'. Say which: 'license: apache-2.0', or license_name and license_link "
            "beside it."
        )
    expected = ("base_model", "library_name", "pipeline_tag", "tags")
    return metadata, [key for key in expected if not metadata.get(key)], wrong
