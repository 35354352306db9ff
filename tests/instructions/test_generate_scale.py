"""100,000 captions on a local Ray with two workers, one of which is killed, and then the driver."""

from __future__ import annotations

import importlib.util
import os
import signal
import time
from pathlib import Path

import pytest
from processes import context
from runs import grammar_on_ray, ids_done

from uip2p.datasets import open_captions
from uip2p.instructions.shards import finished, total_counts

ROOT = Path(__file__).parents[2]
PHOTOS = [ROOT / "runs/photos", ROOT / "../shared/data/photos"]


def repeated(photos: Path, folder: Path, count: int) -> Path:
    spec = importlib.util.spec_from_file_location("benchmark", ROOT / "benchmarks/generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.repeated(photos, folder, count)


@pytest.mark.slow
def test_a_hundred_thousand_captions_and_two_deaths(tmp_path):
    count = int(os.environ.get("UIP2P_CAPTIONS", 100_000))
    pytest.importorskip("ray")
    photos = next((path for path in PHOTOS if path.is_dir()), None)
    if photos is None:
        pytest.skip("no captioned photographs: put an imagefolder with captions at runs/photos")
    source, out, who = repeated(photos, tmp_path / "captions", count), tmp_path / "run", tmp_path / "who"
    who.mkdir()
    first = context.Process(target=grammar_on_ray, args=(source, out, who))
    first.start()
    wait_for(lambda: len(finished(out)) >= 2, first)
    worker = next(number for path in who.iterdir() if (number := int(path.name)) != first.pid)
    os.kill(worker, signal.SIGKILL)
    wait_for(lambda: len(finished(out)) >= count // 3000, first)
    first.kill()
    first.join()
    assert set(ids_done(out).values()) == {1} and len(ids_done(out)) < count

    again = context.Process(target=grammar_on_ray, args=(source, out, who))
    again.start()
    again.join()
    assert again.exitcode == 0
    captions = open_captions(source)
    assert ids_done(out) == dict.fromkeys((captions.caption(row).id for row in range(count)), 1)
    counts = total_counts(out)
    assert counts.captions == count and counts.accepted > count
    assert not list((out / "journal").iterdir())


def wait_for(condition, process) -> None:
    while not condition():
        assert process.is_alive(), "the run ended before it could be killed"
        time.sleep(0.05)
