"""Two real processes with gloo train what one trains: DDP, accumulation, FSDP2; a run goes on at another world size."""

import pytest
from diffusers import StableDiffusionInstructPix2PixPipeline
from parallel import cli
from processes import exit_codes, start_ranks
from safetensors.torch import load_file
from test_full_size import models  # noqa: F401  (a fixture)
from tiny import SIZE

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


def apart(one, other):
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


@pytest.fixture(scope="module")
def alone(models, tmp_path_factory):  # noqa: F811
    """One process that sees all eight samples of a step at once."""
    out = tmp_path_factory.mktemp("alone") / "run"
    assert train(models, out, 1, "train.micro_batch=8")[1] == [0], said(out)
    return out


@pytest.mark.parametrize(
    ("world", "more"),
    [(1, []), (2, []), (2, ["train.micro_batch=2"]), (2, ["train.shard=true"]),
     (2, ["train.shard=true", "train.micro_batch=2"])],
    ids=["1 × 4 twice", "2 × 4", "2 × 2 twice", "2 × 4 sharded", "2 × 2 twice, sharded"],
)  # fmt: skip
def test_the_same_weights_after_twenty_steps(models, alone, tmp_path, world, more):  # noqa: F811
    out = tmp_path / "run"
    assert train(models, out, world, *more)[1] == [0] * world, said(out)
    assert apart(weights(alone), weights(out)) < 1e-5
    start = load_file(models / "sd/unet/diffusion_pytorch_model.safetensors")
    moved = {name: tensor for name, tensor in weights(alone).items() if name != "conv_in.weight"}
    del start["conv_in.weight"]
    assert apart(moved, start) > 1e-4, "they have moved"
    losses = [[row["total"] for row in Journal.read(run / "metrics.jsonl")] for run in (alone, out)]
    assert len(losses[0]) == 20 and losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert (out / "samples/000000160.png").read_bytes()
    StableDiffusionInstructPix2PixPipeline.from_pretrained(out / "model")
