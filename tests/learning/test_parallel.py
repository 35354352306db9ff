"""Two real processes with gloo train what one trains: DDP, accumulation, FSDP2; a run goes on at another world size."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest
from safetensors.torch import load_file
from test_full_size import models  # noqa: F401  (a fixture)
from tiny import SIZE

from uip2p.learning.checkpoint import list_steps
from uip2p.learning.journal import Journal

TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]


def command(models, out, world, *more):  # noqa: F811
    few = [f"data.size={SIZE}", f"model.clips=['{models / 'clip'}']", "data.validation=0", "train.batch_size=8",
           "train.micro_batch=4", "train.precision=fp32", "train.workers=0", "train.warmup_steps=5", "train.steps=20",
           "train.learning_rate=1e-4", "train.save_every=5", "train.log_every=1", "train.validate_every=0",
           "train.sample_every_images=80", "train.export=last", *more]  # fmt: skip
    sets = [f"--set={each}" for each in few]
    launcher = [sys.executable, *(TORCHRUN if world == 2 else []), "-m", "uip2p.cli"]
    return [*launcher, "train", "--recipe", "sd15-ip2p", "--base", str(models / "sd"), "--data", str(models / "data"),
            "--out", str(out), *sets]  # fmt: skip


def environment():
    path = os.pathsep.join(path for path in sys.path if path)
    return {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "PYTHONPATH": path}


def train(models, out, world, *more, succeeds=True):  # noqa: F811
    done = subprocess.run(command(models, out, world, *more), capture_output=True, text=True, env=environment())
    assert (done.returncode == 0) == succeeds, done.stderr[-3000:]
    return done


def weights(out):
    return load_file(out / "model/unet/diffusion_pytorch_model.safetensors")


def apart(one, other):
    return max(float((one[name] - other[name]).abs().max()) for name in one)


@pytest.fixture(scope="module")
def alone(models, tmp_path_factory):  # noqa: F811
    """One process that sees all eight samples of a step at once."""
    out = tmp_path_factory.mktemp("alone") / "run"
    train(models, out, 1, "train.micro_batch=8")
    return out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("world", "more"),
    [(1, []), (2, []), (2, ["train.micro_batch=2"]), (2, ["train.shard=true"]),
     (2, ["train.shard=true", "train.micro_batch=2"])],
    ids=["1 × 4 twice", "2 × 4", "2 × 2 twice", "2 × 4 sharded", "2 × 2 twice, sharded"],
)  # fmt: skip
def test_the_same_weights_after_twenty_steps(models, alone, tmp_path, world, more):  # noqa: F811
    train(models, tmp_path / "run", world, *more)
    one, two = weights(alone), weights(tmp_path / "run")
    assert one.keys() == two.keys() and apart(one, two) < 1e-5
    start = load_file(models / "sd/unet/diffusion_pytorch_model.safetensors")
    assert apart({k: v for k, v in one.items() if k != "conv_in.weight"}, start) > 1e-4, "they have moved"
    losses = [[row["total"] for row in Journal.read(out / "metrics.jsonl")] for out in (alone, tmp_path / "run")]
    assert len(losses[0]) == 20 and losses[0] == pytest.approx(losses[1], rel=1e-4)
    pictures = [(out / "samples/000000160.png").read_bytes() for out in (alone, tmp_path / "run")]
    assert all(pictures)


@pytest.mark.slow
@pytest.mark.parametrize("first", [["train.shard=true"], []], ids=["sharded", "replicated"])
def test_a_run_goes_on_at_another_world_size(models, alone, tmp_path, first):  # noqa: F811
    """Killed at two processes, gone on with one: the order of the data and the end are the same."""
    out = tmp_path / "run"
    process = subprocess.Popen(command(models, out, 2, *first), stderr=subprocess.PIPE, text=True, env=environment(),
                               start_new_session=True)  # fmt: skip
    while not list_steps(out / "checkpoints") and process.poll() is None:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = train(models, out, 1, "train.micro_batch=8")
    assert re.search(r"going on from step \d+ of 20", done.stderr)
    assert apart(weights(alone), weights(out)) < 1e-5


DIES = """
import os, signal, sys
from uip2p.learning.cycle import CycleObjective
forward = CycleObjective.forward

def dying(self, batch, draw):
    if draw.step == 7 and os.environ["RANK"] == "1" and not os.path.exists({flag!r}):
        open({flag!r}, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return forward(self, batch, draw)

CycleObjective.forward = dying
from uip2p.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_a_rank_that_dies_stops_the_run_and_the_same_command_goes_on(models, alone, tmp_path):  # noqa: F811
    script = tmp_path / "dies.py"
    script.write_text(DIES.format(flag=str(tmp_path / "died")))
    full = command(models, tmp_path / "run", 2)
    dying = [*full[: full.index("-m", 2)], str(script), *full[full.index("train") :]]
    began = time.monotonic()
    done = subprocess.run(dying, capture_output=True, text=True, env=environment())
    assert done.returncode != 0 and "exitcode: -9" in re.sub(r"\s+", " ", done.stderr) and "rank: 1" in done.stderr
    assert time.monotonic() - began < 120, "the other rank does not wait for ever"
    done = subprocess.run(dying, capture_output=True, text=True, env=environment())
    assert done.returncode == 0 and "going on from step 5 of 20" in done.stderr
    assert apart(weights(alone), weights(tmp_path / "run")) < 1e-5


def test_sharding_wants_equal_shares_and_adamw(models, tmp_path, capsys):  # noqa: F811
    from uip2p.cli import main

    full = command(models, tmp_path / "run", 1, "train.shard=true", "train.optimizer=muon")
    assert main(full[full.index("train") :]) == 2
    assert 'train.shard goes with optimizer "adamw", not "muon"' in capsys.readouterr().err
