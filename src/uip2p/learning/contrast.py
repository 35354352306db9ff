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

MAX_LOGIT_SCALE = 4.6052  # ln 100, as in CLIP


@dataclass(frozen=True, slots=True)
class ContrastConfig:
    augment: AugmentConfig = field(default_factory=lambda: AugmentConfig(noise=0.3, shift=0.06, zoom=0.1))


class ContrastObjective(nn.Module):
    """CLIP's symmetric cross-entropy over the batch. Rows with an `edited_caption` add it as one more wrong text,
    which makes the encoder read colours and positions instead of bags of words. Text only: nothing is edited."""

    def __init__(self, clip: Clip, config: ContrastConfig):
        super().__init__()
        self.clip, self.config = clip, config

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
        found = (logits.argmax(1) == right).float()
        return Outcome(
            {"contrast": (to_text + to_image) / 2}, {"accuracy": found, "scale": scale.detach().expand(len(batch))}
        )

    def samples(self, batch: Batch, draw: Draw) -> None:
        return None

    def export(self, folder: Path) -> None:
        self.clip.save(folder)


def mask_same(logits: Tensor, rows: list[str], columns: list[str]) -> Tensor:
    """Equal captions are no negatives of each other: −∞ wherever a caption meets its double off the diagonal."""
    same = torch.tensor([[i != j and a == b for j, b in enumerate(columns)] for i, a in enumerate(rows)])
    return logits.masked_fill(same.to(logits.device), float("-inf"))
