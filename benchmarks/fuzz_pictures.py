"""Teaches schemathesis what a picture is: good ones, so that it gets past the decoder, and hostile ones."""

from __future__ import annotations

import hostile
import schemathesis
from hypothesis import strategies

GOOD = [hostile.picture(format, size=(48, 40)) for format in ("PNG", "JPEG", "WEBP")]
HOSTILE = [content for content in hostile.files().values() if len(content) < 20_000]
for kind in ("image/png", "image/jpeg", "image/webp"):
    schemathesis.openapi.media_type(kind, strategies.sampled_from(GOOD) | strategies.sampled_from(HOSTILE))
