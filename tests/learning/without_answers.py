"""The cycle's data and modules in a process where what draws targets cannot be imported."""

from __future__ import annotations

import importlib
import sys


class Forbidden:
    def find_spec(self, name, path=None, target=None):
        if name in ("uip2p.scenes.answers", "uip2p.scenes.faults"):
            raise AssertionError(f"the cycle reached for {name}")


def build_without_answers() -> None:
    """In a process that has imported nothing of uip2p yet."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "uip2p"]:
        del sys.modules[name]
    sys.meta_path.insert(0, Forbidden())
    import uip2p.scenes.world as world
    from uip2p.learning.datasets import DataConfig, Unpaired

    drawn = []
    render = world.render
    world.render = lambda scene, size: drawn.append(scene) or render(scene, size)
    data = Unpaired(DataConfig(seed=5, size=32, photos=0.2), "train")
    rows = [data[i] for i in range(60)]
    sources = [data.world.edit(i).source for i in range(60) if not data.is_photo(i)]
    assert drawn == sources, "something else than sources was drawn"
    assert any(data.is_photo(i) for i in range(60))
    assert all(set(row) == {"image", "caption", "instruction", "edited_caption", "reverse_instruction"} for row in rows)
    for module in ("learning.recipes", "learning.cycle"):
        importlib.import_module(f"uip2p.{module}")
    try:
        importlib.import_module("uip2p.scenes.answers")
    except AssertionError:
        print("clean")
