"""The suite: edits that exist, a judge that looks, and the run folder that is left."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
import vlm_life
from endpoints import completion, serve
from looking import instruction_of, look, make_inputs, make_outputs, pictures_of

from uip2p.cli import main
from uip2p.errors import UserError
from uip2p.evaluate.runs import load_run

pytest.importorskip("openai")

QUICK = ["pause=0.01", "concurrency=3", "timeout=5"]
COUNT = 3


def sees(_, request):
    return look(request)


@pytest.fixture
def data(tmp_path):
    """Inputs, and outputs of three editors: one that does it all, one that does half, one that spoils the rest."""
    inputs = make_inputs(tmp_path / "inputs", COUNT)
    make_outputs(tmp_path / "good", COUNT)
    make_outputs(tmp_path / "half", COUNT, strength=0.5)
    make_outputs(tmp_path / "spoils", COUNT, damage=1.0)
    return inputs


def options(data: Path, server, *names: str, **more):
    edits = [f"{name}={data.parent.parent / name}" for name in names or ("good", "half", "spoils")]
    return {"vlm_model": "eye", "vlm_url": server.base_url, "vlm": QUICK, "inputs": data, "edits": edits} | more


def mean(run, row, figure):
    return run.info["summary"][run.groups()[0]][row][figure]["mean"]


def test_any_folder_of_edits(data, tmp_path, capsys):
    with serve(sees) as server:
        run = vlm_life.run(tmp_path / "out", **options(data, server))
    assert list(run.rows) == ["copy-input", "good", "half", "spoils"]
    assert (mean(run, "good", "execution"), mean(run, "half", "execution")) == (1.0, 0.5)
    assert mean(run, "copy-input", "execution") == 0 and mean(run, "copy-input", "consistency") == 1
    assert mean(run, "spoils", "consistency") < 0.7 < mean(run, "good", "firm") == 1
    assert len(server.requests) == 4 * COUNT + 1
    assert "in 0 of 3 the judge sees the edit" in capsys.readouterr().out
    assert load_run(tmp_path / "out").rows == run.rows
    found = json.loads((tmp_path / "out" / "judge.json").read_text())
    assert found["rows"]["half"] == {"edits": COUNT, "judged": COUNT, "unanswered": 0}
    assert found["judge"]["model"] == "eye" and "FIRM" in (tmp_path / "out" / "table.md").read_text()


def test_from_the_command_line(data, tmp_path, capsys):
    folder = data.parent.parent
    with serve(sees) as server:
        asked = ["evaluate", "--suite", "vlm", "--edits", f"half={folder / 'half'}", "--inputs", str(data),
                 "--vlm-model", "eye", "--vlm-url", server.base_url, "--vlm", "concurrency=3"]  # fmt: skip
        assert main([*asked, "--out", str(tmp_path / "out")]) == 0
    run = load_run(tmp_path / "out")
    assert list(run.rows) == ["copy-input", "half"] and mean(run, "half", "execution") == 0.5
    assert "judge eye" in capsys.readouterr().out


def test_a_second_run_asks_nothing(data, tmp_path):
    with serve(sees) as server:
        first = vlm_life.run(tmp_path / "out", **options(data, server))
        asked = len(server.requests)
        assert vlm_life.run(tmp_path / "out", **options(data, server)).rows == first.rows
        other = vlm_life.run(tmp_path / "other", **options(data, server, "half", answers=tmp_path / "out"))
        assert other.rows["half"] == first.rows["half"] and len(server.requests) == asked


def test_a_run_of_this_project(data, tmp_path):
    """Its rows, seeds, groups and kinds; the outputs of each seed are its own."""
    with serve(sees) as server:
        folder = tmp_path / "strengths"
        for seed, strength in ((0, 0.5), (1, 1.0)):
            make_outputs(folder / f"seed-{seed}", COUNT, strength=strength)
        vlm_life.run(tmp_path / "run", **options(data, server, seeds=[0, 1]) | {"edits": [f"mine={folder}"]})
    with serve(lambda _, request: look(request, 1, 5)) as server:
        again = options(data, server) | {"edits": [str(tmp_path / "run")]}
        del again["inputs"]
        run = vlm_life.run(tmp_path / "judged", **again, manner="imgedit")
    assert list(run.rows) == ["copy-input", "mine"] and run.info["seeds"] == [0, 1]
    assert {seed: turns["2"]["execution"] for seed, turns in run.rows["mine"].items()} == {0: 0.5, 1: 1.0}
    assert run.samples["2"]["kind"] == "color" and run.groups() == ["edits"]


def test_a_judge_that_does_not_look_is_found_out(data, tmp_path, capsys):
    blind = completion('{"reasoning": "lovely", "execution": 9, "consistency": 9}')
    with serve(lambda *_: blind) as server:
        vlm_life.run(tmp_path / "out", **options(data, server, "good"))
    assert "in 3 of 3 the judge sees the edit carried out" in capsys.readouterr().out


def test_what_is_not_answered_is_listed_and_left_out(data, tmp_path, capsys):
    """All that is to be green: every answer about it is a refusal."""

    def shy(_, request):
        return completion("", refusal="not this one") if "green" in instruction_of(request) else look(request)

    with serve(shy) as server:
        run = vlm_life.run(tmp_path / "out", **options(data, server, "half"))
    assert mean(run, "half", "execution") == 0.5
    assert run.info["summary"]["edits"]["half"]["execution"]["count"] == 2
    lost = [json.loads(line) for line in (tmp_path / "out" / "unanswered.jsonl").read_text().splitlines()]
    assert [(line["row"], line["turn"]) for line in lost] == [(row, "1") for row in run.rows]
    assert all(line["why"] == ["refused: not this one"] for line in lost)
    said = capsys.readouterr().out
    assert "4 of 6 edits judged" in said and "copy-input 1, half 1" in said


def test_killed_and_taken_up_again(data, tmp_path):
    """Of what is in the journal nothing is asked again: at most what was in flight, twice the calls at a time."""

    def slow(_, request):
        answer = look(request)
        answer.delay = 0.02
        return answer

    with serve(slow) as server:
        life = vlm_life.start(tmp_path / "out", **options(data, server))
        while len(server.requests) < 7 and life.is_alive():
            time.sleep(0.002)
        life.kill()
        life.join(60)
        assert life.exitcode == -signal.SIGKILL
        time.sleep(0.1)
        run = vlm_life.run(tmp_path / "out", **options(data, server))
    assert mean(run, "half", "execution") == 0.5
    asked = Counter(json.dumps([seen.tolist() for seen in pictures_of(request)]) for request in server.requests)
    examples = max(asked.values())
    assert examples == 2 and len(asked) == 4 * COUNT + 1
    assert 4 * COUNT + 2 <= len(server.requests) <= 4 * COUNT + 2 + 6  # two examples


def test_shards_share_the_edits(data, tmp_path):
    with serve(sees) as server:
        assert vlm_life.run(tmp_path / "out", **options(data, server, "half", shard="0/2")) is None
        run = vlm_life.run(tmp_path / "out", **options(data, server, "half", shard="1/2"))
    assert mean(run, "half", "execution") == 0.5 and len(server.requests) == 2 * COUNT + 2
    names = sorted(path.name for path in (tmp_path / "out").glob("scores*.jsonl"))
    assert names == ["scores.0-of-2.jsonl", "scores.1-of-2.jsonl"]


def test_ground_truth_stands_beside_where_it_is_known(data, tmp_path):
    lines = [json.loads(line) for line in data.read_text().splitlines()]
    told = (json.dumps(line | {"target": f"../good/{n}.png", "name": f"a/{n}"}) + "\n" for n, line in enumerate(lines))
    data.write_text("".join(told))
    (data.parent.parent / "named").mkdir()
    (data.parent.parent / "half").rename(data.parent.parent / "named" / "a")
    with serve(sees) as server:
        run = vlm_life.run(tmp_path / "out", **options(data, server, "named"))
    assert mean(run, "ground truth", "firm") == 1 and mean(run, "named", "execution") == 0.5


def test_rows_of_a_run_can_be_chosen(data, tmp_path):
    with serve(sees) as server:
        vlm_life.run(tmp_path / "run", **options(data, server))
        again = options(data, server) | {"edits": [str(tmp_path / "run"), f"again={data.parent.parent / 'good'}"]}
        del again["inputs"]
        run = vlm_life.run(tmp_path / "judged", **again, only=["half"])
        assert list(run.rows) == ["copy-input", "half", "again"]
        with pytest.raises(UserError, match="no row 'full': choose of copy-input, good"):
            vlm_life.run(tmp_path / "other", **again, only=["full"])
        with pytest.raises(UserError, match="no seed 7"):
            vlm_life.run(tmp_path / "other", **again, seeds=[0, 7])


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"vlm_model": None}, "--vlm-model"),
        ({"edits": ["nothing"]}, "neither the folder of a run"),
        ({"edits": ["a=missing"]}, "neither the folder of a run"),
        ({"inputs": None}, "give --edits RUN, or --inputs"),
        ({"only": ["half"]}, "names rows of a RUN"),
        ({"vlm": ["temprature=1"]}, "Did you mean 'temperature'"),
        ({"manner": "vie"}, "choose gedit, imgedit"),
        ({"samples_per_question": 3}, "temperature above 0"),
    ],
)
def test_bad_options(data, tmp_path, change, why):
    with serve(sees) as server:
        given = {name: value for name, value in (options(data, server) | change).items() if value is not None}
        with pytest.raises(UserError, match=why):
            vlm_life.run(tmp_path / "out", **given)
    assert not server.requests


def test_bad_inputs(data, tmp_path):
    (data.parent.parent / "half" / "2.png").unlink()
    rows = data.read_text()
    with serve(sees) as server:

        def fails(why: str, text: str = rows) -> None:
            data.write_text(text)
            with pytest.raises(UserError, match=why):
                vlm_life.run(tmp_path / "out", **options(data, server))

        fails(r"half: 1 of its outputs are missing, the first is .*2\.png")
        fails("row 2: its output would be called '0'", rows.splitlines()[0] + "\n" + rows.splitlines()[0])
        fails("row 1: .*9.png is no file", '{"file_name": "9.png", "instruction": "make it red"}')
        fails("'instruction' must be text", '{"file_name": "0.png"}')
        fails("has no rows", "")


def test_a_sequence_is_judged_by_all_that_was_asked(data, tmp_path):
    """Of a session's last turn: from the first picture, by every instruction since."""
    with serve(sees) as server:
        vlm_life.run(tmp_path / "run", **options(data, server, "good"))
        path = tmp_path / "run" / "samples.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        lines[0]["about"]["instructions"] = ["make it blue", "make it red"]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        before = len(server.requests)
        again = options(data, server) | {"edits": [str(tmp_path / "run")], "answers": tmp_path / "run"}
        del again["inputs"]
        vlm_life.run(tmp_path / "judged", **again)
    asked = {instruction_of(request) for request in server.requests[before + 1 :]}
    assert asked == {"make it blue; then make it red"}
