"""An editor as ONNX: the four networks of a Stable Diffusion editor in a folder laid out like its own, and back as
Parts that `Editor` runs, by onnxruntime or OpenVINO.

    unet/model.onnx   text_encoder/model.onnx   vae_encoder/model.onnx   vae_decoder/model.onnx
    and the tokenizer, the scheduler, model_index.json and uip2p.json as they are

Batch, height and width are free; texts have the encoder's full length, as always.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from uip2p.errors import UserError, first_line
from uip2p.models.parts import Parts, load_scheduler, load_tokenizer, stock_pipeline, unet_size
from uip2p.models.quiet import quiet
from uip2p.models.reading import tokenize
from uip2p.models.settings import Settings, load_settings, read_json, save_settings

NETWORKS = ("unet", "text_encoder", "vae_encoder", "vae_decoder")
OPSET = 18


def is_onnx(folder: Path) -> bool:
    return (folder / "unet/model.onnx").is_file()


def export_onnx(parts: Parts, folder: Path) -> None:
    """Write the four networks, fp32, and what belongs to them. UserError: SDXL, or onnx is not installed."""
    if parts.text_encoder_2 is not None:
        raise UserError(f"{parts.name}: SDXL is not exported to ONNX; give a Stable Diffusion editor.")
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError(f"to export ONNX, install {error.name}: pip install 'uip2p[onnx]'.") from None

    class Unet(nn.Module):
        def forward(self, sample: Tensor, timestep: Tensor, states: Tensor) -> Tensor:
            return parts.unet(sample, timestep, encoder_hidden_states=states).sample

    class Encoder(nn.Module):
        def forward(self, pictures: Tensor) -> Tensor:
            return parts.vae.encode(pictures).latent_dist.mean

    class Decoder(nn.Module):
        def forward(self, latents: Tensor) -> Tensor:
            return parts.vae.decode(latents).sample

    class Text(nn.Module):
        def forward(self, input_ids: Tensor) -> Tensor:
            return parts.text_encoder(input_ids)[0]

    channels, side = parts.vae.config.latent_channels, parts.unet.config.sample_size
    pixels = side * parts.vae_factor
    ids = tokenize(parts.tokenizer, parts.text_encoder, ["a", "b"])
    states = parts.text_encoder(ids)[0]
    batch = torch.export.Dim.AUTO
    free = {0: batch, 2: batch, 3: batch}
    examples: dict[str, tuple[nn.Module, tuple[Tensor, ...], Any]] = {
        "unet": (
            Unet(),
            (torch.randn(2, 2 * channels, side, side), torch.tensor([10, 20]), states),
            (free, {0: batch}, {0: batch}),
        ),
        "text_encoder": (Text(), (ids,), ({0: batch},)),
        "vae_encoder": (Encoder(), (torch.randn(2, 3, pixels, pixels),), (free,)),
        "vae_decoder": (Decoder(), (torch.randn(2, channels, side, side),), (free,)),
    }
    for name, (network, inputs, shapes) in examples.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        network.unet, network.vae, network.text_encoder = parts.unet, parts.vae, parts.text_encoder
        with torch.no_grad(), quiet():
            program = torch.onnx.export(
                network.eval(), inputs, dynamo=True, opset_version=OPSET, dynamic_shapes=shapes, verbose=False
            )
        assert program is not None
        program.save(str(folder / name / "model.onnx"))
    for part in ("tokenizer", "scheduler"):
        getattr(parts, part).save_pretrained(folder / part)
    for part in ("unet", "vae"):
        getattr(parts, part).save_config(folder / part)
    parts.text_encoder.config.save_pretrained(folder / "text_encoder")
    stock_pipeline(parts).save_config(folder)
    save_settings(parts.settings, folder)


Run = Callable[[list[np.ndarray]], np.ndarray]


def _onnxruntime(path: Path) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=onnxruntime.get_available_providers())
    names = [each.name for each in session.get_inputs()]
    return lambda arrays: session.run(None, dict(zip(names, arrays, strict=True)))[0]


def _openvino(path: Path) -> Run:
    import openvino

    # As exact as torch: by itself it rounds to bf16 where a CPU multiplies that.
    exact = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    model = openvino.Core().compile_model(path, "CPU", exact)
    return lambda arrays: model(arrays)[0]


RUNTIMES: dict[str, Callable[[Path], Run]] = {"onnxruntime": _onnxruntime, "openvino": _openvino}


class Network:
    """One file in a runtime, of RUNTIMES: tensors in, tensors out, fp32."""

    def __init__(self, path: Path, config: Any, runtime: str):
        try:
            self._run = RUNTIMES[runtime](path)
        except ImportError:
            raise UserError(f"{path}: to run it, install {runtime}: pip install {runtime}.") from None
        except Exception as error:  # both have errors of their own
            raise UserError(f"{path}: cannot be loaded ({first_line(error)}). Export it again.") from error
        self.config, self.device, self.dtype = config, torch.device("cpu"), torch.float32

    def run(self, *inputs: Tensor) -> Tensor:
        return torch.from_numpy(self._run([np.ascontiguousarray(value.detach().cpu().numpy()) for value in inputs]))

    def eval(self) -> Network:
        return self


class OnnxUnet(Network):
    def __call__(self, inputs: Tensor, t: Tensor, encoder_hidden_states: Tensor) -> Any:
        return SimpleNamespace(sample=self.run(inputs, t.long().expand(len(inputs)), encoder_hidden_states))


class OnnxTextEncoder(Network):
    def __call__(self, input_ids: Tensor) -> tuple[Tensor]:
        return (self.run(input_ids),)


class OnnxAutoencoder:
    """`encode(x).latent_dist.mode()` and `decode(z).sample`, as diffusers' AutoencoderKL has them."""

    def __init__(self, folder: Path, config: Any, runtime: str):
        self.encoder = Network(folder / "vae_encoder/model.onnx", config, runtime)
        self.decoder = Network(folder / "vae_decoder/model.onnx", config, runtime)
        self.config, self.device, self.dtype = config, torch.device("cpu"), torch.float32

    def encode(self, pictures: Tensor) -> Any:
        mean = self.encoder.run(pictures)
        return SimpleNamespace(latent_dist=SimpleNamespace(mode=lambda: mean, mean=mean))

    def decode(self, latents: Tensor) -> Any:
        return SimpleNamespace(sample=self.decoder.run(latents))


def load_onnx(folder: Path, runtime: str | None = None) -> Parts:
    """Parts of a folder that `export_onnx` wrote. runtime: of RUNTIMES, onnxruntime where None. UserError: there is no
    such runtime, or a file is missing or damaged."""
    runtime = runtime or "onnxruntime"
    if runtime not in RUNTIMES:
        raise UserError(f"there is no runtime '{runtime}': give one of {', '.join(RUNTIMES)}.")
    for name in NETWORKS:
        if not (folder / name / "model.onnx").is_file():
            raise UserError(f"{folder / name / 'model.onnx'}: this file is missing. Export the model again.")

    def config(part: str) -> Any:
        return SimpleNamespace(**read_json(folder / part / "config.json"))

    text, vae = config("text_encoder"), config("vae")
    text_encoder = OnnxTextEncoder(folder / "text_encoder/model.onnx", text, runtime)
    unet = OnnxUnet(folder / "unet/model.onnx", config("unet"), runtime)
    autoencoder = OnnxAutoencoder(folder, vae, runtime)
    tokenizer = load_tokenizer(folder / "tokenizer", text.vocab_size)
    scheduler = load_scheduler(folder / "scheduler", read_json(folder / "model_index.json"))
    default = unet_size(unet) * 2 ** (len(vae.block_out_channels) - 1)
    settings, loaded = load_settings(folder, Settings(image_size=default)), {"runtime": runtime, "dtype": "fp32"}
    return Parts(unet, autoencoder, text_encoder, tokenizer, scheduler, settings, str(folder), loaded=loaded)
