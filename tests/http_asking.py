"""What tests of the HTTP API ask with."""

from __future__ import annotations

import base64
import io

import httpx
import numpy as np
import openai
from PIL import Image

HTTP = httpx.Client(verify=False, timeout=30)  # nothing here is encrypted, and certificates take time to read


def png(picture: Image.Image, format: str = "PNG") -> bytes:
    file = io.BytesIO()
    picture.save(file, format, **({"lossless": True} if format == "WEBP" else {}))
    return file.getvalue()


def opened(b64: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(b64)))


def same(one: Image.Image, other: Image.Image) -> bool:
    return int(np.abs(np.asarray(one.convert("RGB")).astype(int) - np.asarray(other)).max()) <= 1


def client(address: str, key: str = "none", kind=openai.OpenAI):
    return kind(base_url=f"{address}/v1", api_key=key, max_retries=0)
