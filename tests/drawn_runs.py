"""Runs of the real runner on drawn scenes: a small benchmark, and editors whose faults are known."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from uip2p.evaluate import metrics
from uip2p.evaluate.asking import Sampling, Session, Turn, open_picture
from uip2p.evaluate.cases import scene_cases
from uip2p.evaluate.running import Runner
from uip2p.evaluate.suites import Published, Row, Suite
from uip2p.scenes.world import World

PUBLISHED = (
    Published("Careful", "single-turn", {"l1": 0.001, "dino": 0.9}, "a table"),
    Published("Somebody", "single-turn", {"l1": 0.1, "dino": 0.7}, "a table"),
)


@dataclass(frozen=True)
class Toward:
    """Goes `share` of the way from the input to the answer, with noise of the question's own seed. The output is
    `scale` times as large, as an editor's may be."""

    name: str
    share: float
    noise: float = 0.0
    scale: int = 1

    def describe(self):
        return {"kind": "toward", "share": self.share, "noise": self.noise, "scale": self.scale}

    def edit(self, asks):
        return [self._edit(ask) for ask in asks]

    def _edit(self, ask):
        image = np.asarray(ask.image, np.float64)
        answer = np.asarray(open_picture(ask.answer), np.float64) if ask.answer else image
        noise = np.random.default_rng(ask.seed).normal(0, self.noise, image.shape) if self.noise else 0.0
        edited = image + self.share * (answer - image) + noise
        picture = Image.fromarray(np.clip(np.rint(edited), 0, 255).astype(np.uint8))
        return picture.resize((picture.width * self.scale, picture.height * self.scale), Image.Resampling.NEAREST)

    def sampled(self, sampling: Sampling):
        return self

    def round_trip(self):
        return None


class Meter:
    """The real functions of metrics.py that need no network; against the target where there is one."""

    def describe(self):
        return {"l1": {"range": "[0, 1]", "resize": "to the target's size"}, "l2": {"range": "[0, 1]"}, "psnr": {}}

    def measure(self, judged):
        return [self._one(each) for each in judged]

    @staticmethod
    def _one(each):
        def tensor(picture):
            return torch.tensor(np.asarray(picture)).movedim(-1, 0)[None].double() / 255

        if each.target is None:
            return {"outside": metrics.l1(tensor(each.output.resize(each.source.size)), tensor(each.source)).item()}
        pictures = tensor(each.output.resize(each.target.size)), tensor(each.target)
        return {"l1": metrics.l1(*pictures).item(), "l2": metrics.l2(*pictures).item()}


@dataclass(frozen=True, kw_only=True)
class Scenes(Suite):
    """Drawn edits in one group; in another the same scenes, as if nobody knew the answer."""

    name: str = "drawn"
    settings: dict = field(default_factory=lambda: {"seed": 7})
    count: int = 9
    instruction: str = ""

    def sessions(self):
        found = []
        for case in scene_cases(World(7, "test", 32), self.count):
            drawn = case.draw()
            name = case.name.replace("/", "-")
            source, target = (lambda d=drawn: Image.fromarray(d.source)), (lambda d=drawn: Image.fromarray(d.target))
            texts = {
                "instruction": self.instruction or case.instructions[0], "caption": case.caption,
                "edited_caption": case.edited_caption, "kind": case.kind,
            }  # fmt: skip
            known = Turn(f"{name}/known", source=source, target=target, **texts)
            blind = Turn(f"{name}/blind", source=source, groups=("unknown",), **texts)
            found.append(Session(name, (known, blind)))
        return found


def make_run(folder: Path, editors, suite: Suite | None = None, seeds=(0,), shard=None, **options) -> Path:
    """A run's folder by the real runner: copy-input, ground truth, then the editors."""
    suite = suite or Scenes(published=PUBLISHED)
    rows = [Row("copy-input", Toward("copy-input", 0.0), baseline=True),
            Row("ground truth", Toward("ground truth", 1.0), baseline=True)]  # fmt: skip
    rows += [editor if isinstance(editor, Row) else Row(editor.name, editor, editor.name) for editor in editors]
    more = {"shard": shard} if shard else {}
    Runner(suite, rows, Meter(), folder, seeds, command=f"uip2p evaluate --out {folder.name}", progress=False,
           **more, **options).run()  # fmt: skip
    return folder


CAREFUL, WILD, LARGE = Toward("Careful", 0.9, 1.0), Toward("wild", 0.2, 30.0), Toward("large", 0.89, 1.0, scale=8)
