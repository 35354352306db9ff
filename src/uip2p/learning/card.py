"""The model card beside a trained editor: what anyone who finds the folder has to know, in Hugging Face's layout."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from uip2p.evaluate.rows import commit, versions
from uip2p.learning import checkpoint
from uip2p.learning.journal import Journal
from uip2p.models import hub
from uip2p.models.settings import Settings, load_settings

FIGURES = ("direction", "similarity", "attention", "reconstruction", "total", "edit_magnitude", "copy_rate")


def write_card(
    out: Path, name: str, tables: Mapping[str, Any], base: str, data: Path | None, command: Sequence[str]
) -> Path:
    """`out`/model/README.md of a finished run in `out`. name: the recipe's; base: what it was resolved to."""
    rows = Journal.read(out / "metrics.jsonl")
    steps = [row for row in rows if "total" in row]
    validation = [row for row in rows if row.get("best")]
    licence, url = hub.LICENCES.get(base.partition("@")[0], ("other", ""))
    revision = hub.REVISIONS.get(base, "")
    where = f"[{base}](https://huggingface.co/{base})" if hub.is_hub_id(base) else f"`{hub.public_name(base)}`"
    lines = [
        "---",
        f"license: {licence}",
        *([f"base_model: {base.partition('@')[0]}", "base_model_relation: finetune"] if hub.is_hub_id(base) else []),
        "library_name: diffusers",
        "pipeline_tag: image-to-image",
        "tags: [uip2p, instruct-pix2pix, image-editing]",
        "---",
        "",
        f"# An instruction-based image editor, trained by `{name}`",
        "",
        f"{tables.get('about', '')}. Trained with UIP2P (arXiv 2412.15216), without a single edited image: the losses",
        "hold an edit and its reverse together. It runs in `StableDiffusionInstructPix2PixPipeline` (or SDXL's)",
        "and in `uip2p.Editor.from_pretrained`.",
        "",
        *_use(out / "model"),
        "## How it was made",
        "",
        f"- **Base**: {where}{f', revision `{revision}`' if revision else ''}; its licence holds for this model too"
        + (f": [{licence}]({url})." if url else "."),
        f"- **Data**: {f'records of `{data.name}`' if data else 'the miniature world of the package'}; captions and "
        "instructions, no edited pictures.",
        f"- **Command**: `{without_paths(' '.join(command))}`",
        f"- **Code**: commit `{commit()}`; {', '.join(f'{key} {value}' for key, value in versions().items())}",
        f"- **Training**: {steps[-1]['images']:,} pictures in {steps[-1]['seconds'] / 3600:.1f} hours."
        if steps
        else "- **Training**: not a step was logged.",
        "",
        *_table(steps, validation),
        *_limits(load_settings(out / "model")),
    ]
    path = out / "model" / "README.md"
    checkpoint.replace_text(path, "\n".join(lines) + "\n")
    return path


def without_paths(text: str) -> str:
    """Of each absolute path only its end: nobody else has the folders of this machine."""
    return re.sub(r"(?<![\w:/.~-])(?:/|[A-Za-z]:\\)(?:[^/\\'\"`,\]]+[/\\]+)+", "…/", text)


def _use(model: Path) -> list[str]:
    """Code that runs as it stands, once REPO is where the model lies."""
    pipeline = f"StableDiffusion{'XL' if (model / 'text_encoder_2').is_dir() else ''}InstructPix2PixPipeline"
    own = load_settings(model)
    return [
        "## How to use it",
        "",
        "```python",
        "from uip2p import Editor",
        "",
        'editor = Editor.from_pretrained("REPO")  # this folder, or its id on the hub',
        'editor("photo.jpg", "make the car red").save("edited.png")',
        "```",
        "",
        "Or by diffusers alone, with the defaults that the model has in `uip2p.json`:",
        "",
        "```python",
        f"from diffusers import {pipeline}",
        "from diffusers.utils import load_image",
        "",
        f'pipeline = {pipeline}.from_pretrained("REPO")',
        f'edited = pipeline("make the car red", image=load_image("photo.jpg"), num_inference_steps={own.steps},',
        f"                  guidance_scale={own.guidance_scale:g}, "
        f"image_guidance_scale={own.image_guidance_scale:g}).images[0]",
        "```",
        "",
        f"It is meant for edits that a short English sentence says, at {own.image_size} × {own.image_size} pixels or "
        "so, and for research on learning without edited pictures.",
        "",
    ]


def _limits(own: Settings) -> list[str]:
    words = f"It reads {len(own.vocabulary)} words and refuses others. " if own.vocabulary else ""
    return [
        "## Limits",
        "",
        f"{words}Edits can fail, and can change more than was asked: look at the result, or let",
        "`uip2p edit --check` undo it and say how well the picture came back. What the loss encoder (CLIP) cannot tell",
        "apart, such as left and right or numbers, the editor has not learned; CLIP's biases about people are its own.",
        "",
        "## What it should not be used for",
        "",
        "Deceiving anyone about what a picture shows: deepfakes, misleading content; degrading people. Say when a",
        "picture is edited.",
    ]


def _table(steps: Sequence[Mapping[str, Any]], validation: Sequence[Mapping[str, Any]]) -> list[str]:
    """Losses at the end of training, and the best by validation; nothing where nothing is known."""
    columns: dict[str, Mapping[str, Any]] = {}
    if steps:
        columns[f"training, step {steps[-1]['step']}"] = steps[-1]
    if validation:
        columns[f"validation, step {validation[-1]['step']}"] = validation[-1]["validation"]
    names = [name for name in FIGURES if any(name in column for column in columns.values())]
    if not names:
        return []
    head = ["", *columns]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for name in names:
        cells = [f"{column[name]:.4f}" if name in column else "" for column in columns.values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return [*lines, ""]
