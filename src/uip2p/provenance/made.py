"""How an edited picture was made: what its file says."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uip2p

if TYPE_CHECKING:
    from uip2p.editing.editor import Edited

SOFTWARE = "UIP2P"
# IPTC's term for a picture of which a part comes from a trained model and a part from elsewhere
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"

PARAMETERS = ("model", "instruction", "seed", "steps", "guidance_scale", "image_guidance_scale", "scheduler")


@dataclass(frozen=True, slots=True)
class Made:
    """One edit. model: a name that may be public (see `public_name`). instruction: None unless it is to be recorded,
    as it may say more of a person than the picture does. time: when it was made, with its time zone."""

    model: str
    seed: int
    steps: int
    guidance_scale: float
    image_guidance_scale: float
    scheduler: str
    instruction: str | None = None
    version: str = uip2p.__version__
    time: datetime = field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))

    @classmethod
    def of(cls, edited: Edited, model: str | Path, instruction: str | None = None) -> Made:
        """edited: what the editor says of it. model: as it was asked for; of a file or folder its last name is kept."""
        return cls(
            public_name(model), edited.seed, edited.steps, edited.guidance_scale, edited.image_guidance_scale,
            edited.scheduler, instruction,
        )  # fmt: skip

    @property
    def software(self) -> str:
        """Such as "UIP2P 0.1.0"."""
        return f"{SOFTWARE} {self.version}"

    def parameters(self) -> dict[str, Any]:
        """What a manifest says of the edit, under names of our own."""
        said = {name: getattr(self, name) for name in PARAMETERS}
        return {f"uip2p.{name}": value for name, value in said.items() if value is not None}


def public_name(model: str | Path) -> str:
    """A shipped model's or a hub's name as it is; of a path its last part, as folders may name people and projects."""
    path = Path(model)
    is_path = isinstance(model, Path) or path.is_absolute() or str(model).startswith((".", "~")) or path.exists()
    return path.name or path.resolve().name if is_path else str(model)
