"""Teaches schemathesis what a picture is, good ones, so that it gets past the decoder, and hostile ones; and words that
a model knows."""

from __future__ import annotations

from typing import Any

import hostile
import schemathesis
from hypothesis import strategies

GOOD = [hostile.picture(format, size=(48, 40)) for format in ("PNG", "JPEG", "WEBP")]
HOSTILE = [content for content in hostile.files().values() if len(content) < 20_000]
for kind in ("image/png", "image/jpeg", "image/webp"):
    schemathesis.openapi.media_type(kind, strategies.sampled_from(GOOD) | strategies.sampled_from(HOSTILE))
ALONE = ("image", "prompt", "seed", "steps", "guidance_scale", "image_guidance_scale", "output_format", "n", "stream")


@schemathesis.hook
def flatmap_case(context: Any, case: Any) -> strategies.SearchStrategy[Any]:
    """A form as it came, or with words that the model knows, or with those fields alone that ask for no other."""
    form = case.body
    if not isinstance(form, dict) or "prompt" not in form:
        return strategies.just(case)

    def change(body: dict[str, Any]) -> Any:
        case.body = body
        return case

    known = {**form, "prompt": "make the car blue"}
    return strategies.sampled_from([form, known, {name: known[name] for name in ALONE if name in known}]).map(change)
