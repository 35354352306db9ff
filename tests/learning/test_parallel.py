"""Two real processes with gloo train what one trains: DDP, accumulation, FSDP2; a run goes on at another world size."""

import functools
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time

import psutil
import pytest
from diffusers import StableDiffusionInstructPix2PixPipeline, StableDiffusionXLInstructPix2PixPipeline
from parallel import cli, count_collectives, train_toy
from processes import exit_codes, start_ranks
from safetensors.torch import load_file
from test_full_size import models  # noqa: F401  (a fixture)
from tiny import SIZE

from uip2p.errors import UserError
from uip2p.learning.checkpoint import list_steps
from uip2p.learning.devices import check_devices
from uip2p.learning.journal import Journal


def arguments(models, out, *more):  # noqa: F811
    few = [f"data.size={SIZE}", f"model.clips=['{models / 'clip'}']", "data.validation=0", "train.batch_size=8",
           "train.micro_batch=4", "train.precision=fp32", "train.workers=0", "train.warmup_steps=5", "train.steps=20",
           "train.learning_rate=1e-4", "train.save_every=5", "train.log_every=1", "train.validate_every=0",
           "train.sample_every_images=80", "train.export=last", *more]  # fmt: skip
    sets = [f"--set={each}" for each in few]
    return ["train", "--recipe", "sd15-ip2p", "--base", str(models / "sd"), "--data", str(models / "data"),
            "--out", str(out), *sets]  # fmt: skip


def train(models, out, world, *more, dies=None):  # noqa: F811
    """Train and return what rank 0 said and, of every rank, the exit code."""
    processes = start_ranks(cli, (arguments(models, out, *more), dies), out, world)
    codes = exit_codes(processes)
    return said(out), codes


def said(out, rank=0):
    return out.with_name(f"{out.name}.{rank}").read_text()


def weights(out):
    return load_file(out / "model/unet/diffusion_pytorch_model.safetensors")


def weights_at(out, step):
    """Those that the run would have exported, had it ended there."""
    averages = load_file(out / f"checkpoints/step-{step:08d}/ema.safetensors")
    return {name.removeprefix("editor.unet."): tensor for name, tensor in averages.items()}


def apart(one, other):
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


@pytest.fixture(scope="module")
def alone(models, tmp_path_factory):  # noqa: F811
    """One process that sees all eight samples of a step at once."""
    out = tmp_path_factory.mktemp("alone") / "run"
    assert train(models, out, 1, "train.micro_batch=8", "train.keep=4")[1] == [0], said(out)
    return out


@pytest.mark.parametrize(
    ("world", "more", "steps"),
    [(1, [], 20), (2, [], 20), pytest.param(2, ["train.micro_batch=2"], 20, marks=pytest.mark.slow),
     pytest.param(2, ["train.shard=true"], 20, marks=pytest.mark.slow),
     pytest.param(2, ["train.shard=true", "train.micro_batch=2"], 20, marks=pytest.mark.slow),
     (2, ["train.shard=true", "train.micro_batch=2"], 10)],
    ids=["1 × 4 twice", "2 × 4", "2 × 2 twice", "2 × 4 sharded", "2 × 2 twice, sharded", "the same, ten steps"],
)  # fmt: skip
def test_the_same_weights_after_as_many_steps(models, alone, tmp_path, world, more, steps):  # noqa: F811
    out = tmp_path / "run"
    assert train(models, out, world, *more, f"train.steps={steps}")[1] == [0] * world, said(out)
    assert apart(weights_at(alone, steps), weights(out)) < 1e-5
    assert apart(weights_at(alone, 20), weights(alone)) == 0
    start = load_file(models / "sd/unet/diffusion_pytorch_model.safetensors")
    moved = {name: tensor for name, tensor in weights(alone).items() if name != "conv_in.weight"}
    del start["conv_in.weight"]
    assert apart(moved, start) > 1e-4, "they have moved"
    losses = [[row["total"] for row in Journal.read(run / "metrics.jsonl")] for run in (alone, out)]
    assert len(losses[1]) == steps and losses[0][:steps] == pytest.approx(losses[1], rel=1e-4)
    assert (out / f"samples/{8 * steps:09d}.png").read_bytes()
    StableDiffusionInstructPix2PixPipeline.from_pretrained(out / "model")


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["sd15-lora", "sdxl-lora"])
@pytest.mark.parametrize("shard", ["false", "true"], ids=["replicated", "sharded"])
def test_lora_recipes_at_two_ranks(models, tmp_path, recipe, shard):  # noqa: F811
    """Frozen weights in bf16 around trained ones in fp32; stock pipelines load what comes out, and one rank's is next
    to it (bf16 rounds)."""
    found = []
    for world in (1, 2):
        out = tmp_path / f"run{world}"
        base = "sdxl" if recipe == "sdxl-lora" else "sd"
        sets = ["train.precision=bf16", "train.steps=4", f"train.shard={shard}", f"model.vae='{models / 'vae'}'",
                f"model.tiny_decoder='{models / 'tiny decoder'}'", "train.micro_batch=2", "train.schedule=constant",
                "train.ema_decay=0", "train.learning_rate=1e-3", "train.validate_every=2",
                "train.validation_batches=1", "data.validation=0.1", "train.snapshot_every_images=16"]  # fmt: skip
        argv = arguments(models, out, *sets)
        argv[argv.index("--recipe") + 1], argv[argv.index("--base") + 1] = recipe, str(models / base)
        assert exit_codes(start_ranks(cli, (argv,), out, world)) == [0] * world, said(out)
        xl = base == "sdxl"
        pipeline = StableDiffusionXLInstructPix2PixPipeline if xl else StableDiffusionInstructPix2PixPipeline
        assert pipeline.from_pretrained(out / "model").unet.config.in_channels == 8
        assert pipeline.from_pretrained(out / "snapshots/000000016").unet.config.in_channels == 8
        found.append(load_file(out / "model/pytorch_lora_weights.safetensors"))
    one, two = found
    moved = sum(float(tensor.square().sum()) for name, tensor in one.items() if "lora_B" in name)
    between = sum(float((one[name] - two[name]).square().sum()) for name in one if "lora_B" in name)
    assert 0 < between < 0.1 * moved or shard == "false"


@pytest.mark.slow
@pytest.mark.parametrize("more", [
    ["model.checkpointing=true"], ["loss.rollout=0.3"], ["loss.straight_through=true"], ["model.train_text=true"],
    ["loss.prior=0.5", "loss.base_direction=0.5"],
])  # fmt: skip
def test_sharded_with_what_else_a_recipe_may_ask_for(models, tmp_path, more):  # noqa: F811
    few = ["train.steps=8", "train.validate_every=4", "train.validation_batches=1", "data.validation=0.2", *more]
    for world, shard in ((1, "false"), (2, "true")):
        out = tmp_path / f"run{world}"
        assert train(models, out, world, f"train.shard={shard}", *few)[1] == [0] * world, said(out)
    assert apart(weights(tmp_path / "run1"), weights(tmp_path / "run2")) < 1e-5
    one, two = (
        [row["validation"]["total"] for row in Journal.read(tmp_path / run / "metrics.jsonl") if "validation" in row]
        for run in ("run1", "run2")
    )
    assert one == pytest.approx(two, rel=1e-4) and len(one) == 2


@pytest.mark.parametrize(
    "first", [["train.shard=true"], pytest.param([], marks=pytest.mark.slow)], ids=["sharded", "replicated"]
)
def test_a_rank_that_dies_stops_the_run_and_the_same_goes_on_at_another_world_size(models, alone, tmp_path, first):  # noqa: F811
    """Rank 1 is killed in step 7; rank 0 says what has happened and what to do. Then one process goes on alone."""
    out = tmp_path / "run"
    spoken, codes = train(models, out, 2, *first, dies=(1, 7))
    assert codes == [2, -9]
    assert "process 0 of 2 lost the others" in spoken and "the same command again: it goes on from step 5." in spoken
    assert "Traceback" not in spoken
    log = out.with_name("alone")
    assert exit_codes(start_ranks(cli, (arguments(models, out, "train.micro_batch=8"),), log, 1)) == [0]
    assert "going on from step 5 of 20" in said(log)
    assert apart(weights(alone), weights(out)) < 1e-5


@pytest.mark.parametrize(("more", "says"), [
    (["train.shard=true", "train.optimizer=muon"], 'train.shard goes with optimizer "adamw", not "muon"'),
    (["train.shard=true", "train.batch_size=7"], "batch_size must be a multiple of the 2 devices"),
    (["train.batch_size=3", "train.accumulate=2"], "batch_size must be at least accumulate × devices, 4, got 3"),
])  # fmt: skip
def test_what_devices_cannot_share(models, more, says):  # noqa: F811
    from uip2p.learning.recipes import build, read_recipe

    sets = [f"model.base='{models / 'sd'}'", f"data.size={SIZE}", f"model.clips=['{models / 'clip'}']", *more]
    run = build("sd15-ip2p", read_recipe("sd15-ip2p", sets), models, models / "data")
    with pytest.raises(UserError, match=says):
        check_devices(run.train, run.objective, 2)


def test_gradients_are_added_up_once_a_step_however_many_parts_it_has(tmp_path):
    """One all-reduce for the gradients and one for the numbers that are logged; sharded, one for their norm too (and
    gloo scatters gradients by an all-reduce)."""
    assert exit_codes(start_ranks(count_collectives, (tmp_path,), tmp_path / "run")) == [0, 0], said(tmp_path / "run")
    line = next(line for line in said(tmp_path / "run").splitlines() if line.startswith("COUNTED "))
    found = json.loads(line.removeprefix("COUNTED "))
    assert found["replicated 1"] == found["replicated 4"] == {"gloo:all_reduce": 2}
    assert found["sharded 1"]["gloo:all_reduce"] == found["sharded 4"]["gloo:all_reduce"] == 3


@pytest.mark.parametrize("shard", [False, True], ids=["replicated", "sharded"])
def test_only_the_first_needs_the_runs_folder(tmp_path, shard):
    """The second is given a folder of its own, as on a node without a common disk, with another run's end in it."""
    settings = dict(batch_size=8, shard=shard, save_every=2, validate_every=2, validation_batches=1)
    for out, folders, steps in ((tmp_path / "one", False, 8), (tmp_path / "two", True, 4), (tmp_path / "two", True, 8)):
        log = tmp_path / f"{out.name}{steps}.log"
        target = functools.partial(train_toy, folders=folders, steps=steps, **settings)
        if steps == 8 and folders:
            shutil.copytree(tmp_path / "one", tmp_path / "two/1")
            before = {path: path.stat().st_mtime_ns for path in (tmp_path / "two/1").rglob("*")}
        assert exit_codes(start_ranks(target, (out,), log)) == [0, 0], said(log)
    assert "going on from step 4 of 8" in said(log)
    one, two = (load_file(run / "model/model.safetensors") for run in (tmp_path / "one", tmp_path / "two/0"))
    assert all(one[name].equal(two[name]) for name in one)
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "two/1").rglob("*")}, "left alone"


@pytest.mark.slow
def test_two_nodes_by_torchrun(models, alone, tmp_path):  # noqa: F811
    """The command of examples/slurm.sbatch, two agents with a process each. Asked to stop, all save and stop; the same
    command goes on. A process that is killed ends the run on both, and torchrun's report names its rank."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    out, kept = tmp_path / "run", {**os.environ, "OMP_NUM_THREADS": "1"}
    kept["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)

    def start(name):
        options = ["--nnodes", "2", "--nproc-per-node", "1", "--rdzv-backend", "c10d", "--rdzv-endpoint",
                   f"127.0.0.1:{port}", "--rdzv-id", name, "--local-addr", "127.0.0.1"]  # fmt: skip
        argv = [sys.executable, "-m", "torch.distributed.run", *options, "-m", "uip2p.cli", *arguments(models, out)]
        logs = [open(tmp_path / f"{name}.{node}", "w") for node in (0, 1)]  # noqa: SIM115
        return [subprocess.Popen(argv, stdout=log, stderr=log, env=kept) for log in logs]

    def log(name):
        return "".join((tmp_path / f"{name}.{node}").read_text() for node in (0, 1))

    def wait_for_a_checkpoint(agents):
        before = len(list_steps(out / "checkpoints"))
        while len(list_steps(out / "checkpoints")) == before and all(agent.poll() is None for agent in agents):
            time.sleep(0.02)

    agents = start("stopped")
    wait_for_a_checkpoint(agents)
    for agent in agents:
        agent.terminate()
    assert all(agent.wait(120) != 0 for agent in agents), "it is not finished"
    assert "stopped and saved at step" in log("stopped"), log("stopped")[-3000:]

    agents = start("killed")
    while "going on from step" not in log("killed") and agents[0].poll() is None:
        time.sleep(0.02)
    victim = psutil.Process(agents[1].pid).children()[0]
    victim.kill()
    assert all(agent.wait(120) != 0 for agent in agents)
    report = re.sub(r"\s+", " ", log("killed"))
    assert "exitcode : -9" in report and re.search(r"rank : [01] ", report), report[-3000:]
    assert "lost the others" in report

    agents = start("on")
    assert [agent.wait(240) for agent in agents] == [0, 0], log("on")[-3000:]
    assert "going on from step" in log("on") and apart(weights(alone), weights(out)) < 1e-5
