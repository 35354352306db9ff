"""The runner on a small suite of its own: drawn scenes, and an editor of one line whose every call is counted."""

import json
import os
import signal
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from uip2p.errors import UserError
from uip2p.evaluate import metrics
from uip2p.evaluate.asking import Ask, Refused, Sampling, Session, Turn
from uip2p.evaluate.benchmark import shard_of
from uip2p.evaluate.editors.baselines import CopyInput, GroundTruth
from uip2p.evaluate.meter import Judged
from uip2p.evaluate.running import Runner, Shard
from uip2p.evaluate.runs import load_run, read_journals
from uip2p.evaluate.suites import Published, Row, Suite
from uip2p.images import to_pil
from uip2p.scenes.answers import answer
from uip2p.scenes.world import World

SIDE, SINGLES, CHAINS = 32, 5, 2


@dataclass(frozen=True, kw_only=True)
class Small(Suite):
    """Single edits, and chains of three turns of which the last counts."""

    asked: tuple[Session, ...]

    def sessions(self):
        return self.asked

    def figures(self, turns, outputs):
        return [{"execution": len(turn.instruction) / 100} for turn in turns]


def small(settings=("small",)) -> Small:
    world = World(5, "test", SIDE)
    sessions = []
    for index in range(SINGLES):
        edit = world.edit(index, "color")
        known = answer(edit, SIDE)
        sessions.append(Session(f"one-{index}", (Turn(
            f"one/{index}", edit.instruction, partial(to_pil, known.source), target=partial(to_pil, known.target),
            mask=lambda known=known: known.mask, caption=edit.caption, edited_caption=edit.edited_caption,
        ),)))  # fmt: skip
    for index in range(CHAINS):
        edits = world.session(index)
        drawn = [answer(edit, SIDE) for edit in edits]
        first = partial(to_pil, drawn[0].source)
        sessions.append(Session(f"chain-{index}", tuple(
            Turn(f"chain-{index}/{place}", edit.instruction, first if place == 0 else None, before=first,
                 target=partial(to_pil, drawn[place].target), groups=("three-turn",) if place == 2 else ())
            for place, edit in enumerate(edits)
        )))  # fmt: skip
    published = (Published("theirs", "single-turn", {"l1": 0.0123}, "a table"),)
    return Small(name="small", settings={"of": list(settings)}, asked=tuple(sessions), published=published)


@dataclass
class Tint:
    """Turns the picture a little the way of a colour drawn from its seed. asked: how often each turn came."""

    name: str = "tint"
    strength: float = 0.25
    asked: Counter = field(default_factory=Counter)
    stop_at: int | None = None
    kill: bool = False
    tunable: frozenset = frozenset()

    def describe(self):
        return {"adapter": "tint", "strength": self.strength}

    def edit(self, asks: list[Ask]):
        outputs = []
        for ask in asks:
            if self.stop_at is not None and sum(self.asked.values()) >= self.stop_at:
                if self.kill:
                    os.kill(os.getpid(), signal.SIGKILL)
                raise KeyboardInterrupt
            self.asked[ask.key] += 1
            tint = np.random.default_rng(ask.seed).integers(0, 256, 3)
            pixels = np.asarray(ask.image) * (1 - self.strength) + tint * self.strength
            outputs.append(Image.fromarray(pixels.round().astype(np.uint8)))
        return outputs

    def sampled(self, sampling: Sampling):
        return self

    def round_trip(self):
        return None


class Pixels:
    """A meter of one figure."""

    def describe(self):
        return {"l1": {"range": "[0, 1]"}}

    def measure(self, judged: list[Judged]):
        def tensor(picture):
            return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None] / 255

        return [{"l1": metrics.l1(tensor(one.output), tensor(one.target)).item()} for one in judged]


def rows(*editors) -> list[Row]:
    base = [Row("copy-input", CopyInput(), baseline=True), Row("ground truth", GroundTruth(), baseline=True)]
    return [*base, *(Row(editor.name, editor, editor.name) for editor in editors)]


def runner(out: Path, *editors, suite=None, **more) -> Runner:
    return Runner(suite or small(), rows(*editors), Pixels(), out, progress=False, **{"batch_size": 3, **more})


def outputs(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.png"))}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    run = runner(tmp_path_factory.mktemp("runs") / "run", Tint()).run()
    assert run is not None
    return run


def test_a_run_is_what_its_folder_says(done):
    found = load_run(done.folder)
    assert found.rows == done.rows and found.info == done.info and found.samples == done.samples
    assert found.groups() == ["single-turn", "three-turn"]
    assert len(found.turns("single-turn")) == SINGLES and found.turns("three-turn") == ["chain-0/2", "chain-1/2"]
    summary = found.info["summary"]
    assert summary["single-turn"]["ground truth"]["l1"]["mean"] == 0 < summary["single-turn"]["tint"]["l1"]["mean"]
    of_tint = [figures["l1"] for turn, figures in found.rows["tint"][0].items() if turn.startswith("one/")]
    assert summary["single-turn"]["tint"]["l1"]["mean"] == pytest.approx(sum(of_tint) / SINGLES)
    assert found.rows["tint"][0]["one/0"]["execution"] == len(found.samples["one/0"]["instruction"]) / 100
    for turn in found.samples:
        assert found.picture(turn, "source").is_file() and found.output("tint", turn).is_file()
    table = (done.folder / "table.md").read_text()
    assert "*theirs (published)* | 0.0123" in table and "| tint |" in table and "tint − copy-input" in table


def test_a_chain_goes_on_from_its_own_outputs(done):
    seeds = {line["turn"] for line in read_journals(done.folder / "tint", "edits").values()}
    assert {"chain-0/0", "chain-0/1", "chain-0/2"} <= seeds
    first, last = (np.asarray(Image.open(done.output("tint", f"chain-0/{turn}"))).astype(int) for turn in (0, 2))
    source = np.asarray(Image.open(done.picture("chain-0/2", "source"))).astype(int)
    assert np.ptp(first - source) > 0 and source.std() * 0.75**3 == pytest.approx(last.std(), rel=0.3)


@pytest.mark.parametrize("batch_size", [1, 64])
def test_batches_change_nothing(done, tmp_path, batch_size):
    other = runner(tmp_path / "run", Tint(), batch_size=batch_size).run()
    assert other.rows == done.rows and outputs(tmp_path / "run") == outputs(done.folder)


def test_shards_share_the_work_and_the_last_one_sums_up(done, tmp_path, capsys):
    editors = [Tint() for _ in range(3)]
    runs = [runner(tmp_path / "run", editor, shard=Shard(i, 3)).run() for i, editor in enumerate(editors)]
    assert runs[:2] == [None, None] and "still missing" in capsys.readouterr().out
    assert runs[2].rows == done.rows and outputs(tmp_path / "run") == outputs(done.folder)
    assert sum((editor.asked for editor in editors), Counter()) == Counter(
        turn.key for session in small().sessions() for turn in session.turns
    )
    assert load_run(tmp_path / "run").info["summary"] == done.info["summary"]
    assert len(list((tmp_path / "run/tint").glob("edits.*-of-3.jsonl"))) == 3


@pytest.mark.parametrize("stop_at", [0, 4, 9])
def test_a_stopped_run_goes_on_and_asks_only_the_rest(done, tmp_path, stop_at):
    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        runner(out, Tint(stop_at=stop_at)).run()
    with pytest.raises(UserError, match="is not finished"):
        load_run(out)
    known = len(read_journals(out / "tint", "edits"))
    again = Tint()
    assert runner(out, again).run().rows == done.rows
    assert sum(again.asked.values()) == SINGLES + 3 * CHAINS - known
    third = Tint()
    assert runner(out, third).run().rows == done.rows and not third.asked


def test_a_killed_run_goes_on(done, tmp_path):
    out = tmp_path / "run"
    if (life := os.fork()) == 0:
        runner(out, Tint(stop_at=7, kill=True), batch_size=1).run()
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(life, 0)[1]) == signal.SIGKILL
    with (out / "tint/edits.jsonl").open("a") as journal:
        journal.write('{"key": "torn')  # what a crash in the middle of a line leaves
    again = Tint()
    assert runner(out, again).run().rows == done.rows
    assert sum(again.asked.values()) == SINGLES + 3 * CHAINS - 7


def test_a_damaged_or_lost_output_is_made_again(done, tmp_path):
    out = tmp_path / "run"
    runner(out, Tint()).run()
    (out / "tint/seed-0/one/1.png").write_bytes(b"not a picture")
    (out / "tint/seed-0/one/3.png").unlink()
    again = Tint()
    assert runner(out, again).run().rows == done.rows
    assert again.asked == Counter({"one/1": 1, "one/3": 1}) and outputs(out) == outputs(done.folder)


def test_another_editor_writes_over_nothing(done, tmp_path):
    out = tmp_path / "run"
    runner(out, Tint()).run()
    with pytest.raises(UserError, match=r"outputs of tint there were made otherwise \(strength 0.25, now 0.5\)"):
        runner(out, Tint(strength=0.5)).run()
    assert load_run(out).rows == done.rows and outputs(out) == outputs(done.folder)
    stronger = Tint(name="stronger", strength=0.5)
    found = runner(out, Tint(), stronger).run()
    assert sum(stronger.asked.values()) == SINGLES + 3 * CHAINS and found.rows["tint"] == done.rows["tint"]
    assert all(found.rows["stronger"][0][turn] != done.rows["tint"][0][turn] for turn in done.samples)


class Prude(Tint):
    """Refuses one single edit, and the second turn of a chain."""

    def edit(self, asks: list[Ask]):
        refused = ("one/2", "chain-0/1")
        made = iter(super().edit([ask for ask in asks if ask.key not in refused]))
        self.asked.update(ask.key for ask in asks if ask.key in refused)
        return [Refused("not this one") if ask.key in refused else next(made) for ask in asks]


def test_what_is_refused_is_left_out_and_said_and_not_asked_again(done, tmp_path):
    out = tmp_path / "run"
    found = runner(out, Prude()).run()
    assert found.info["refused"] == {"tint": 2} and done.info["refused"] == {}
    assert found.rows["tint"][0]["one/2"] == {} == found.rows["tint"][0]["chain-0/2"]
    left = {turn: figures for turn, figures in done.rows["tint"][0].items() if turn not in ("one/2", "chain-0/2")}
    assert {turn: figures for turn, figures in found.rows["tint"][0].items() if figures} == left
    assert found.info["summary"]["single-turn"]["tint"]["l1"]["count"] == SINGLES - 1
    why = {line["turn"]: line.get("refused") for line in read_journals(out / "tint", "edits").values()}
    assert why["one/2"] == "not this one" and why["chain-0/2"] == "the edit before it was refused"
    assert "tint refused 2 edits" in (out / "table.md").read_text()
    again = Prude()
    assert runner(out, again).run().rows == found.rows and not again.asked


def test_seeds_are_replicates(done, tmp_path):
    found = runner(tmp_path / "run", Tint(), seeds=(0, 1, 2)).run()
    assert found.rows["tint"][0] == done.rows["tint"][0] != found.rows["tint"][1]
    entry = found.info["summary"]["single-turn"]["tint"]["l1"]
    means = [np.mean([found.rows["tint"][seed][f"one/{i}"]["l1"] for i in range(SINGLES)]) for seed in (0, 1, 2)]
    assert (entry["replicates"], entry["count"]) == (3, SINGLES)
    assert entry["mean"] == pytest.approx(np.mean(means)) and entry["sd"] == pytest.approx(np.std(means, ddof=1))
    assert found.info["summary"]["single-turn"]["copy-input"]["l1"]["sd"] == pytest.approx(0, abs=1e-12)


def test_what_cannot_be_one_run(tmp_path):
    out = tmp_path / "run"
    runner(out, Tint()).run()
    with pytest.raises(UserError, match="holds a run of small with other settings"):
        runner(out, Tint(), suite=small(["other"])).run()
    with pytest.raises(UserError, match="two rows are called tint"):
        runner(tmp_path / "two", Tint(), Tint())
    (tmp_path / "full").mkdir()
    (tmp_path / "full/letter.txt").write_text("not ours")
    with pytest.raises(UserError, match="is not empty"):
        runner(tmp_path / "full", Tint()).run()
    assert os.listdir(tmp_path / "full") == ["letter.txt"]
    twice = replace(small(), asked=small().asked[:1] * 2)
    with pytest.raises(ValueError, match="two turns have one key"):
        runner(tmp_path / "twice", Tint(), suite=twice)


def test_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(UserError, match=r"has no run\.json"):
        load_run(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(UserError, match=r"run\.json: cannot be read"):
        load_run(tmp_path)
    (tmp_path / "run.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(UserError, match="format 99 is not 1"):
        load_run(tmp_path)


def test_shards_by_option_and_by_torchrun(monkeypatch):
    assert shard_of("1/4") == Shard(1, 4) and shard_of(None) == Shard(0, 1)
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert shard_of(None) == Shard(2, 8) and shard_of("0/1") == Shard(0, 1)
    for text in ("4/4", "-1/2", "1", "a/b", "1/0"):
        with pytest.raises(UserError, match="write I/N"):
            shard_of(text)
