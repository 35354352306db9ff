"""A judge on loopback that really looks: it decodes the pictures that it is sent, and scores by a rule what it sees.

The pictures of these tests have an upper half that an instruction, "make it red", may colour, and a lower half that has
to stay. The rule: execution is the share of the way that the upper half went towards pure colour; consistency is how
little the lower half changed; naturalness is how little neighbouring pixels differ."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from endpoints import Answer, completion
from PIL import Image

COLORS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}


def pictures_of(request: dict[str, Any]) -> list[np.ndarray]:
    """What a request shows, in its order: float [H, W, 3] in [0, 1]."""
    found = []
    for part in request["messages"][-1]["content"]:
        if part["type"] == "image_url":
            head, data = part["image_url"]["url"].split(",", 1)
            assert head == "data:image/png;base64"
            found.append(np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")) / 255.0)
    return found


def texts_of(request: dict[str, Any]) -> list[str]:
    return [part["text"] for part in request["messages"][-1]["content"] if part["type"] == "text"]


def instruction_of(request: dict[str, Any]) -> str:
    """"" of a question that shows the output alone."""
    last = texts_of(request)[-1]
    return json.loads(last)["instruction"] if last.startswith("{") else ""


def wants(request: dict[str, Any]) -> list[str]:
    """The aspects, of a server that was told a schema."""
    required = request["response_format"]["json_schema"]["schema"]["required"]
    assert required[0] == "reasoning"
    return required[1:]


def shares(request: dict[str, Any]) -> dict[str, float]:
    """What is seen, each in [0, 1]."""
    seen = pictures_of(request)
    if len(seen) == 1:
        rough = np.abs(np.diff(seen[0], axis=1)).mean()
        return {"naturalness": 1 - rough, "artifacts": 1 - rough}
    before, after = seen
    half = len(before) // 2
    wanted = np.array(COLORS[instruction_of(request).split()[-1]]) / 255.0
    whole, left = np.abs(before[:half] - wanted).mean(), np.abs(after[:half] - wanted).mean()
    return {"execution": max(0.0, 1 - left / whole), "consistency": 1 - np.abs(after[half:] - before[half:]).mean()}


def look(request: dict[str, Any], low: int = 0, high: int = 10) -> Answer:
    seen = shares(request)
    scores = {aspect: low + round((high - low) * float(seen[aspect])) for aspect in wants(request)}
    return completion(json.dumps({"reasoning": "what I see", **scores}), tokens=(900, 30))


# ---- edits ------------------------------------------------------------------------------------------------


def source(number: int, size: int = 32) -> Image.Image:
    """Grey above, noise below; each number another picture."""
    pixels = np.random.default_rng(number).integers(0, 256, (size, size, 3), dtype=np.uint8)
    pixels[: size // 2] = 100 + number % 50
    return Image.fromarray(pixels)


def edited(picture: Image.Image, color: str, strength: float = 1.0, damage: float = 0.0) -> Image.Image:
    """strength: of the colour above. damage: how far the lower half goes to its negative; 1 is all the way."""
    pixels = np.asarray(picture).astype(np.float64)
    half = len(pixels) // 2
    pixels[:half] += strength * (np.array(COLORS[color]) - pixels[:half])
    pixels[half:] += damage * (255 - 2 * pixels[half:])
    return Image.fromarray(np.rint(pixels).astype(np.uint8))


def color_of(number: int) -> str:
    return list(COLORS)[number % 3]


def make_inputs(folder: Path, count: int) -> Path:
    """metadata.jsonl and its pictures."""
    folder.mkdir(parents=True)
    rows = []
    for number in range(count):
        source(number).save(folder / f"{number}.png")
        rows.append({"file_name": f"{number}.png", "instruction": f"make it {color_of(number)}", "kind": "color"})
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "metadata.jsonl"


def make_outputs(folder: Path, count: int, **how: float) -> Path:
    folder.mkdir(parents=True)
    for number in range(count):
        edited(source(number), color_of(number), **how).save(folder / f"{number}.png")
    return folder
