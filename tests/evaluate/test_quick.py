"""The whole suite on a tiny untrained editor: what an evaluation must be able to promise."""

import json
from dataclasses import replace

import numpy as np
import pytest

from uip2p.cli import main
from uip2p.editing.editor import Editor
from uip2p.errors import UserError
from uip2p.evaluate import quick
from uip2p.evaluate.cases import suite_cases
from uip2p.evaluate.command import draw_pictures, inside, ranked
from uip2p.evaluate.measure import measure_outputs
from uip2p.evaluate.quick import edit_cases, evaluate_scenes, round_trip, sampling_settings, score
from uip2p.evaluate.rows import digest, noise_seed
from uip2p.evaluate.scene_tables import summarise
from uip2p.images import to_tensor, to_uint8
from uip2p.models.clip import load_clip


def cases_and_answers(count=9, sessions=2):
    cases = suite_cases("scenes", "test", 3, count, sessions, 32)
    return cases, [case.draw() for case in cases]


def evaluate(world_model, judge, **changes):
    options = {"seed": 3, "count": 9, "session_count": 2, "batch_size": 4, "progress": False}
    return evaluate_scenes(world_model, judge=judge, **{**options, **changes})


@pytest.fixture(scope="module")
def result(world_model, judge):
    return evaluate(world_model, judge)


def test_rows_beside_the_model(result):
    for part in result["summary"].values():
        for table in (part["all"], part.get("appendix", part["all"])):
            assert table["copy-input"]["inside"] == 1 and table["copy-input"]["outside"] == 0
            assert all(table["copy-input"][name] == 0 for name in ("direction", "success", "score"))
            assert table["round trip"]["outside_ratio"] == 1
    assert set(result["summary"]) == {"single-turn", "three-turn"}
    assert len(result["summary"]["single-turn"]["kinds"]) == 9
    assert [sample["case"] for sample in result["samples"]] == [case.name for case in cases_and_answers()[0]]


def test_round_trip_is_the_autoencoder_and_nothing_else(world_model):
    editor, (_, answers) = Editor.from_pretrained(world_model), cases_and_answers(3, 0)
    picture = answers[0].source
    latent = editor.vae.encode(to_tensor(picture)[None]).latent_dist.mode()
    assert np.array_equal(round_trip(editor, picture[None])[0], to_uint8(editor.vae.decode(latent).sample)[0])


def test_batch_size_and_order_change_nothing(world_model, judge, result):
    alone = evaluate(world_model, judge, batch_size=1)
    editor, (cases, _) = Editor.from_pretrained(world_model), cases_and_answers()
    turned = score(editor, load_clip(judge), cases[::-1], result["settings"], 8, None, progress=False)
    for other in (alone["samples"], turned[::-1]):
        for a, b in zip(result["samples"], other, strict=True):
            for row in a["rows"]:
                # a pixel may round the other way: 1/255 of one channel in 32 × 32
                assert a["rows"][row] == pytest.approx(b["rows"][row], abs=2e-2, rel=1e-4), (a["case"], row)


def test_three_turns_edit_the_editors_own_output(world_model):
    editor, (cases, answers) = Editor.from_pretrained(world_model), cases_and_answers(0, 1)
    settings = sampling_settings(editor, 3)
    whole = edit_cases(editor, cases, answers[0].source[None], settings)
    first_two = replace(cases[0], instructions=cases[0].instructions[:2])
    two = edit_cases(editor, [first_two], answers[0].source[None], settings)
    third = editor(two[0], cases[0].instructions[2], seed=noise_seed(3, cases[0].name, 2))
    assert not np.array_equal(whole, two) and np.array_equal(whole[0], np.asarray(third))


def test_noise_seed_matters(world_model, judge, result):
    editor, (cases, _) = Editor.from_pretrained(world_model), cases_and_answers(3, 0)
    other = score(editor, None, cases, {**result["settings"], "seed": 4}, 8, None, progress=False)
    assert other[0]["rows"]["model"]["l1"] != result["samples"][0]["rows"]["model"]["l1"]


def test_a_stopped_run_goes_on_where_its_rows_end(world_model, judge, result, tmp_path, monkeypatch):
    rows, out = tmp_path / "rows.jsonl", tmp_path / "result.json"
    evaluate(world_model, judge, count=5, session_count=0, rows_jsonl=rows)
    lines = rows.read_text().splitlines(keepends=True)
    rows.write_text("".join(lines[:4]) + lines[4][:50])  # killed while the fifth row was written
    edited = []
    call = Editor.__call__

    def counted(self, images, *args, **options):
        edited.extend(images)
        return call(self, images, *args, **options)

    monkeypatch.setattr(Editor, "__call__", counted)
    resumed = evaluate(world_model, judge, rows_jsonl=rows, out_json=out)
    assert len(edited) == (9 - 4) + 3 * 2  # none of the four whole rows was made again
    assert summarise(resumed["samples"]) == resumed["summary"]
    for turns, part in result["summary"].items():
        for row, figures in part["all"].items():
            assert resumed["summary"][turns]["all"][row] == pytest.approx(figures, rel=1e-3)
    again = evaluate(world_model, judge, rows_jsonl=rows)
    assert len(edited) == 11 and again["summary"] == resumed["summary"]
    saved = json.loads(out.read_text())
    assert saved["summary"] == resumed["summary"] and "samples" not in saved
    assert {"command", "commit", "settings", "versions", "preprocessing", "model", "measurements"} <= set(saved)
    evaluate(world_model, judge, rows_jsonl=rows, steps=1, count=2, session_count=0)
    assert len(edited) == 13  # other settings: nothing of the old rows is used
    monkeypatch.setattr(quick, "MEASUREMENTS", quick.MEASUREMENTS + 1)
    evaluate(world_model, judge, rows_jsonl=rows, count=2, session_count=0)
    assert len(edited) == 15  # measured otherwise: neither


def test_rows_from_before_the_oracles_have_no_say(world_model, judge, result, tmp_path):
    """Rows as they were written before there were versions of the measurements: the same key but for that."""
    rows, case = tmp_path / "rows.jsonl", cases_and_answers(1, 0)[0][0]
    key = digest({**result["settings"], "case": case.digest(case.draw())})
    old = json.loads(json.dumps({**result["samples"][0], "key": key}))
    for row in old["rows"].values():
        del row["halfway"], row["judge_success"]
    rows.write_text(json.dumps(old) + "\n")
    again = evaluate(world_model, judge, rows_jsonl=rows, count=1, session_count=0)
    assert set(again["samples"][0]["rows"]["model"]) >= {"halfway", "judge_success"}
    assert len(rows.read_text().splitlines()) == 2


@pytest.mark.parametrize("split", ["composition", "language"])
def test_other_splits_sessions_and_all(world_model, judge, split):
    result = evaluate(world_model, judge, split=split, count=3, session_count=2)
    assert result["summary"]["three-turn"]["count"] == 2
    third = "replace" if split == "composition" else "remove"
    assert list(result["summary"]["single-turn"]["kinds"]) == ["color", "add", third]


def test_photographs_in_six_tones(world_model, judge):
    result = evaluate(world_model, judge, suite="photos", count=6)
    part = result["summary"]["single-turn"]
    assert list(result["summary"]) == ["single-turn"] and len(part["kinds"]) == 6
    assert part["all"]["copy-input"]["inside"] == 1


def test_command_writes_what_it_says(world_model, judge, tmp_path, capsys):
    out, pictures = tmp_path / "out.json", tmp_path / "pictures"
    arguments = ["--model", world_model, "--judge", judge, "--json", out, "--pictures", pictures]
    assert main(["evaluate", *map(str, arguments), "--count", "9", "--sessions", "1"]) == 0
    printed = capsys.readouterr().out
    assert "copy-input" in printed and "best possible" in printed and "three-turn" in printed
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 10
    assert len(list(pictures.glob("*.png"))) == 10


def test_pictures_are_chosen_by_rank(result):
    chosen = ranked([sample for sample in result["samples"] if sample["turns"] == "single-turn"])
    errors = [inside(sample) for sample in chosen.values()]
    every = [inside(sample) for sample in result["samples"] if sample["turns"] == "single-turn"]
    assert errors == sorted(errors) and errors[0] == min(every) and errors[-1] == max(every)


def test_bad_input_is_a_clear_error(world_model, judge, tmp_path, capsys):
    for arguments, expected in (
        (["--model", tmp_path], "model_index.json"),
        (["--model", world_model, "--split", "holiday"], "holiday"),
        (["--model", world_model, "--judge", tmp_path], "not a CLIP folder"),
        (["--model", world_model, "--count", "0"], "--count"),
        (["--model", world_model, "--json", tmp_path / "nowhere" / "x.json"], "does not exist"),
    ):
        assert main(["evaluate", *map(str, arguments)]) == 2
        assert expected in capsys.readouterr().err
    with pytest.raises(UserError, match="no suite"):
        suite_cases("movies", "test", 0, 1, 1, 32)


def test_drawn_pictures_are_the_measured_ones(world_model, result, tmp_path):
    """The edits are made again for the grids: they must be those that were measured."""
    editor, (cases, answers) = Editor.from_pretrained(world_model), cases_and_answers()
    remade = edit_cases(editor, cases[:2], np.stack([a.source for a in answers[:2]]), result["settings"])
    for row, sample in zip(measure_outputs(remade, cases[:2], answers[:2], None), result["samples"][:2], strict=True):
        assert row["l1"] == pytest.approx(sample["rows"]["model"]["l1"], rel=1e-3)
    assert draw_pictures(editor, cases, result["samples"][:2], result["settings"], tmp_path)[0].stat().st_size > 1000
