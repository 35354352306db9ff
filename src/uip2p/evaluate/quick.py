"""The quick figures of one model: any InstructPix2Pix folder against exact answers, on drawn scenes or on photographs,
without a run's folder.

One line of JSON a case holds everything that was measured on it; every figure in the result is a sum or a mean of
those lines, and a run that was stopped goes on where its lines end.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from uip2p.editing.editor import Editor
from uip2p.evaluate.cases import Case, suite_cases
from uip2p.evaluate.measure import MEASUREMENTS, Measure
from uip2p.evaluate.rows import append_rows, commit, digest, fingerprint, noise_seed, read_rows, versions
from uip2p.evaluate.scene_tables import Sample, summarise
from uip2p.images import to_tensor, to_uint8, write_atomic
from uip2p.models.clip import Clip, load_clip
from uip2p.models.folder import resolve
from uip2p.scenes.answers import Answer

PREPROCESSING = "drawn at the model's own size; outputs in 8 bits; metrics on [0, 1]; the judge resizes to its own size"

Pictures = np.ndarray  # uint8 [B, H, W, 3]


def evaluate_scenes(
    model_folder: str | Path,
    *,
    suite: str = "scenes",  # or "photos": tones on photographs that training never saw
    photo_folders: Sequence[str | Path] = (),  # for photos, beside scikit-image's
    split: str = "test",
    seed: int = 0,  # of the world, and of the noise of every edit
    count: int = 270,  # single edits, the same number of every kind
    session_count: int = 90,  # sessions of three edits in a row
    judge: str | Path | None = None,  # a CLIPModel folder that no loss has used; None: no CLIP figures
    steps: int | None = None,  # None here and below: the model's own default
    guidance: float | None = None,
    image_guidance: float | None = None,
    batch_size: int = 16,  # changes the speed, never a result
    out_json: str | Path | None = None,
    rows_jsonl: str | Path | None = None,
    command: str | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Edits every case and measures it; returns {"summary": see scene_tables.summarise, "settings", "samples", …}.

    rows_jsonl: a line is added for every case as it is done, and the lines of an earlier run with the same settings
    are used again. out_json: everything but the samples. UserError: no such suite, split, model or judge."""
    editor = Editor.from_pretrained(model_folder)
    settings = {
        **sampling_settings(editor, seed, steps, guidance, image_guidance),
        "model": fingerprint(resolve(model_folder)), "judge": fingerprint(Path(judge)) if judge else None,
        "image_size": editor.settings.image_size, "suite": suite, "split": split,
    }  # fmt: skip
    clip = load_clip(judge, editor.device) if judge else None
    cases = suite_cases(suite, split, seed, count, session_count, editor.settings.image_size, photo_folders)
    samples = score(editor, clip, cases, settings, batch_size, Path(rows_jsonl) if rows_jsonl else None, progress)
    result = {
        "model": str(model_folder), "command": command, "commit": commit(), "settings": settings,
        "count": count, "session_count": session_count, "preprocessing": PREPROCESSING, "versions": versions(),
        "device": str(editor.device), "rows": str(rows_jsonl) if rows_jsonl else None,
        "measurements": MEASUREMENTS, "summary": summarise(samples),
    }  # fmt: skip
    if out_json:
        write_atomic(out_json, json.dumps(result, indent=1).encode() + b"\n")
    return {**result, "samples": samples}


def sampling_settings(
    editor: Editor,
    seed: int,
    steps: int | None = None,
    guidance: float | None = None,
    image_guidance: float | None = None,
) -> dict[str, Any]:
    """All that an edit depends on beside the model and the case, the model's defaults filled in."""
    own = editor.settings
    return {
        "seed": seed,
        "steps": own.steps if steps is None else steps,
        "guidance_scale": own.guidance_scale if guidance is None else guidance,
        "image_guidance_scale": own.image_guidance_scale if image_guidance is None else image_guidance,
    }


def score(
    editor: Editor,
    clip: Clip | None,
    cases: Sequence[Case],
    settings: dict[str, Any],
    batch_size: int,
    rows: Path | None,
    progress: bool = True,
) -> list[Sample]:
    """Cases -> their rows, in the order of the cases: read from `rows` where known, else measured and added to it."""
    known, samples = read_rows(rows), {}
    with tqdm(total=len(cases), desc="editing", unit="case", disable=not progress) as bar:

        def unknown() -> Iterator[tuple[Case, Answer, str]]:
            for case in cases:
                drawn = case.draw()
                key = digest({**settings, "measurements": MEASUREMENTS, "case": case.digest(drawn)})
                if key in known:
                    samples[case.name] = known[key]
                    bar.update()
                else:
                    yield case, drawn, key

        todo = unknown()
        while chunk := list(islice(todo, batch_size)):
            batch, answers, keys = zip(*chunk, strict=True)
            measured = measure(editor, clip, batch, answers, settings)
            new = [{"key": key, **sample} for key, sample in zip(keys, measured, strict=True)]
            append_rows(rows, new)
            samples |= {sample["case"]: sample for sample in new}
            bar.update(len(chunk))
    return [samples[case.name] for case in cases]


def edit_cases(editor: Editor, cases: Sequence[Case], sources: Pictures, settings: dict[str, Any]) -> Pictures:
    """All turns of every case, each turn on the editor's own last output. uint8 [B, H, W, 3] -> the same."""
    outputs = list(sources)
    scales = {name: settings[name] for name in ("steps", "guidance_scale", "image_guidance_scale")}
    for turn in range(max(len(case.instructions) for case in cases)):
        going = [i for i, case in enumerate(cases) if turn < len(case.instructions)]
        edited = editor(
            [outputs[i] for i in going],
            [cases[i].instructions[turn] for i in going],
            seed=[noise_seed(settings["seed"], cases[i].name, turn) for i in going],
            batch_size=len(going),
            **scales,
        )
        for i, picture in zip(going, edited, strict=True):
            outputs[i] = np.asarray(picture)
    return np.stack(outputs)


@torch.no_grad()
def round_trip(editor: Editor, pictures: Pictures) -> Pictures:
    """Encoded (to the mode) and decoded, nothing else: uint8 [B, H, W, 3] -> the same."""
    latents = editor.vae.encode(to_tensor(pictures).to(editor.device, editor.vae.dtype)).latent_dist.mode()
    return to_uint8(editor.vae.decode(latents).sample)


def measure(
    editor: Editor, clip: Clip | None, cases: Sequence[Case], answers: Sequence[Answer], settings: dict[str, Any]
) -> list[Sample]:
    """Edits a batch and measures it beside the three rows that it has to be read with."""
    sources, targets = np.stack([a.source for a in answers]), np.stack([a.target for a in answers])
    outputs = {
        "model": edit_cases(editor, cases, sources, settings), "copy-input": sources,
        "round trip": round_trip(editor, sources), "best possible": round_trip(editor, targets),
    }  # fmt: skip
    measured = Measure(cases, answers, clip)
    rows = {name: measured(output) for name, output in outputs.items()}
    return [
        {"case": case.name, "turns": case.turns, "kind": case.kind, "instructions": list(case.instructions),
         "rows": {name: row[i] for name, row in rows.items()}}
        for i, case in enumerate(cases)
    ]  # fmt: skip
