"""The model card beside a trained editor: what anyone who finds the folder has to know, in Hugging Face's layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from uip2p.evaluate.rows import commit, versions
from uip2p.learning import checkpoint
from uip2p.learning.journal import Journal
from uip2p.models import hub

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
    where = f"[{base}](https://huggingface.co/{base})" if hub.is_hub_id(base) else f"`{Path(base).name}`"
    lines = [
        "---",
        f"license: {licence}",
        *([f"base_model: {base}"] if hub.is_hub_id(base) else []),
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
        f"- **Base**: {where}{f', revision `{revision}`' if revision else ''}; its licence holds for this model too"
        + (f": [{licence}]({url})." if url else "."),
        f"- **Data**: {f'records of `{data.name}`' if data else 'the miniature world of the package'}; captions and "
        "instructions, no edited pictures.",
        f"- **Command**: `{' '.join(command)}`",
        f"- **Code**: commit `{commit()}`; {', '.join(f'{key} {value}' for key, value in versions().items())}",
        f"- **Training**: {steps[-1]['images']:,} pictures in {steps[-1]['seconds'] / 3600:.1f} hours."
        if steps
        else "- **Training**: not a step was logged.",
        "",
        *_table(steps, validation),
        "## What it should not be used for",
        "",
        "Deceiving anyone about what a picture shows: deepfakes, misleading content. It has the loss encoder's biases.",
        "Say when a picture is edited.",
    ]
    path = out / "model" / "README.md"
    checkpoint.replace_text(path, "\n".join(lines) + "\n")
    return path


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
