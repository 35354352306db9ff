"""docs/reproduce.md: it is what the script writes now, its hours are counts over speeds, its commands are commands."""

import argparse
import importlib
import shlex
import sys
from pathlib import Path

import pytest

from uip2p.cli import VERBS
from uip2p.errors import UserError
from uip2p.learning.recipes import read_recipe

ROOT = Path(__file__).parents[1]
ROWS = [
    {"what": "train sd15 256 whole exact", "mode": "eager", "batch": 4, "pictures_per_second": 10.0, "peak_gb": 40.0},
    {"what": "train sd15 256 whole exact", "mode": "compiled", "batch": 16, "pictures_per_second": 20.0},
    {"what": "train sd15 256 whole lean", "mode": "eager", "batch": 4, "pictures_per_second": 50.0, "device": "other"},
    {"what": "edit sd15 512 100 steps", "mode": "eager", "batch": 8, "seconds_per_picture": 2.0, "peak_gb": 6.0},
]


@pytest.fixture(scope="module")
def reproduce():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        yield importlib.import_module("reproduce")
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


def test_the_page_is_what_the_script_writes(reproduce):
    written = reproduce.markdown(reproduce.read_gpu(reproduce.GPU))
    assert (ROOT / "docs/reproduce.md").read_text() == written, "run python benchmarks/reproduce.py"
    text = reproduce.README.read_text()
    assert reproduce.readme(text, reproduce.read_gpu(reproduce.GPU)) == text, "run python benchmarks/reproduce.py"
    with pytest.raises(UserError, match="for the table to stand in"):
        reproduce.readme("# a README", reproduce.read_gpu(reproduce.GPU))


def test_hours_are_counts_over_the_fastest_measured_speed(reproduce):
    speed = reproduce.speeds({"device": "this", "torch": "t", "rows": ROWS})
    found = {result.name: result for result in reproduce.results()}
    cc12m = found["MagicBrush, single- and multi-turn: UIP2P, CC12M"]
    hours = reproduce.hours(cc12m, speed)
    assert hours == {"train": pytest.approx(768 * 11000 / 20 / 3600), "edit": pytest.approx((1053 + 518) * 2 / 3600)}
    (curve,) = (result for name, result in found.items() if "curve" in name)
    assert reproduce.hours(curve, speed) == {"edit": pytest.approx(4 * 5000 * 7 * 2 / 3600)}
    (by_steps,) = (result for name, result in found.items() if "Step" in name)
    assert reproduce.hours(by_steps, speed) == {"edit": pytest.approx(1571 * 0.7 * 2 / 3600)}
    assert speed["train, exact"].source == "measured: train sd15 256 whole exact, compiled, batch 16"
    assert not speed["train, lean"].measured and "estimate" in speed["train, lean"].source  # another device's


def test_metrics_are_counted_where_they_were_measured(reproduce):
    metrics = {"what": "metrics vit-b-32 + dino-s16", "mode": "eager", "batch": 32, "pictures_per_second": 100.0}
    gpu = {"device": "this", "torch": "t", "rows": [*ROWS, metrics]}
    speed = reproduce.speeds(gpu)
    result = next(result for result in reproduce.results() if "InstructPix2Pix" in result.needs)
    assert reproduce.hours(result, speed)["metrics"] == pytest.approx(1571 / 100 / 3600)
    assert "not counted" in reproduce.markdown(gpu | {"rows": ROWS}) and "not counted" not in reproduce.markdown(gpu)


def test_nothing_measured_is_an_estimate(reproduce):
    gpu = {"device": "this", "torch": "t", "rows": []}
    assert not any(speed.measured for speed in reproduce.speeds(gpu).values())
    assert "measured: " not in reproduce.markdown(gpu)


def test_what_is_needed_is_listed(reproduce):
    for result in reproduce.results():
        assert set(result.needs) <= set(reproduce.DOWNLOADS), result.name


@pytest.mark.parametrize("verb", ["data", "train", "evaluate", "study"])
def test_commands_are_commands(reproduce, verb):
    commands = [shlex.split(command) for result in reproduce.results() for command in result.commands]
    assert {program for program, *_ in commands} == {"uip2p"}
    of_verb = [rest for _, own, *rest in commands if own == verb]
    assert of_verb
    for rest in of_verb:
        parser = argparse.ArgumentParser(prog=f"uip2p {verb}")
        importlib.import_module(VERBS[verb][0]).add_arguments(parser)
        args = parser.parse_args(rest)
        if verb == "train":
            read_recipe(args.recipe, args.overrides)


@pytest.mark.parametrize("content", ["{", "[]", '{"rows": [{"what": "x"}], "device": "d", "torch": "t"}'])
def test_a_broken_file_is_named(reproduce, tmp_path, content):
    (tmp_path / "gpu.json").write_text(content)
    with pytest.raises(UserError, match=r"gpu\.json"):
        reproduce.read_gpu(tmp_path / "gpu.json")
    with pytest.raises(UserError, match="cannot be read"):
        reproduce.read_gpu(tmp_path / "absent.json")
