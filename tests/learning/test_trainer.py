import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from toy import Denoiser, Discs

from uip2p.errors import UserError
from uip2p.learning.journal import Journal
from uip2p.learning.objective import Outcome
from uip2p.learning.trainer import TrainConfig, train
from uip2p.models.ema import EMA, trainable


def run(out, objective=None, validation=None, recipe=None, dataset=None, **config):
    config = TrainConfig(**{"steps": 6, "batch_size": 4, "log_every": 2, "save_every": 3} | config)
    objective = objective or Denoiser()
    return train(objective, dataset or Discs(0), config, out, validation, recipe=recipe, progress=False)


def rows(out, kind="total"):
    return [row for row in Journal.read(out / "metrics.jsonl") if kind in row]


def weights(out, name="model/model"):
    return load_file(out / f"{name}.safetensors")


def test_it_learns_and_writes_down_what_it_saw(tmp_path):
    result = run(tmp_path, steps=120, batch_size=8, log_every=30, learning_rate=3e-3, schedule="cosine", warmup_steps=5)
    assert result.finished and result.step == result.exported == 120 and result.model == tmp_path / "model"
    written = rows(tmp_path)
    assert [row["step"] for row in written] == [30, 60, 90, 120] and written[1]["images"] == 480
    assert written[-1]["denoise"] < 0.5 * written[0]["denoise"]
    for row in written:
        assert row["total"] == pytest.approx(row["denoise"] + row["small"], rel=1e-5)
        assert 0.4 < row["level"] < 0.6, "a log is written and not summed"
        assert row["grad_norm"] > 0 and row["images_per_second"] > 0 and row["skipped"] == 0 and row["seconds"] > 0
    assert written[-1]["lr"] == pytest.approx(3e-4) and written[0]["lr"] > 2.4e-3
    assert json.loads((tmp_path / "config.json").read_text())["train"]["steps"] == 120


def test_a_run_that_is_over_is_not_trained_again(tmp_path, capsys):
    run(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/*")}
    assert run(tmp_path).finished and "finished already, at step 6" in capsys.readouterr().err
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/*")}


class Still(Denoiser):
    """Without dropout, which draws by batch: parts and whole must agree."""

    def __init__(self):
        super().__init__()
        self.net[2].p = 0.0


def test_accumulation_and_batches_are_exact_means(tmp_path):
    """5 samples in 3 unequal parts give the gradient of the 5 at once."""

    for parts in (1, 3):
        run(tmp_path / str(parts), Still(), steps=4, batch_size=5, accumulate=parts, log_every=1, gradient_clip=0)
    one, three = (weights(tmp_path / parts) for parts in "13")
    assert all(torch.allclose(one[name], three[name], atol=1e-6) for name in one)
    for a, b in zip(rows(tmp_path / "1"), rows(tmp_path / "3"), strict=True):
        assert a["total"] == pytest.approx(b["total"], rel=1e-5)
        assert a["grad_norm"] == pytest.approx(b["grad_norm"], rel=1e-4)


def test_frozen_parts_and_modes_are_left_alone(tmp_path):
    objective = Denoiser()
    objective.frozen.eval()
    frozen = {name: tensor.clone() for name, tensor in objective.frozen.state_dict().items()}
    seen = []
    forward = objective.forward
    objective.forward = lambda *args: (
        seen.append((objective.frozen.training, objective.net.training)),
        forward(*args),
    )[1]
    run(tmp_path, objective, Discs(1), validate_every=2, validation_batches=1)
    assert seen[:3] == [(False, True), (False, True), (False, False)], "training keeps the modes, validation is eval"
    assert seen[3] == (False, True), "and afterwards each part is as before"
    assert all(torch.equal(tensor, frozen[name]) for name, tensor in objective.frozen.state_dict().items())


def test_the_export_is_the_average_with_the_best_validation_loss(tmp_path):
    """A learning rate that ruins the weights at the end: "best" is an earlier step, "last" the last one."""
    common = dict(steps=60, batch_size=8, learning_rate=5e-3, validate_every=10, validation_batches=2, ema_decay=0.5)
    result = run(tmp_path, Ruined(), Discs(1), **common)
    losses = {row["step"]: row["validation"]["total"] for row in rows(tmp_path, "validation")}
    assert list(losses) == [10, 20, 30, 40, 50, 60]
    best = min(losses, key=losses.get)
    assert result.exported == best < 60
    saved = weights(tmp_path, "best/ema")
    assert all(torch.equal(weights(tmp_path)[name], tensor) for name, tensor in saved.items())
    assert json.loads((tmp_path / "finished.json").read_text())["validation_loss"] == losses[best]
    last = run(tmp_path, Ruined(), Discs(1), **common, export="last")
    assert last.exported == 60, "another export needs no training"
    ema = weights(tmp_path, "checkpoints/step-00000060/ema")
    assert all(torch.equal(weights(tmp_path)[name], tensor) for name, tensor in ema.items())


class Ruined(Denoiser):
    def forward(self, batch, draw):
        outcome = super().forward(batch, draw)
        if draw.step < 30:
            return outcome
        return Outcome({name: -loss for name, loss in outcome.losses.items()}, outcome.logs)


def test_validation_is_the_same_numbers_for_the_same_weights(tmp_path):
    run(tmp_path, validation=Discs(1), learning_rate=1e-30, validate_every=1, validation_batches=2, weight_decay=0)
    losses = {row["validation"]["total"] for row in rows(tmp_path, "validation")}
    assert len(losses) == 1


def test_a_step_that_is_not_finite_is_skipped_and_named(tmp_path):
    """Sample 9 is poison. Its step leaves the weights alone; every other step counts."""
    run(tmp_path, Denoiser(frozenset({9})), steps=3, save_every=1, keep=9)
    (bad,) = rows(tmp_path, "nonfinite")
    assert bad["step"] == 3 and bad["samples"] == [9] and bad["skipped"] == 1
    for kind in ("model", "ema", "optimizer"):
        before, after = (weights(tmp_path, f"checkpoints/step-0000000{step}/{kind}") for step in (2, 3))
        assert all(torch.equal(before[name], after[name]) for name in before if name != "count")


def test_ten_in_a_row_end_the_run_with_the_samples(tmp_path):
    poison = frozenset(range(3, 200, 4))
    with pytest.raises(UserError, match=r"10 steps in a row.*\[3, 7, 11, 15, 19, 23, 27, 31, 35, 39\]"):
        run(tmp_path, Denoiser(poison), steps=30)
    assert len(rows(tmp_path, "nonfinite")) == 10
    poison = poison - {39}  # nine, and then a good one
    assert run(tmp_path / "nine", Denoiser(poison), steps=12).finished


def test_an_alarm_is_written_and_said_once(tmp_path, capsys):
    run(tmp_path, steps=120, batch_size=8, log_every=20, learning_rate=3e-3)
    alarms = [row["alarm"] for row in rows(tmp_path, "alarm")]
    assert len(alarms) > 1 and set(alarms) == {"the loss is very low"}
    assert capsys.readouterr().err.count("ALARM") == 1


def test_sample_grids_are_named_by_images(tmp_path):
    run(tmp_path, sample_every_images=8, sample_pictures=3)
    names = sorted(path.name for path in (tmp_path / "samples").iterdir())
    assert names == ["000000008.png", "000000016.png", "000000024.png"]
    assert Image.open(tmp_path / "samples" / names[0]).size == (48, 16)


def test_snapshots_are_the_averaged_models_on_the_way(tmp_path):
    """At every 8 images, by their number, with what a run of that many steps exports; training does not notice."""
    run(tmp_path / "run", snapshot_every_images=8)
    run(tmp_path / "plain")
    folder = tmp_path / "run/snapshots"
    assert sorted(path.name for path in folder.iterdir()) == ["000000008", "000000016", "000000024"]
    run(tmp_path / "short", steps=4)
    for one, other in (
        (weights(folder, "000000016/model"), weights(tmp_path / "short")),
        (weights(tmp_path / "run"), weights(tmp_path / "plain")),
    ):
        assert all(torch.equal(one[name], other[name]) for name in one)
    run(tmp_path / "plain", steps=9, snapshot_every_images=10)  # free to change; in the first step past
    assert sorted(path.name for path in (tmp_path / "plain/snapshots").iterdir()) == ["000000032"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"learning_rate": 0.5}, r"train\.learning_rate is 0\.001 in this run, and is 0\.5 in what you ask for"),
        ({"batch_size": 5}, r"train\.batch_size"),
        ({"steps": 9, "schedule": "cosine"}, r"train\.schedule"),
        ({"recipe": {"loss": {"weight": 2}}}, r"recipe\.loss\.weight is 1 in this run, and is 2"),
        ({"recipe": {}}, r"recipe\.loss\.weight is 1 in this run, and is not set"),
        ({"steps": 3}, r"passed step 3 already"),
    ],
)
def test_another_training_is_not_mixed_into_a_run(tmp_path, change, says):
    run(tmp_path, recipe={"loss": {"weight": 1}})
    with pytest.raises(UserError, match=says):
        run(tmp_path, **{"recipe": {"loss": {"weight": 1}}} | change)


def test_a_run_from_before_a_setting_came_had_its_default(tmp_path):
    run(tmp_path, steps=3)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    del config["train"]["optimizer"]
    path.write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"train\.optimizer is not set in this run, and is 'muon'"):
        run(tmp_path, steps=6, optimizer="muon")
    run(tmp_path, steps=6)


def test_other_frozen_weights_are_another_training(tmp_path):
    run(tmp_path)
    objective = Denoiser()
    with torch.no_grad():
        objective.frozen.weight.add_(1)
    with pytest.raises(UserError, match="frozen_weights"):
        run(tmp_path, objective)


def test_what_does_not_change_the_training_may_change_and_more_steps_are_the_same_run(tmp_path):
    run(tmp_path / "short", steps=6)
    run(tmp_path / "short", steps=9, save_every=2, log_every=1, keep=1, workers=1, sample_every_images=8)
    run(tmp_path / "long", steps=9)
    a, b = (weights(tmp_path / name, "checkpoints/step-00000009/model") for name in ("short", "long"))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_a_damaged_checkpoint_costs_only_the_steps_since_the_one_before(tmp_path):
    run(tmp_path / "a")
    run(tmp_path / "b")
    file = tmp_path / "a/checkpoints/step-00000006/ema.safetensors"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 4
    file.write_bytes(data)
    (tmp_path / "a/finished.json").unlink()
    with pytest.warns(UserWarning, match=r"step-00000006/ema\.safetensors is damaged"):
        run(tmp_path / "a")
    a, b = (weights(tmp_path / name, "checkpoints/step-00000006/model") for name in "ab")
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_a_disk_that_is_full_for_a_while_costs_nothing(tmp_path):
    from test_checkpoint import file_limit

    run(tmp_path / "b")
    with pytest.raises(UserError, match="step-00000003: could not be written"), file_limit(2000):
        run(tmp_path / "a")
    assert run(tmp_path / "a").finished
    a, b = (weights(tmp_path / name, "checkpoints/step-00000006/optimizer") for name in "ab")
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_bad_settings_are_named(tmp_path):
    for change in ({"steps": 0}, {"learning_rate": -1.0}, {"betas": (0.9, 1.0)}, {"ema_decay": 2.0}, {"workers": -1}):
        with pytest.raises(UserError, match=next(iter(change))):
            run(tmp_path, **change)
    with pytest.raises(UserError, match="batch_size must be at least accumulate"):
        run(tmp_path, accumulate=5)
    with pytest.raises(UserError, match="nothing to train"):
        run(tmp_path, Denoiser().requires_grad_(False))
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="fp16 needs a GPU"):
            run(tmp_path, precision="fp16")


def test_a_loss_without_one_number_a_sample_is_refused(tmp_path):
    class Scalar(Denoiser):
        def forward(self, batch, draw):
            return Outcome({"denoise": super().forward(batch, draw).losses["denoise"].mean()}, {})

    with pytest.raises(ValueError, match="one number a sample"):
        run(tmp_path, Scalar())


def test_bf16_trains_and_exports_float32(tmp_path):
    run(tmp_path, steps=60, batch_size=8, learning_rate=3e-3, log_every=20, precision="bf16")
    written = rows(tmp_path)
    assert written[-1]["denoise"] < written[0]["denoise"] and weights(tmp_path)["net.0.weight"].dtype == torch.float32


def test_the_average_follows_and_gives_the_weights_back():
    module = torch.nn.Linear(2, 1)
    ema = EMA(trainable(module), decay=0.9)
    start = module.weight.detach().clone()
    with torch.no_grad():
        module.weight.add_(1)
    ema.update(0)  # d = 1/10
    assert torch.allclose(ema.averages["weight"], start + 0.9)
    ema.update(10**6)  # d = decay
    assert torch.allclose(ema.averages["weight"], start + 0.9 + 0.1 * 0.1)
    with pytest.raises(ZeroDivisionError), ema.applied():
        assert torch.equal(module.weight, ema.averages["weight"])
        1 / 0  # noqa: B018
    assert torch.equal(module.weight, start + 1)


def test_rows_are_json_and_a_torn_last_row_is_none(tmp_path):
    journal = Journal(tmp_path / "m.jsonl", 0)
    journal.write({"step": 1, "total": math.nan, "validation": {"x": math.inf}})
    with open(tmp_path / "m.jsonl", "a") as file:
        file.write('{"step": 2, "tot')
    assert Journal.read(tmp_path / "m.jsonl") == [{"step": 1, "total": None, "validation": {"x": None}}]


PAIR = """
import sys
from pathlib import Path

sys.path.insert(0, {here!r})
import torch
from test_trainer import Discs, Still, run

torch.set_num_threads(1)
settings = dict(steps=4, batch_size=5, accumulate=2, log_every=1, validate_every=2, validation_batches=2)
run(Path({out!r}), Still(), Discs(1), **settings)
"""


@pytest.mark.slow
def test_two_processes_train_what_one_trains(tmp_path):
    """Real DDP over two CPU processes, an odd batch shared unequally."""
    for name, launcher in (("one", []), ("two", ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"])):
        script = tmp_path / f"{name}.py"
        script.write_text(PAIR.format(here=str(Path(__file__).parent), out=str(tmp_path / name)))
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run([sys.executable, *launcher, str(script)], capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
    one, two = (weights(tmp_path / name) for name in ("one", "two"))
    assert all(torch.allclose(one[name], two[name], atol=1e-6) for name in one if name != "count")
    for a, b in zip(rows(tmp_path / "one"), rows(tmp_path / "two"), strict=True):
        assert a["total"] == pytest.approx(b["total"], rel=1e-5)
    a, b = ([row["validation"]["total"] for row in rows(tmp_path / name, "validation")] for name in ("one", "two"))
    assert np.allclose(a, b, rtol=1e-5)
