"""The suite on a tiny untrained editor: what is measured, what is kept, and what must not be mixed up."""

import json
import shutil

import numpy as np
import pytest
import torch

from uip2p.cli import main
from uip2p.editing.editor import Editor
from uip2p.errors import UserError
from uip2p.evaluate.cases import scene_cases
from uip2p.evaluate.measure import measure_outputs
from uip2p.evaluate.reversibility import evaluate_reversibility, weights_of
from uip2p.evaluate.rows import noise_seed
from uip2p.models.clip import ClipConfig, build_clip, load_clip
from uip2p.models.settings import load_settings
from uip2p.models.tokenizer import build_tokenizer
from uip2p.scenes.language import vocabulary
from uip2p.scenes.world import World

SIZE = 32


@pytest.fixture(scope="session")
def selector(tmp_path_factory):
    """An encoder that is not the judge."""
    torch.manual_seed(5)
    config = ClipConfig(SIZE, width=16, layers=1, heads=2, text_width=16, text_layers=1, text_heads=2, embedding=16)
    folder = tmp_path_factory.mktemp("models") / "selector"
    build_clip(config, build_tokenizer(vocabulary())).save(folder)
    return folder


def evaluate(model, selector, **changes):
    options = {"clip": selector, "seed": 3, "count": 9, "several": 2, "progress": False}
    return evaluate_reversibility(model, **{**options, **changes})


@pytest.fixture(scope="module")
def result(world_model, judge, selector):
    return evaluate(world_model, selector, judge=judge)


def test_a_row_is_what_the_editor_says_and_what_the_oracle_says(world_model, judge, selector, result):
    assert [row["kind"] for row in result["rows"]] == list(World(3).kinds)
    editor, cases = Editor.from_pretrained(world_model), list(scene_cases(World(3, "test", SIZE), 9))
    for row, case in list(zip(result["rows"], cases, strict=True))[:4]:
        drawn, seed = case.draw(), noise_seed(3, case.name, 0)
        assert [one["seed"] for one in row["candidates"]] == [seed, seed + 1]
        (edited,) = editor.edit(drawn.source, case.instructions[0], seed=seed, best_of=2, clip=selector)
        for one, check in zip(row["candidates"], edited.candidates, strict=True):
            for name in ("reversibility", "direction", "score"):
                assert one[name] == pytest.approx(getattr(check, name), abs=0.02)
        assert row["reverse_instruction"] == edited.check.reverse_instruction
        assert row["guessed"] == edited.check.guessed
        picture = np.asarray(editor(drawn.source, case.instructions[0], seed=seed))
        measured = measure_outputs(picture[None], [case], [drawn], load_clip(judge))[0]
        assert {name: row["candidates"][0][name] for name in ("success", "halfway", "judge_success")} == {
            name: measured[name] for name in ("success", "halfway", "judge_success")}  # fmt: skip


def test_captions_leave_less_to_guess(world_model, selector, result):
    told = evaluate(world_model, selector, captions=True)
    guessed = {row["kind"]: set(row["guessed"]) for row in told["rows"]}
    assert all(not about or kind == "remove" for kind, about in guessed.items())
    assert any("colour" in about for row in result["rows"] for about in row["guessed"])
    assert told["settings"]["captions"] and not result["settings"]["captions"]


def test_a_stopped_run_goes_on_and_other_settings_start_anew(
    world_model, judge, selector, result, tmp_path, monkeypatch
):
    rows = tmp_path / "rows.jsonl"
    evaluate(world_model, selector, judge=judge, count=6, rows_jsonl=rows, batch_size=4)
    lines = rows.read_text().splitlines(keepends=True)
    rows.write_text("".join(lines[:4]) + lines[4][:40])  # killed while the fifth row was written
    edited, edit = [], Editor.edit

    def counted(self, images, *args, **options):
        edited.extend(images)
        return edit(self, images, *args, **options)

    monkeypatch.setattr(Editor, "edit", counted)
    resumed = evaluate(world_model, selector, judge=judge, rows_jsonl=rows)
    assert len(edited) == (9 - 4) * 2 * 2  # two candidates, there and back
    for row, own in zip(resumed["rows"], result["rows"], strict=True):
        assert row["case"] == own["case"]
        assert [c["score"] for c in row["candidates"]] == pytest.approx(
            [c["score"] for c in own["candidates"]], abs=0.02
        )
    evaluate(world_model, selector, judge=judge, rows_jsonl=rows)
    assert len(edited) == 20
    evaluate(world_model, selector, judge=judge, rows_jsonl=rows, captions=True, count=1)
    assert len(edited) == 24


def test_the_encoder_must_not_judge_itself(world_model, judge, selector, tmp_path):
    copy = shutil.copytree(judge, tmp_path / "renamed")  # by its weights, not by its name
    with pytest.raises(UserError, match="cannot judge its own choice"):
        evaluate(world_model, copy, judge=judge)


def test_calibration_is_written_beside_the_model_and_used(world_model, judge, selector, tmp_path, capsys):
    model = shutil.copytree(world_model, tmp_path / "model")
    out, weights = tmp_path / "out.json", weights_of(model)
    common = ["evaluate", "--suite", "reversibility", "--model", model, "--clip", selector, "--judge", judge]
    common = [str(each) for each in (*common, "--candidates", 4, "--seed", 3)]
    assert main([*common, "--split", "validation", "--count", "9", "--calibrate", "--json", str(out)]) == 0
    printed = capsys.readouterr().out
    settings = load_settings(model)
    assert 0 < settings.likely_failed_below <= 1  # an untrained editor fails: all of it is flagged
    assert f"likely_failed_below is now {settings.likely_failed_below:.4f}" in printed and "9 cases" in printed
    assert settings.about["likely_failed"]["split"] == "validation" and settings.steps == 2
    assert weights_of(model) == weights  # and so no row has to be made again
    saved = json.loads(out.read_text())
    assert saved["summary"]["alarm"]["below"] == settings.likely_failed_below and "rows" not in saved
    assert len(out.with_suffix(".jsonl").read_text().splitlines()) == 9
    assert main([*common, "--count", "2"]) == 0  # on test: how good is that threshold?
    assert f"likely failed (score below {settings.likely_failed_below:.3f})" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--suite", "reversibility", "--calibrate"], "--calibrate on split 'test' would fit what is to be tested"),
        (["--suite", "scenes", "--with-captions"], "--with-captions is for --suite reversibility, not scenes"),
        (["--suite", "reversibility", "--candidates", "0"], "--candidates is 0"),
        (["--suite", "reversibility", "--pictures", "x"], "--pictures is for the suites scenes and photos"),
        (["--suite", "reversibility"], "names none: give a CLIPModel folder"),
    ],
)
def test_wrong_calls(world_model, capsys, args, message):
    assert main(["evaluate", "--model", str(world_model), *args]) == 2
    assert message in capsys.readouterr().err
