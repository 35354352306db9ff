"""What the nodes do, without ComfyUI: from its pictures to an editor and back.

ComfyUI's IMAGE is float [B, H, W, C] in [0, 1], all pictures of one size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from uip2p.editing.editor import Edited, Editor, Step
from uip2p.errors import UserError
from uip2p.images import load_image, to_uint8

BATCH = 8  # pictures at a time
Tell = Callable[[int, int, Image.Image | None], Any]  # steps done, of how many, a preview or None; may raise to stop


@dataclass(frozen=True, slots=True)
class Sampling:
    """The widgets of both nodes. A widget has no None: steps 0 and a scale below 0 are the model's own."""

    steps: int = 0
    guidance_scale: float = -1.0
    image_guidance_scale: float = -1.0
    seed: int = 0

    def options(self, pictures: int) -> dict[str, Any]:
        """Of `Editor.edit`. Picture k of a batch has seed + k, so that a repeated picture gives several results."""
        return {
            "steps": self.steps or None,
            "guidance_scale": None if self.guidance_scale < 0 else self.guidance_scale,
            "image_guidance_scale": None if self.image_guidance_scale < 0 else self.image_guidance_scale,
            "seed": [self.seed + k for k in range(pictures)],
        }


def load(model: str, lora: str, dtype: str, device: Any) -> Editor:
    """UserError: what is not there, or does not go together."""
    return Editor.from_pretrained(model.strip() or "mini", device, dtype, lora=lora.strip() or None)


def newest(*names: str) -> float:
    """When what lies under these paths was last written, 0 for names that are no path here: a model that was trained
    on is loaded anew."""
    paths = [Path(name.strip()) for name in names if name.strip()]
    files = [file for path in paths for file in ([path] if path.is_file() else path.rglob("*.safetensors"))]
    return max((file.stat().st_mtime for file in files), default=0.0)


def edit(editor: Editor, image: Tensor, instruction: str, sampling: Sampling, tell: Tell) -> Tensor:
    """IMAGE → IMAGE of the same size. UserError: a bad instruction or number."""
    pictures = to_pictures(image)
    on_step = counted(tell, math.ceil(len(pictures) / BATCH), editor.parts.tiny is not None)
    made = editor.edit(
        pictures, instruction, batch_size=BATCH, on_step=on_step, **sampling.options(len(pictures))
    )
    return to_image([one.image for one in made])


def edit_checked(
    editor: Editor, image: Tensor, instruction: str, sampling: Sampling, tell: Tell, *, best_of: int = 1,
    reverse: str = "", caption: str = "", edited_caption: str = "", clip: str = "",
) -> tuple[Tensor, Tensor, list[Edited]]:  # fmt: skip
    """IMAGE → (IMAGE edited, IMAGE after the reverse, the edits with their checks). Empty texts: worked out by the
    grammar of the miniature world. UserError: besides, no reverse, or no encoder."""
    pictures = to_pictures(image)
    groups = math.ceil(len(pictures) / max(1, BATCH // best_of))
    made = editor.edit(
        pictures, instruction, batch_size=BATCH, check=True, best_of=best_of, reverse=reverse.strip() or None,
        caption=caption.strip() or None, edited_caption=edited_caption.strip() or None, clip=clip.strip() or None,
        on_step=counted(tell, 2 * groups, editor.parts.tiny is not None), **sampling.options(len(pictures)),
    )  # fmt: skip
    return to_image([one.image for one in made]), to_image([one.check.reversed for one in made if one.check]), made


def counted(tell: Tell, batches: int, preview: bool) -> Callable[[Step], None]:
    """Steps of one batch after the other → steps of all. preview: the first picture as each step sees its end."""
    done = 0

    def on_step(step: Step) -> None:
        nonlocal done
        done += 1
        tell(done, batches * step.total, step.preview()[0] if preview else None)

    return on_step


def summary(one: Edited) -> str:
    """One checked edit in a line, for a person to read."""
    check = one.check
    if check is None:
        return f"seed {one.seed}"
    failed = {True: "; it has likely failed", False: "", None: ""}[check.likely_failed]
    return (
        f"seed {one.seed}: score {check.score:.3f} (reversibility {check.reversibility:.3f}, direction "
        f"{check.direction:.3f}), undone by '{check.reverse_instruction}'{failed}"
    )


# ---- pictures ------------------------------------------------------------------------------------


def to_pictures(image: Tensor) -> list[Image.Image]:
    """IMAGE → PIL RGB, a fourth channel as transparency over white. UserError: no IMAGE, or one with NaN."""
    if image.ndim != 4 or image.shape[-1] not in (1, 3, 4) or 0 in image.shape:
        raise UserError(f"the image is {list(image.shape)}, and has to be [pictures, height, width, 1, 3 or 4].")
    if not torch.isfinite(image).all():
        raise UserError("the image has values that are no numbers (NaN): a node before this one has failed.")
    pixels = to_uint8(image.movedim(-1, 1) * 2 - 1)
    return [load_image(one[..., 0] if one.shape[-1] == 1 else one) for one in pixels]


def to_image(pictures: Sequence[Image.Image]) -> Tensor:
    """PIL RGB of one size → IMAGE, float32 on the CPU."""
    return torch.from_numpy(np.stack([np.asarray(picture) for picture in pictures])).float() / 255
