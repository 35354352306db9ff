"""A tiny comparison from nothing to its table: killed in the middle, gone on with, and not done twice."""

import gzip
import json
import os
import signal
import statistics
import threading
import time

import pytest
from PIL import Image

from uip2p.cli import main
from uip2p.compare import evaluation
from uip2p.compare.config import load_comparison
from uip2p.compare.training import trainings
from uip2p.evaluate.quick import evaluate_scenes
from uip2p.learning.journal import Journal

FILES = {"results.json", "table.md", "cases.jsonl.gz", "steps.png", "trade-off.png", "guidance.png", "samples.png"}


def comparison(path, *more, jobs=2):
    out = path.parent / "results"
    return main(["compare", str(path), "--out", str(out), "--jobs", str(jobs), *map(str, more)]), out


def signal_when(condition):
    """SIGTERM to this process as soon as condition() holds."""

    def watch():
        while not condition():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def test_from_nothing_to_the_table(tiny_comparison, capsys, monkeypatch):
    root = tiny_comparison.parent / "root"
    runs = [root / "rows" / name for name in ("supervised-clean/seed-1", "uip2p-full/seed-1", "uip2p-full/seed-2")]

    assert comparison(tiny_comparison, "--dry-run")[0] == 0
    printed = capsys.readouterr().out
    assert "1 to do, 2 to do" in printed and "48" in printed and "first, for all" not in printed

    first, _, last = trainings(load_comparison(str(tiny_comparison)), load_comparison(str(tiny_comparison)).rows)
    assert main(list(first.command[3:])) == 0, "a row can be trained by hand"
    signal_when(lambda: bool(Journal.read(runs[1] / "metrics.jsonl")))
    assert comparison(tiny_comparison, jobs=1)[0] == 130
    assert (runs[1] / "checkpoints").is_dir() and not runs[2].exists(), "it saves, and nothing new begins"
    assert main(list(last.command[3:])) == 0  # by hand too: a process takes seconds to start
    capsys.readouterr()

    code, out = comparison(tiny_comparison)
    assert code == 0, capsys.readouterr().err
    assert {path.name for path in out.iterdir()} == FILES
    log = (runs[1] / "train.log").read_text()
    assert log.count("study-cycle.toml:") == 2 and "going on from step" in log
    for run, recipe, seed in zip(runs, ("paired", "cycle", "cycle"), (1, 1, 2), strict=True):
        config = json.loads((run / "config.json").read_text())
        assert config["train"]["seed"] == seed and config["recipe"]["data"]["seed"] == 40 + seed
        assert config["recipe"]["objective"] == recipe and json.loads((run / "finished.json").read_text())["step"] == 24

    results = json.loads((out / "results.json").read_text())
    check_results(results, root)
    table = (out / "table.md").read_text()
    for text in ("copy-input", "best possible", "UIP2P (full)", "±", "Three turns", "composition", "Image guidance"):
        assert text in table
    check_differences(results, table)
    assert all(Image.open(out / name).size[0] > 1000 for name in FILES if name.endswith("png"))

    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    written = {path.name: path.read_bytes() for path in out.iterdir()}
    monkeypatch.setattr(evaluation, "evaluate_scenes", None)  # what is known is not made again
    monkeypatch.setattr("subprocess.Popen.__init__", None)
    monkeypatch.setattr("uip2p.compare.results.commit", lambda: results["commit"])
    assert comparison(tiny_comparison)[0] == 0
    assert before == {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert written == {path.name: path.read_bytes() for path in out.iterdir()}


def check_differences(results, table):
    assert list(results["against"]) == ["UIP2P (full)"]
    clean, full = (row["test"]["three-turn"]["all"] for row in results["rows"])
    difference, low, high = results["against"]["UIP2P (full)"]["three-turn"]["all"]["l1"]
    assert difference == pytest.approx(full["l1"]["mean"] - clean["l1"]["mean"], abs=1e-5) and low <= difference <= high
    assert "Difference to “supervised, clean”" in table and f"{difference:+.4f} ({low:+.4f} to {high:+.4f})" in table


def check_results(results, root):
    """The figures are those of evaluate_scenes, with each row's own best settings, over its seeds."""
    supervised, full = results["rows"]
    assert (supervised["seeds"], full["seeds"], full["samples"]) == ([1], [1, 2], 48)
    for row in results["rows"]:
        values = [each["figures"]["direction"] for each in row["sweep"]]
        best = row["sweep"][values.index(max(values))]
        assert len(values) == 4 and row["validation"]["direction"] == max(values)
        assert row["chosen"] == {name: best[name] for name in row["chosen"]}
    direct = evaluate_scenes(
        root / "rows/uip2p-full/seed-2/model", seed=6, count=9, session_count=2, judge=root / "judge/model",
        steps=full["chosen"]["steps"], guidance=full["chosen"]["guidance_scale"],
        image_guidance=full["chosen"]["image_guidance_scale"], progress=False,
    )["summary"]  # fmt: skip
    for turns in ("single-turn", "three-turn"):
        for figure, spread in full["test"][turns]["all"].items():
            assert spread["values"][1] == pytest.approx(direct[turns]["all"]["model"][figure], abs=1e-4), figure
    l1 = full["test"]["single-turn"]["all"]["l1"]
    assert l1["mean"] == pytest.approx(statistics.fmean(l1["values"])) and l1["sd"] == statistics.stdev(l1["values"])
    assert supervised["test"]["single-turn"]["all"]["l1"]["sd"] is None and supervised["curves"] == {}
    assert {split: full[split]["single-turn"]["count"] for split in ("composition", "language")} == {
        "composition": 4,
        "language": 5,
    }
    xs = {curve: [point["x"] for point in points] for curve, points in full["curves"].items()}
    assert xs == {
        "steps": [1, 3],
        "guidance_scale": [1.0, 3.0],
        "image_guidance_scale": [1.0, 2.0],
        "samples": [24, 48],
    }
    assert all(len(p["figures"]["l1"]["values"]) == 1 for points in full["curves"].values() for p in points)
    copied = results["references"]["copy-input"]["test"]["single-turn"]["all"]
    assert copied["inside"]["mean"] == 1 and copied["outside"]["mean"] == 0
    lines = gzip.decompress((root.parent / "results/cases.jsonl.gz").read_bytes()).decode().splitlines()
    cases = [json.loads(line) for line in lines]
    assert len(cases) == 3 * (9 + 2 + 4 + 5)
    own = [c["l1"] for c in cases if c["row"] == "UIP2P (full)" and c["seed"] == 1 and c["turns"] == "single-turn"
           and c["split"] == "test"]  # fmt: skip
    assert statistics.fmean(own) == pytest.approx(l1["values"][0], rel=1e-4)
