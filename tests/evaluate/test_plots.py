"""What the plots show is what the run holds."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from uip2p.evaluate import plots
from uip2p.evaluate.runs import Run
from uip2p.evaluate.statistics import Difference


def figure(mean, spread=0.02):
    return {"mean": mean, "low": mean - spread, "high": mean + 2 * spread}


def row(name, model="", x=None, baseline=False):
    return {"name": name, "model": model, "x": x, "baseline": baseline}


@pytest.fixture
def run():
    """Two models at three places, out of order, and a row that is nobody's work."""
    rows = [row("copy-input", baseline=True)]
    summary = {"copy-input": {"direction": figure(0, 0), "image_similarity": figure(1, 0)}}
    for number, model in enumerate(("a", "b")):
        for x in (2.2, 1.0, 1.6):
            rows.append(row(f"{model} {x}", model, x))
            summary[f"{model} {x}"] = {
                "direction": figure(0.1 * number + 0.2 / x), "image_similarity": figure(0.7 + 0.1 * x),
            }  # fmt: skip
    return Run(Path("nowhere"), {"rows": rows, "summary": {"all": summary}}, {}, {})


@pytest.fixture
def drawn(monkeypatch):
    """The panels of what is drawn, before it is saved."""
    kept = []
    save = plots._save

    def keep(picture, panels, path, **options):
        kept[:] = panels
        return save(picture, panels, path, **options)

    monkeypatch.setattr(plots, "_save", keep)
    return kept


AXES = [("direction", "image_similarity", "")]
PUBLISHED = {"theirs": ((0.05, 0.95), (0.15, 0.8))}


def test_the_trade_off(run, drawn, tmp_path):
    path = plots.trade_off(run, "all", AXES, PUBLISHED, "s_I", tmp_path / "curve.png")
    (panel,) = drawn
    lines = {line.get_label(): line for line in panel.get_lines()}
    theirs = lines["theirs: published, digitised end points"]
    assert theirs.get_xydata().tolist() == [[0.05, 0.95], [0.15, 0.8]] and theirs.get_linestyle() == "--"
    bars = {container.get_label(): container for container in panel.containers}
    for number, model in enumerate(("a", "b")):
        data, _, (across, up) = bars[model]
        x = np.array([1.0, 1.6, 2.2])
        assert np.allclose(data.get_xydata(), np.stack([0.1 * number + 0.2 / x, 0.7 + 0.1 * x], axis=1))
        assert data.get_zorder() > theirs.get_zorder()
        ends = np.array(across.get_segments())[:, :, 0] - data.get_xdata()[:, None]
        assert np.allclose(ends, [-0.02, 0.04])
        assert np.allclose(np.array(up.get_segments())[:, :, 1] - data.get_ydata()[:, None], [-0.02, 0.04])
    assert lines["copy-input"].get_xydata().tolist() == [[0, 1]]
    assert [text.get_text() for text in panel.texts] == ["1", "2.2", "1", "2.2"]
    again = plots.trade_off(run, "all", AXES, PUBLISHED, "s_I", tmp_path / "again.png")
    assert path.read_bytes() == again.read_bytes() and np.asarray(Image.open(path)).std() > 5


def test_a_curve_that_stands_still_has_one_label(run, drawn, tmp_path):
    for name, figures in run.info["summary"]["all"].items():
        if name.startswith("a"):
            figures |= {"direction": figure(0.3), "image_similarity": figure(0.9)}
    plots.trade_off(run, "all", AXES, {}, "s_I", tmp_path / "curve.png")
    assert [text.get_text() for text in drawn[0].texts] == ["1 to 2.2", "1", "2.2"]


def test_against_steps(run, drawn, tmp_path):
    summary = run.info["summary"]["all"]
    del summary["b 1.6"]["direction"]
    summary["a 1.0"]["direction"] |= {"low": None, "high": None}
    summary["a 1.6"]["direction"] |= {"low": float("nan"), "high": float("nan")}
    plots.against_x(run, "all", ["direction", "image_similarity"], "sampling steps", tmp_path / "steps.png")
    first = {container.get_label(): container for container in drawn[0].containers}
    assert first["a"][0].get_xdata().tolist() == [1.0, 1.6, 2.2] and first["b"][0].get_xdata().tolist() == [1.0, 2.2]
    heights = np.ptp(np.array(first["a"][2][0].get_segments())[:, :, 1], axis=1)
    assert np.allclose(heights, [0, 0, 0.06])
    levels = [line.get_ydata()[0] for line in drawn[1].get_lines() if line.get_label() == "copy-input"]
    assert levels == [1.0]
    assert drawn[0].get_xscale() == "log"
    assert [label.get_text() for label in drawn[0].get_xticklabels()] == ["1", "1.6", "2.2"]


def test_changes(drawn, tmp_path):
    found = {
        "a → b": {"l1": Difference(-0.02, -0.03, -0.01, 0.001, 90), "clip_t": Difference(0.0, -0.01, 0.02, 0.9, 90)},
        "b → c": {"l1": Difference(0.01, 0.004, 0.02, 0.01, 90)},
    }
    plots.changes(found, {"a → b": {"l1": -0.028}}, tmp_path / "changes.png")
    assert [panel.get_title(loc="left") for panel in drawn] == ["change of L1 ↓", "change of CLIP-T ↑"]
    dots = [container[0] for container in drawn[0].containers]
    assert [dot.get_ydata()[0] for dot in dots] == [-0.02, 0.01]
    assert all(dot.get_markerfacecolor() == plots.COLOURS[0] for dot in dots)
    assert drawn[1].containers[0][0].get_markerfacecolor() == "white"  # inside the noise
    assert any(line.get_label() == "published" and line.get_ydata()[0] == -0.028 for line in drawn[0].get_lines())
    (below,), (above,) = drawn[0].patches, drawn[1].patches  # the better sides
    assert below.get_y() < 0 and below.get_y() + below.get_height() == pytest.approx(0)
    assert above.get_y() == 0 and above.get_height() > 0


def test_models_are_told_apart():
    looks = [tuple((plots.style(n)[key]) for key in ("color", "linestyle", "marker")) for n in range(14)]
    assert len(set(looks)) == 14
