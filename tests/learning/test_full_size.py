"""The full-size recipes, on real tiny models of the same classes in the same folder layout: one code path."""

import json
import shutil
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderTiny,
    StableDiffusionInstructPix2PixPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLInstructPix2PixPipeline,
)
from PIL import Image
from safetensors.torch import load_file
from tiny import SIZE, WORDS, build_pipeline, build_xl_pipeline

from uip2p.cli import main
from uip2p.learning import command
from uip2p.learning.journal import Journal
from uip2p.learning.recipes import read_recipe, recipe_names
from uip2p.models.clip import ClipConfig, build_clip
from uip2p.models.lora import FILE
from uip2p.models.publish import inspect
from uip2p.models.tokenizer import build_tokenizer

FULL_SIZE = [name for name in recipe_names() if name.startswith("sd")]
ROW = {"caption": "a red car", "instruction": "make the car blue", "edited_caption": "a blue car",
       "reverse_instruction": "make the car red"}  # fmt: skip


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Bases as Stable Diffusion and SDXL come (4 channels), a loss encoder, a tiny decoder and records, in a folder."""
    root = tmp_path_factory.mktemp("full size")
    torch.manual_seed(3)
    for name, pipe in (("sd", build_pipeline(prediction_type="epsilon")), ("sdxl", build_xl_pipeline())):
        pipe.unet = type(pipe.unet).from_config({**pipe.unet.config, "in_channels": 4})
        pipe.save_pretrained(root / name)
    build_clip(ClipConfig(SIZE, 16, 16, 1, 2, 16, 1, 2, 16), build_tokenizer(WORDS, max_length=16)).save(root / "clip")
    AutoencoderTiny(
        encoder_block_out_channels=(8, 8, 8), decoder_block_out_channels=(8, 8, 8), num_encoder_blocks=(1, 1, 1),
        num_decoder_blocks=(1, 1, 1),
    ).save_pretrained(root / "tiny decoder")  # fmt: skip
    pipe.vae.save_pretrained(root / "vae")
    data, random = root / "data", np.random.default_rng(0)
    data.mkdir()
    for number in range(40):
        Image.fromarray(random.integers(0, 256, (40, 48, 3), dtype=np.uint8)).save(data / f"{number}.png")
    rows = [json.dumps({"file_name": f"{number}.png", **ROW}) for number in range(40)]
    (data / "metadata.jsonl").write_text("\n".join(rows))
    return root


def train(models, recipe: str, out, *more: str, extra: Sequence[str] = (), plan: bool = False) -> int:
    """plan: print it, too; to count a step takes longer than to take six."""
    tables, base = read_recipe(recipe), "sdxl" if recipe.startswith("sdxl") else "sd"
    overrides = [f"data.size={SIZE}", f"model.clips=['{models / 'clip'}']", "train.steps=3", "train.batch_size=4",
                 "train.micro_batch=2", "train.workers=0", "train.warmup_steps=0", "train.learning_rate=1e-3",
                 "train.log_every=1", "train.sample_every_images=8", "train.validate_every=2",
                 "train.validation_batches=1"]  # fmt: skip
    if tables["model"].get("tiny_decoder"):
        overrides.append(f"model.tiny_decoder='{models / 'tiny decoder'}'")
    if tables["model"].get("vae"):
        overrides.append(f"model.vae='{models / 'vae'}'")
    sets = [f"--set={override}" for override in (*overrides, *more)]
    argv = ["train", "--recipe", recipe, "--base", str(models / base), "--data", str(models / "data"),
            "--out", str(out), *sets, *extra]  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        if not plan:
            patch.setattr(command, "print_plan", lambda *_: None)
        return main(argv)


def edited(pipe) -> np.ndarray:
    pipe.set_progress_bar_config(disable=True)
    picture = Image.fromarray(np.full((SIZE, SIZE, 3), 120, np.uint8))
    return pipe("make the car red", image=picture, num_inference_steps=2, guidance_scale=2.0, output_type="np",
                generator=torch.Generator().manual_seed(0)).images[0]  # fmt: skip


@pytest.mark.parametrize("recipe", FULL_SIZE)
def test_a_recipe_trains_and_stock_pipelines_run_what_comes_out(models, tmp_path, recipe):
    assert train(models, recipe, tmp_path / "run", plan=True) == 0
    xl = recipe.startswith("sdxl")
    pipeline = StableDiffusionXLInstructPix2PixPipeline if xl else StableDiffusionInstructPix2PixPipeline
    pipe = pipeline.from_pretrained(tmp_path / "run/model")
    assert pipe.unet.config.in_channels == 8 and np.isfinite(edited(pipe)).all()
    rows = [row for row in Journal.read(tmp_path / "run/metrics.jsonl") if "total" in row]
    names = {"direction", "similarity", "attention", "reconstruction"}
    assert all(np.isfinite(row[name]) and row[name] != 0 for row in rows for name in names)
    assert list((tmp_path / "run/samples").glob("*.png"))
    card = (tmp_path / "run/model/README.md").read_text()
    texts = ["license: other", "pipeline_tag: image-to-image", f"--recipe {recipe} --data data", "records of `data`"]
    for text in (*texts, "| reconstruction |", "commit `", "12 pictures"):
        assert text in card, text
    assert len(inspect(tmp_path / "run/model").problems) == 1, "nothing of this machine; the base's licence is unknown"
    before = (build_xl_pipeline if xl else build_pipeline)().vae
    assert all(torch.equal(a, b) for a, b in zip(before.parameters(), pipe.vae.parameters(), strict=True)) or xl


def test_the_lora_file_on_the_widened_base_is_the_model(models, tmp_path):
    """Stock `load_lora_weights` on a stock pipeline that has never heard of us."""
    assert train(models, "sd15-lora", tmp_path / "run", "train.precision=fp32", "model.frozen=fp32") == 0
    whole = StableDiffusionInstructPix2PixPipeline.from_pretrained(tmp_path / "run/model")
    base = StableDiffusionPipeline.from_pretrained(models / "sd")
    wide = type(base.unet).from_config({**base.unet.config, "in_channels": 8})
    tensors = base.unet.state_dict()
    tensors["conv_in.weight"] = torch.cat([tensors["conv_in.weight"], torch.zeros_like(tensors["conv_in.weight"])], 1)
    wide.load_state_dict(tensors)
    parts = {name: getattr(base, name) for name in ("vae", "text_encoder", "tokenizer", "scheduler")}
    stock = StableDiffusionInstructPix2PixPipeline(
        **parts, unet=wide, safety_checker=None, feature_extractor=None, requires_safety_checker=False
    )
    bare = edited(stock)
    stock.load_lora_weights(tmp_path / "run/model", weight_name=FILE)
    assert np.abs(edited(stock) - edited(whole)).max() < 1e-4
    assert np.abs(edited(stock) - bare).max() > 1e-4
    assert (load_file(tmp_path / "run/model" / FILE)["unet.conv_in.lora_A.weight"] != 0).any()


def trajectory(models, out, *more: str, recipe: str = "sd15-ip2p") -> dict[str, np.ndarray]:
    """The UNet's change over six steps in fp32, on the way as these options have it."""
    assert train(models, recipe, out, "train.steps=6", "train.precision=fp32", "train.export=last",
                 "train.ema_decay=0", *more) == 0  # fmt: skip
    after = load_file(out / "model/unet/diffusion_pytorch_model.safetensors")
    before = load_file(models / "sd/unet/diffusion_pytorch_model.safetensors")
    before["conv_in.weight"] = torch.cat([before["conv_in.weight"], torch.zeros_like(before["conv_in.weight"])], 1)
    return {name: (tensor.float() - before[name]).numpy() for name, tensor in after.items()}


def apart(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    """How far apart two changes are, relative to the first one's length: 0 equal, 1.4 unrelated."""
    difference = sum(np.square(one[name] - other[name]).sum() for name in one)
    return float(np.sqrt(difference / sum(np.square(change).sum() for change in one.values())))


@pytest.fixture(scope="module")
def plain(models, tmp_path_factory):
    """The trajectory that the others are held to. Another seed's is far away: the measure can fail."""
    root = tmp_path_factory.mktemp("plain")
    found = trajectory(models, root / "run")
    assert apart(found, trajectory(models, root / "seed", "train.seed=9")) > 1
    return found


# Adam divides by the gradient's size, so where a gradient is next to zero rounding alone decides which way a weight
# goes: hence a tolerance for the whole change and none for each weight.
@pytest.mark.parametrize(
    ("options", "tolerance"),
    [
        (["model.checkpointing=true"], 1e-3),
        (["train.micro_batch=4"], 1e-2),
        (["train.micro_batch=1"], 1e-2),
        (["train.precision=bf16"], 0.3),
    ],
    ids=["checkpointing", "one part", "four parts", "bf16"],
)
def test_the_same_trajectory_by_another_way(models, plain, tmp_path, options, tolerance):
    assert apart(plain, trajectory(models, tmp_path / "run", *options)) < tolerance


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "tolerance"),
    [(["train.optimizer=adamw8bit"], 0.1), (["model.compile=true"], 1e-2)],
    ids=["8-bit Adam", "compile"],
)
def test_the_same_trajectory_by_compiled_ways(models, plain, tmp_path, options, tolerance):
    if "adamw8bit" in options[0]:
        pytest.importorskip("torchao")
    assert apart(plain, trajectory(models, tmp_path / "run", *options)) < tolerance


def test_an_editor_goes_on_bit_for_bit(models, tmp_path):
    """Its convolutions lie in NHWC; what a file gives back does not."""
    options = ("train.save_every=3", "train.precision=fp32", "train.export=last")
    assert train(models, "sd15-ip2p", tmp_path / "whole", "train.steps=6", *options) == 0
    for steps in (3, 6):
        assert train(models, "sd15-ip2p", tmp_path / "resumed", f"train.steps={steps}", *options) == 0
    for file in ("model", "ema", "optimizer"):
        whole, resumed = (load_file(tmp_path / run / f"checkpoints/step-00000006/{file}.safetensors")
                          for run in ("whole", "resumed"))  # fmt: skip
        assert whole.keys() == resumed.keys()
        assert all(torch.equal(whole[name], resumed[name]) for name in whole), file


@pytest.mark.slow
def test_moments_in_8_bits_are_resumed_bit_for_bit(models, tmp_path):
    pytest.importorskip("torchao")
    options = ("train.optimizer=adamw8bit", "train.save_every=3", "train.precision=fp32", "train.export=last")
    assert train(models, "sd15-ip2p", tmp_path / "whole", "train.steps=6", *options) == 0
    for steps in (3, 6):
        assert train(models, "sd15-ip2p", tmp_path / "resumed", f"train.steps={steps}", *options) == 0
    whole, resumed = (load_file(tmp_path / run / "checkpoints/step-00000006/model.safetensors")
                      for run in ("whole", "resumed"))  # fmt: skip
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    moments = load_file(tmp_path / "whole/checkpoints/step-00000006/optimizer.safetensors")
    assert any(":codes" in name for name in moments)


def test_corrupt_pictures_are_written_into_the_runs_folder_and_raising_the_bound_goes_on(models, tmp_path):
    data, out = shutil.copytree(models / "data", tmp_path / "data"), tmp_path / "run"
    for number in range(0, 40, 4):
        (data / f"{number}.png").write_bytes(b"garbage")
    broken = [f"--data={data}", "--set=train.save_every=1", "--set=train.steps=6"]
    assert train(models, "sd15-ip2p", out, extra=broken) == 2
    named = {json.loads(line)["row"] for line in (out / "quarantine.jsonl").read_text().splitlines()}
    assert len(named) >= 5 and named <= {f"{number}.png" for number in range(0, 40, 4)}
    assert train(models, "sd15-ip2p", out, "data.corrupt=0.5", extra=broken) == 0
    assert [row["step"] for row in Journal.read(out / "metrics.jsonl") if "images_per_second" in row][-1] == 6
