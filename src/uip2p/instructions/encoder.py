"""Text encoders behind one function: texts → unit vectors. A sentence encoder, or the text tower of a CLIP."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from uip2p.errors import UserError, first_line
from uip2p.images import load_image, to_tensor
from uip2p.models import hub
from uip2p.models.clip import Clip, load_clip
from uip2p.models.folder import quiet

KEPT = 20_000  # texts: 30 MB of MiniLM's vectors


class TextEncoder(Protocol):
    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Texts → float32 [N, D], each of length 1. A text's vector does not depend on its neighbours, but for
        rounding."""


class SentenceEncoder:
    """A transformers encoder, its last states averaged over the text's tokens: how sentence-transformers' are read."""

    def __init__(self, model: Any, tokenizer: Any, device: str = "cpu"):
        self.model, self.tokenizer, self.device = model.eval().requires_grad_(False).to(device), tokenizer, device
        self.length = min(tokenizer.model_max_length, model.config.max_position_embeddings, 256)

    @torch.inference_mode()
    def encode(self, texts: Sequence[str]) -> np.ndarray:
        inputs = self.tokenizer(
            list(texts), padding=True, truncation=True, max_length=self.length, return_tensors="pt"
        ).to(self.device)
        states: Tensor = self.model(**inputs).last_hidden_state.float()  # [N, T, D]
        mask = inputs["attention_mask"].unsqueeze(-1)
        return F.normalize((states * mask).sum(1) / mask.sum(1), dim=-1).cpu().numpy()


class ClipText:
    """The text tower of a CLIP, the one that training's losses use."""

    def __init__(self, clip: Clip):
        self.clip = clip

    @torch.inference_mode()
    def encode(self, texts: Sequence[str]) -> np.ndarray:
        return self.clip.embed_texts(list(texts)).cpu().numpy()


class Cached:
    """An encoder that reads each text once, in batches, and keeps the last `kept` vectors."""

    def __init__(self, encoder: TextEncoder, batch: int = 64, kept: int = KEPT):
        self.encoder, self.batch, self.kept = encoder, batch, kept
        self.vectors: OrderedDict[str, np.ndarray] = OrderedDict()

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """No texts → [0, 0]."""
        known = {text: self.vectors[text] for text in texts if text in self.vectors}
        new = sorted({text for text in texts if text not in known}, key=lambda text: (len(text), text))  # less padding
        for start in range(0, len(new), self.batch):
            part = new[start : start + self.batch]
            known |= zip(part, self.encoder.encode(part), strict=True)
        for text in known:
            self.vectors[text] = known[text]
            self.vectors.move_to_end(text)
        while len(self.vectors) > self.kept:
            self.vectors.popitem(last=False)
        return np.stack([known[text] for text in texts]) if texts else np.zeros((0, 0), np.float32)


def load_encoder(name: str, device: str = "cpu") -> Cached:
    """A folder or hub id: of a CLIP, its text tower; of anything else, a sentence encoder.

    UserError: there is no such model, or it is no text encoder.
    """
    folder = Path(name)
    if not folder.is_dir() and hub.is_hub_id(name):
        folder = hub.download(name, ["*.json", "*.txt", "model.safetensors"])
    try:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type", "")
    except (OSError, ValueError, AttributeError):
        raise UserError(
            f"{name}: is no text encoder: give a folder with config.json, weights and a tokenizer, or a hub id."
        ) from None
    if kind == "clip":
        return Cached(ClipText(load_clip(folder, device)))
    from transformers import AutoModel, AutoTokenizer

    try:
        with quiet():
            model = AutoModel.from_pretrained(str(folder), dtype=torch.float32, use_safetensors=True)
            tokenizer = AutoTokenizer.from_pretrained(str(folder))
    except Exception as error:  # transformers raises whatever its parts raise
        raise UserError(f"{name}: cannot be loaded as a text encoder ({first_line(error)}).") from error
    if model.config.is_encoder_decoder or "max_position_embeddings" not in model.config.to_dict():
        raise UserError(f"{name}: a {kind!r} is no sentence encoder. Give one such as all-MiniLM-L6-v2, or a CLIP.")
    return Cached(SentenceEncoder(model, tokenizer, device))


def load_likeness(name: str, device: str = "cpu") -> Callable[[Any, str], float]:
    """A CLIP's folder or hub id → (picture as `load_image` takes it, text) → their cosine, −1 to 1.

    UserError: it is no CLIP, or one of latents.
    """
    clip = load_clip(name, device)
    if clip.model.config.vision_config.num_channels != 3:
        raise UserError(f"{name}: this CLIP reads latents. Give one that sees pictures.")

    @torch.inference_mode()
    def likeness(picture: Any, text: str) -> float:
        pixels = to_tensor(load_image(picture), device)[None]
        return float((clip.embed_images(pixels) @ clip.embed_texts([text]).T).item())

    return likeness
