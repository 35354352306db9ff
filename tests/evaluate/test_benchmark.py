"""`uip2p evaluate --out RUN`, from the command line to the folder."""

import json

import pytest

from uip2p.cli import main
from uip2p.errors import UserError
from uip2p.evaluate.asking import Sampling
from uip2p.evaluate.benchmark import rows_of
from uip2p.evaluate.command import shipped_judge
from uip2p.evaluate.editors import open_editor
from uip2p.evaluate.quick import evaluate_scenes
from uip2p.evaluate.runs import load_run
from uip2p.evaluate.scene_tables import summarise
from uip2p.evaluate.suites.magicbrush import SAMPLING, MagicBrush
from uip2p.evaluate.suites.scenes import samples

SCENES = ["evaluate", "--suite", "scenes", "--count", "4", "--sessions", "1", "--seed", "4", "--steps", "1"]


def said(capsys, *options: str) -> str:
    assert main(["evaluate", *options]) == 2
    return capsys.readouterr().err


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    assert main([*SCENES, "--out", str(out), "--model", "ours=mini"]) == 0
    return load_run(out)


def test_a_run_of_scenes_is_what_the_quick_figures_say(run):
    """Same cases, same noise, same measure: two ways to the same numbers, but for what batches round (1 of 255)."""
    quick = evaluate_scenes("mini", seed=4, count=4, session_count=1, steps=1, judge=shipped_judge(), progress=False)
    ours = samples(run, "ours")
    assert [sample["case"].partition("/")[0] for sample in ours] == [sample["case"] for sample in quick["samples"]]
    for one, other in zip(ours, quick["samples"], strict=True):
        for row, figures in other["rows"].items():
            if row == "round trip" and one["turns"] == "three-turn":
                continue  # here through the autoencoder at every turn, as an editor goes; there once
            assert one["rows"][row] == pytest.approx(figures, rel=1e-3, abs=1e-3), (other["case"], row)
    assert summarise(ours).keys() == quick["summary"].keys()


def test_the_summary_adds_up_as_the_scenes_own_tables_do(run):
    found = run.info["summary"]["single-turn"]["ours"]
    own = summarise(samples(run, "ours"))["single-turn"]["all"]["model"]
    for figure in ("l1", "l2", "clip_i", "clip_t", "direction", "success", "halfway", "outside"):
        assert found[figure]["mean"] == pytest.approx(own[figure]), figure
    sums = [figures for turn, figures in run.rows["ours"][4].items() if "/" not in turn]
    inside = sum(row["inside_sum"] for row in sums) / sum(row["wanted_sum"] for row in sums)
    assert found["inside"]["mean"] == pytest.approx(inside)
    assert run.info["summary"]["single-turn"]["copy-input"]["inside"]["mean"] == 1
    assert run.info["summary"]["single-turn"]["ceiling"]["inside"]["mean"] < 0.2


def test_what_was_done_stands_beside_the_figures(run):
    info = run.info
    assert info["state"] == "done" and info["suite"] == "scenes" and info["machine"] and info["commit"]
    assert [row["name"] for row in info["rows"]] == ["copy-input", "round trip", "ceiling", "ours"]
    editor = info["rows"][-1]["editor"]
    assert editor["sampling"]["steps"] == 1 and editor["sampling"]["guidance_scale"] > 0
    assert info["seconds"]["ours"] > 0
    assert (run.folder / "table.md").is_file() and (run.folder / "scenes.json").is_file()


def test_the_same_command_measures_nothing_twice(run, capsys):
    before = {path: path.read_bytes() for path in run.folder.rglob("*.jsonl")}
    assert main([*SCENES, "--out", str(run.folder), "--model", "ours=mini"]) == 0
    assert {path: path.read_bytes() for path in run.folder.rglob("*.jsonl")} == before
    printed = capsys.readouterr().out
    l1 = run.info["summary"]["single-turn"]["ours"]["l1"]["mean"]
    line = next(line for line in printed.splitlines() if line.startswith("ours  "))
    assert line.split()[1] == f"{l1:.4f}" and "uip2p report" in printed


def test_outputs_made_elsewhere_stand_in_the_same_table(run, tmp_path):
    elsewhere = run.folder / "ours" / "seed-4"
    assert main([*SCENES[:-2], "--out", str(tmp_path / "run"), "--model", f"theirs=folder:{elsewhere}",
                 "--autoencoder", "mini"]) == 0  # fmt: skip
    assert load_run(tmp_path / "run").rows["theirs"] == run.rows["ours"]


def test_outputs_that_are_missing_are_said_before_anything_is_done(run, tmp_path, capsys):
    (tmp_path / "some").mkdir()
    (tmp_path / "some/color-0.png").write_bytes(run.output("ours", "color-0").read_bytes())
    options = ["--seed", "4", "--count", "4", "--sessions", "1", "--out", str(tmp_path / "run")]
    assert "6 of 7 outputs are missing" in said(capsys, *options, "--model", f"folder:{tmp_path / 'some'}")
    assert not (tmp_path / "run").exists()


def test_outputs_alone_have_no_round_trip_and_their_table(run, tmp_path, capsys):
    elsewhere, out = run.folder / "ours" / "seed-4", tmp_path / "run of ünser"
    assert main([*SCENES[:-2], "--out", str(out), "--model", f"theirs=folder:{elsewhere}"]) == 0
    said = capsys.readouterr()
    assert "without the row 'round trip'" in said.err and f"uip2p report '{out}'" in said.out
    assert list(load_run(out).rows) == ["copy-input", "theirs"] and not (out / "scenes.json").exists()


def test_a_folder_that_cannot_be_is_an_error_and_no_traceback(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert f"error: {tmp_path / 'file'}" in said(capsys, *SCENES[1:], "--out", str(tmp_path / "file"))


def test_figures_say_what_they_were_computed_with(run):
    known = run.info["metrics"]
    assert run.info["summary"]["single-turn"]["ours"].keys() <= known.keys()
    assert known["clip_t"]["captions"] and known["clip_i"]["backbone"].startswith("clip-judge@")
    assert "l1" not in known["not measured"] and "dino" in known["not measured"]


def test_options_that_would_be_ignored_are_errors(capsys, tmp_path):
    out = str(tmp_path / "run")
    assert "--shard is for a run's folder" in said(capsys, "--shard", "0/2")
    assert "--metrics is for a run's folder" in said(capsys, "--suite", "clip", "--metrics", "l1")
    assert "--scales is for suite ip2p, not scenes" in said(capsys, "--out", out, "--scales", "1")
    assert "--size is for suite" in said(capsys, "--suite", "magicbrush", "--size", "64", "--out", out)
    assert "--limit is for suite magicbrush, not steps --on scenes" in said(
        capsys, "--suite", "steps", "--limit", "3", "--out", out
    )
    assert "--count is for suite clip or photos or reversibility or scenes, not ip2p" in said(
        capsys, "--suite", "ip2p", "--count", "9", "--out", out
    )
    assert "--sessions is for suite photos or scenes, not steps --on magicbrush" in said(
        capsys, "--suite", "steps", "--on", "magicbrush", "--sessions", "9", "--out", out
    )
    assert "--photos is for suite photos, not scenes" in said(capsys, "--photos", str(tmp_path))
    assert "--json goes without --out" in said(capsys, "--out", out, "--json", str(tmp_path / "a.json"))
    assert "writes a run's folder: give --out" in said(capsys, "--suite", "magicbrush")
    assert "writes no run's folder" in said(capsys, "--suite", "clip", "--out", out)
    assert "rows of a table need a run's folder" in said(capsys, "--model", "mini", "--model", "b=mini")
    for option, value in (("--clip", "mini"), ("--clip-preprocessing", "ip2p")):
        told = said(capsys, "--out", out, "--count", "9", option, value)
        assert f"{option}: the suite asks for none of clip_i" in told
    assert not (tmp_path / "run").exists()


def test_the_command_line_goes_before_the_protocol():
    suite = MagicBrush(name="magicbrush", settings={}, sampling=SAMPLING, asked=())
    suite, rows = rows_of(suite, [open_editor("mini")], None, Sampling(steps=7, size=64))
    used = [row.editor.describe()["sampling"] for row in rows if row.name in ("mini", "round trip")]
    assert [each["size"] for each in used] == [64, 64]
    assert [each["steps"] for each in used] == [None, 7]  # an autoencoder has none
    assert used[1]["guidance_scale"] == 7.5
    json.dumps(used)


def test_what_an_editor_cannot_be_told(tmp_path, run):
    elsewhere = open_editor(f"theirs=folder:{run.folder / 'ours/seed-4'}")
    with pytest.raises(UserError, match="theirs: its steps cannot be set"):
        rows_of(MagicBrush(name="magicbrush", settings={}, asked=()), [elsewhere], None, Sampling(steps=7))
