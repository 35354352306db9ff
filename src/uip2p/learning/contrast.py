"""Training a CLIP on captioned pictures: the loss encoder, and, with another seed and width, the judge."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from uip2p.learning.augment import AugmentConfig, augment
from uip2p.learning.objective import Batch, Outcome, pictures, texts
from uip2p.learning.randomness import Draw
from uip2p.models.clip import Clip
from uip2p.scenes.vocabulary import COLORS, KINDS, PLACES, SLOTS

MAX_LOGIT_SCALE = 4.6052  # ln 100, as in CLIP
WORD_SCALE = 10.0  # embeddings have length 1; this gives word logits of a useful size from weights of a usual one


@dataclass(frozen=True, slots=True)
class ContrastConfig:
    """words: weight of naming the caption's words from either embedding, see `word_loss`."""

    words: float = 0.0
    augment: AugmentConfig = field(default_factory=lambda: AugmentConfig(noise=0.3, shift=0.06, zoom=0.1))


class ContrastObjective(nn.Module):
    """CLIP's symmetric cross-entropy over the batch. Rows with an `edited_caption` add it as one more wrong text,
    which makes the encoder read colours and positions instead of bags of words. Text only: nothing is edited."""

    def __init__(self, clip: Clip, config: ContrastConfig):
        super().__init__()
        self.clip, self.config = clip, config
        self.names = {word: index for index, word in enumerate(content_words())}
        self.name_words = nn.Linear(clip.model.config.projection_dim, len(self.names)) if config.words else None

    def forward(self, batch: Batch, draw: Draw) -> Outcome:
        x = augment(pictures(batch, device=self.clip.mean.device), self.config.augment, draw, "augment")
        captions = texts(batch, "caption")
        wrong = [row["edited_caption"] for row in batch if row.get("edited_caption")]
        image, text = self.clip.embed_images(x), self.clip.embed_texts(captions + wrong)
        scale = self.clip.model.logit_scale.clamp(max=MAX_LOGIT_SCALE).exp()
        logits = mask_same(scale * image @ text.T, captions, captions + wrong)
        right = torch.arange(len(batch), device=logits.device)
        to_text = F.cross_entropy(logits, right, reduction="none")
        to_image = F.cross_entropy(logits[:, : len(batch)].T, right, reduction="none")
        losses = {"contrast": (to_text + to_image) / 2}
        if self.name_words is not None:
            said = words_said(captions, self.names).to(logits.device)
            named = [word_loss(self.name_words(WORD_SCALE * e), said) for e in (image, text[: len(batch)])]
            losses["words"] = self.config.words * (named[0] + named[1])
        found = (logits.argmax(1) == right).float()
        return Outcome(losses, {"accuracy": found, "scale": scale.detach().expand(len(batch))})

    def samples(self, batch: Batch, draw: Draw) -> None:
        return None

    def export(self, folder: Path) -> None:
        self.clip.save(folder)


def content_words() -> list[str]:
    """The words of the world's captions that name something: kinds, colours, places and slots."""
    return sorted({word for name in (*KINDS, *COLORS, *PLACES, *SLOTS) for word in name.split()})


def words_said(texts: list[str], names: dict[str, int]) -> Tensor:
    """Which of the named words each text has: [B, V], rows of sum 1 (0 if it has none)."""
    said = torch.zeros(len(texts), len(names))
    for row, text in enumerate(texts):
        for word in set(text.replace(",", " ").split()) & names.keys():
            said[row, names[word]] = 1
    return said / said.sum(1, keepdim=True).clamp(min=1e-6)


def word_loss(logits: Tensor, said: Tensor) -> Tensor:
    """Cross-entropy of the caption's words, [B, V] × [B, V] → [B] (classification on captions, arXiv 2411.03313).

    Contrast alone gets stuck where a word matters little: neither encoder gains by telling left from right until the
    other does. Naming words from both embeddings with one linear map gives both a reason of their own.
    """
    return F.cross_entropy(logits, said, reduction="none")


def mask_same(logits: Tensor, rows: list[str], columns: list[str]) -> Tensor:
    """Equal captions are no negatives of each other: −∞ wherever a caption meets its double off the diagonal."""
    same = torch.tensor([[i != j and a == b for j, b in enumerate(columns)] for i, a in enumerate(rows)])
    return logits.masked_fill(same.to(logits.device), float("-inf"))
