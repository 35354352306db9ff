"""InstructPix2Pix's folder layout with drawn scenes in it, and what a run needs beside a suite."""

import json
from dataclasses import replace

import pytest

from uip2p.evaluate.editors import open_editor
from uip2p.evaluate.editors.baselines import baseline
from uip2p.evaluate.meter import StandardMeter
from uip2p.evaluate.running import Runner
from uip2p.evaluate.suites import Row
from uip2p.images import save_image
from uip2p.scenes.answers import answer
from uip2p.scenes.edits import WEIGHTS
from uip2p.scenes.world import World


@pytest.fixture(scope="session")
def ip2p_folder(tmp_path_factory):
    """120 prompts, so six in the test split, with one to three pictures each, 64 pixels wide. The edited picture is
    there too, as in the data set, but it is no picture: whoever opens it fails."""
    return write_ip2p(tmp_path_factory.mktemp("ip2p"), 120)


def write_ip2p(folder, prompts, size=64):
    """Only the pictures of the last 20th, the test split, are drawn."""
    world, kinds, seeds = World(3, "test", size), tuple(WEIGHTS), []
    for number in range(prompts):
        name, several = f"{number:07d}", [str(1000 * number + i) for i in range(1 + number % 3)]
        seeds.append([name, several])
        edit = world.edit(number // len(kinds), kinds[number % len(kinds)])
        (folder / name).mkdir()
        texts = {"input": edit.caption, "edit": edit.instruction, "output": edit.edited_caption}
        (folder / name / "prompt.json").write_text(json.dumps(texts))
        for seed in several if number >= prompts * 0.95 else ():
            save_image(answer(edit, size).source, folder / name / f"{seed}_0.jpg")
            (folder / name / f"{seed}_1.jpg").write_bytes(b"an edited picture, which nobody may open")
    (folder / "seeds.json").write_text(json.dumps(seeds))
    return folder


@pytest.fixture
def run_suite(tmp_path):
    """(suite, editors' specs, sampling fields) → the finished run. The suites here measure all by themselves."""

    def run(suite, specs, out="run", **sampling):
        suite = replace(suite, sampling=replace(suite.sampling, **sampling))
        editors = [open_editor(str(spec)) for spec in specs]
        rows = [Row(name, baseline(name, editors), name, baseline=True) for name in suite.baselines]
        return Runner(suite, [*rows, *suite.rows(editors)], StandardMeter(()), tmp_path / out, progress=False).run()

    return run
