"""One training step of the cycle, four ways, side by side in one process.

    python benchmarks/cycle_step.py                 Stable Diffusion 1.5's shape at 256 px, random weights, LoRA, batch 1
    python benchmarks/cycle_step.py --mini          the miniature as it trains, batch 16

    plain   as a training script writes it down: every frozen network at every step, attention by explicit matrices
            wherever maps are wanted, the whole decoder, CLIP once a picture
    tuned   what a careful user makes of it: fused attention where no map is wanted, latents, texts and the source's
            CLIP embedding cached, channels_last, fused AdamW
    exact   ours (`CycleObjective`), from the same cache: the same mathematics
    lean    ours with a tiny decoder for the losses: other mathematics, so it has no gate

Gate: `plain`, `tuned` and `exact` must agree in the losses of the first step to 1e-4, and in what three steps make of the
parameters; else FAIL and no ratio. Rounds go A B C D A B C D, an A/A control beside them; times are medians. Peak memory
is the process's, above what it had before the step. The last line ends in `ratio X`: lean over plain.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil
import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from uip2p.evaluate.rows import commit, versions
from uip2p.learning.cycle import CycleConfig, CycleObjective
from uip2p.learning.plan import measure_flops
from uip2p.learning.randomness import Draw
from uip2p.models import full_size
from uip2p.models.attention import TapProcessor
from uip2p.models.clip import Clip
from uip2p.models.latent_editor import LatentEditor
from uip2p.models.lora import LoraConfig
from uip2p.models.settings import Settings

TEXTS = ("caption", "instruction", "edited_caption", "reverse_instruction")
WEIGHTS = CycleConfig(dropout=0.0)


@dataclass
class Models:
    editor: LatentEditor
    clip: Clip
    size: int
    batch: int


def build(mini: bool, batch: int | None) -> Models:
    torch.manual_seed(0)
    if mini:
        from uip2p.models.clip import load_clip
        from uip2p.models.folder import load_pipeline
        from uip2p.models.widen import widen_conv_in

        p = load_pipeline("mini-base")
        editor = LatentEditor(widen_conv_in(p.unet), p.vae, p.text_encoder, p.tokenizer, p.scheduler)
        from uip2p.learning.recipes import SHIPPED

        return Models(editor, load_clip(SHIPPED["clip"]), 64, batch or 16)
    editor = LatentEditor(
        full_size.sd15_unet(), full_size.sd_autoencoder(), full_size.clip_l_text(), full_size.tokenizer(),
        full_size.scheduler(), lora=LoraConfig(rank=64),
    )  # fmt: skip
    return Models(editor, full_size.clip_l().freeze(), 256, batch or 1)


# ---- the two peers, written out from diffusers' and transformers' classes ----------------------------


class ExplicitMaps(AttnProcessor):
    """Cross-attention by explicit matrices, keeping the probabilities of every head, as attention-map code does."""

    def __init__(self, kept: list[tuple[Tensor, int]], max_positions: int | None = None):
        super().__init__()
        self.kept, self.max_positions = kept, max_positions
        self.fused = AttnProcessor2_0()

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None):
        if self.max_positions is not None and hidden_states.shape[1] > self.max_positions:
            return self.fused(attn, hidden_states, encoder_hidden_states, attention_mask, temb)
        query = attn.head_to_batch_dim(attn.to_q(hidden_states))
        key = attn.head_to_batch_dim(attn.to_k(encoder_hidden_states))
        value = attn.head_to_batch_dim(attn.to_v(encoder_hidden_states))
        probabilities = attn.get_attention_scores(query, key)
        self.kept.append((probabilities, attn.heads))
        out = attn.batch_to_head_dim(torch.bmm(probabilities, value))
        return attn.to_out[1](attn.to_out[0](out))


def maps_of(kept: list[tuple[Tensor, int]], content: Tensor, max_positions: int = 16**2) -> list[Tensor]:
    """Mean over heads, sum over content tokens, mean one: of the layers that the loss compares."""
    found = []
    for probabilities, heads in kept:
        if probabilities.shape[1] <= max_positions:
            mean = probabilities.float().unflatten(0, (-1, heads)).mean(1)
            attended = (mean * content[:, None, :]).sum(-1) + 1e-6
            found.append(attended / attended.mean(-1, keepdim=True))
    return found


def rms(x: Tensor) -> Tensor:
    return x.flatten(1).square().mean(-1).add(1e-8).sqrt()


class Peer:
    """The method of the paper step by step. tuned: with what a careful user adds."""

    def __init__(self, models: Models, cache: dict[str, Any], tuned: bool):
        self.m, self.cache, self.tuned = models, cache, tuned

    @contextmanager
    def attention(self, kept: list[tuple[Tensor, int]]) -> Iterator[None]:
        unet = self.m.editor.unet
        before = unet.attn_processors
        limit = 16**2 if self.tuned else None
        explicit, other = ExplicitMaps(kept, limit), AttnProcessor2_0() if self.tuned else AttnProcessor()
        unet.set_attn_processor({name: explicit if ".attn2." in name else other for name in before})
        try:
            yield
        finally:
            unet.set_attn_processor(before)

    def losses(self, batch: list[dict], draw: Draw) -> dict[str, Tensor]:
        m, editor, clip = self.m, self.m.editor, self.m.clip
        x = torch.from_numpy(np.stack([row["image"] for row in batch])).permute(0, 3, 1, 2).float() / 127.5 - 1
        scale, alpha = editor.vae.config.scaling_factor, editor.alpha_bar
        side = m.size // editor.factor
        shape = (editor.vae.config.latent_channels, side, side)
        posterior_noise, eps1, eps2 = (draw.normal(name, shape) for name in ("posterior", "ε₁", "ε₂"))
        t, s = (draw.integers(name, 1000) for name in ("t", "t'"))
        with torch.no_grad():
            if self.tuned:
                mean, std = self.cache["mean"], self.cache["std"]
                forward, reverse = self.cache["forward"], self.cache["reverse"]
            else:
                posterior = editor.vae.encode(x).latent_dist
                mean, std = posterior.mean, posterior.std
                forward, reverse = (editor.read([row[k] for row in batch]) for k in ("instruction", "reverse_instruction"))
        z, c = (mean + std * posterior_noise) * scale, mean
        a, b = alpha[t].view(-1, 1, 1, 1), alpha[s].view(-1, 1, 1, 1)

        def predict(inputs: Tensor, at: Tensor, told: Any, kept: list) -> Tensor:
            with self.attention(kept):
                return editor.unet(inputs, at, encoder_hidden_states=told.states).sample

        kept_f: list = []
        kept_r: list = []
        z_t = a.sqrt() * z + (1 - a).sqrt() * eps1
        z_e = self.clean(z_t, predict(torch.cat([z_t, c], 1), t, forward, kept_f), a)
        z_s = b.sqrt() * z_e + (1 - b).sqrt() * eps2
        z_r = self.clean(z_s, predict(torch.cat([z_s, z_e / scale], 1), s, reverse, kept_r), b)
        edited, back = (editor.vae.decode(latent / scale).sample.clamp(-1.2, 1.2) for latent in (z_e, z_r))
        with torch.no_grad():
            if self.tuned:
                e_x, t_x, t_e = self.cache["image"], self.cache["caption"], self.cache["edited"]
            else:
                e_x = clip.embed_images(x)
                t_x, t_e = (clip.embed_texts([row[k] for row in batch]) for k in ("caption", "edited_caption"))
        if self.tuned:
            e_e, e_r = clip.embed_images(torch.cat([edited, back])).chunk(2)
        else:
            e_e, e_r = clip.embed_images(edited), clip.embed_images(back)
        maps = maps_of(kept_f, forward.content), maps_of(kept_r, reverse.content)
        return {
            "direction": 1 - F.cosine_similarity(e_e - e_x, t_e - t_x, dim=-1, eps=1e-3),
            "similarity": 1 - F.cosine_similarity(e_e, t_e, dim=-1),
            "attention": 0.5 * sum(rms(f - r) for f, r in zip(*maps, strict=True)),
            "reconstruction": rms(x - back) + 1 - F.cosine_similarity(e_r, e_x, dim=-1),
        }

    def clean(self, noisy: Tensor, prediction: Tensor, a: Tensor) -> Tensor:
        if self.m.editor.prediction_type == "epsilon":
            return (noisy - (1 - a).sqrt() * prediction) / a.sqrt()
        return a.sqrt() * noisy - (1 - a).sqrt() * prediction


# ---- ours --------------------------------------------------------------------------------------------


def cached_rows(models: Models, rows: list[dict]) -> tuple[list[dict], dict[str, Any]]:
    """The rows as a cache would give them (fp32 here, so that the gate can be strict), and the same for `tuned`."""
    editor, clip = models.editor, models.clip
    with torch.no_grad():
        x = torch.from_numpy(np.stack([row["image"] for row in rows])).permute(0, 3, 1, 2).float() / 127.5 - 1
        mean, std = editor.posterior(x)
        told = {key: editor.read([row[key] for row in rows]) for key in ("instruction", "reverse_instruction")}
        image = clip.embed_images(x)
        texts = {key: clip.embed_texts([row[key] for row in rows]) for key in ("caption", "edited_caption")}
    ours = []
    for i, row in enumerate(rows):
        extra = {"latent_mean": mean[i], "latent_std": std[i], "clip_image": image[i][None],
                 "clip_caption": texts["caption"][i][None], "clip_edited": texts["edited_caption"][i][None]}  # fmt: skip
        for key, reading in told.items():
            extra |= {f"{key}/states": reading.states[i], f"{key}/content": reading.content[i]}
        ours.append({**row, **{name: value.numpy() for name, value in extra.items()}})
    theirs = {"mean": mean, "std": std, "forward": told["instruction"], "reverse": told["reverse_instruction"],
              "image": image, "caption": texts["caption"], "edited": texts["edited_caption"]}  # fmt: skip
    return ours, theirs


@dataclass
class Way:
    """losses: (draw) → named losses [B]. Its parameters are kept beside: all ways share the networks."""

    name: str
    losses: Callable[[Draw], dict[str, Tensor]]
    fused: bool
    tiny: nn.Module | None = None
    last: bool = False  # channels_last


class Runner:
    def __init__(self, models: Models):
        self.m = models
        self.parameters = {n: p for n, p in models.editor.named_parameters() if p.requires_grad}
        self.start = {name: p.detach().clone() for name, p in self.parameters.items()}
        self.kept: dict[str, tuple[dict[str, Tensor], torch.optim.AdamW]] = {}

    def step(self, way: Way, number: int) -> tuple[dict[str, float], float, int]:
        """(losses, seconds, peak bytes) of one step of `way`, from where its last step left the parameters."""
        format_ = torch.channels_last if way.last else torch.contiguous_format
        for module in (self.m.editor.unet, self.m.editor.vae):
            module.to(memory_format=format_)
        weights, optimizer = self.kept.get(way.name, (self.start, None))
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(weights[name])
        if optimizer is None:
            optimizer = torch.optim.AdamW(self.parameters.values(), lr=1e-4, fused=way.fused, foreach=not way.fused)
        self.m.editor.tiny = way.tiny
        draw = Draw(1, number, range(self.m.batch))
        gc.collect()
        with peak_memory() as peak:
            began = time.perf_counter()
            losses = way.losses(draw)
            torch.stack([value.sum() for value in losses.values()]).sum().div(self.m.batch).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            seconds = time.perf_counter() - began
        self.kept[way.name] = ({n: p.detach().clone() for n, p in self.parameters.items()}, optimizer)
        return {name: value.mean().item() for name, value in losses.items()}, seconds, peak[0]


@contextmanager
def peak_memory() -> Iterator[list[int]]:
    """[bytes that the process had at most above what it had at the start], sampled every 10 ms."""
    process, peak, done = psutil.Process(), [0], threading.Event()
    before = process.memory_info().rss

    def watch() -> None:
        while not done.wait(0.01):
            peak[0] = max(peak[0], process.memory_info().rss - before)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mini", action="store_true")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--rounds", type=int, help="3 at full size, 7 for the miniature")
    args = parser.parse_args()
    rounds = args.rounds or (7 if args.mini else 3)
    models = build(args.mini, args.batch)
    random = np.random.default_rng(0)
    picture = random.integers(0, 256, (models.batch, models.size, models.size, 3), dtype=np.uint8)
    words = {"caption": "a red car", "instruction": "make the car blue", "edited_caption": "a blue car",
             "reverse_instruction": "make the car red"}  # fmt: skip
    rows: list[dict] = [{"image": picture[i], **words} for i in range(models.batch)]
    ours, theirs = cached_rows(models, rows)
    objective = CycleObjective(models.editor, [models.clip], WEIGHTS, Settings())
    taps = {name: TapProcessor(name) for name in models.editor.unet.attn_processors}

    def exact(draw: Draw) -> dict[str, Tensor]:
        models.editor.unet.set_attn_processor(dict(taps))
        return {name: value for name, value in objective(ours, draw).losses.items() if name in words_of}

    words_of = ("direction", "similarity", "attention", "reconstruction")
    plain, tuned = Peer(models, {}, tuned=False), Peer(models, theirs, tuned=True)
    tiny = None if args.mini else full_size.tiny_decoder().eval().requires_grad_(False)
    ways = [
        Way("plain", lambda draw: plain.losses(rows, draw), fused=False),
        Way("tuned", lambda draw: tuned.losses(rows, draw), fused=True, last=True),
        Way("exact", exact, fused=True, last=True),
        *([Way("lean", exact, fused=True, tiny=tiny, last=True)] if tiny else []),
        Way("plain again", lambda draw: plain.losses(rows, draw), fused=False),
    ]
    runner = Runner(models)
    seconds: dict[str, list[float]] = {way.name: [] for way in ways}
    memory: dict[str, int] = dict.fromkeys(seconds, 0)
    first: dict[str, dict[str, float]] = {}
    flops: dict[str, float] = {}
    for way in ways[: -1]:  # also the warm-up
        with FlopCounterMode(display=False) as counter:
            first[way.name] = runner.step(way, 0)[0]
        flops[way.name] = counter.get_total_flops() / models.batch
    runner.kept.clear()
    for number in range(rounds):
        for way in ways:
            _, took, peak = runner.step(way, number)
            seconds[way.name].append(took)
            memory[way.name] = max(memory[way.name], peak)
            print(f"round {number + 1}/{rounds} {way.name:12} {took:8.2f} s", flush=True)
    limit = measure_flops("fp32", seconds=2.0)
    print(f"\n{'':12} {'pictures/s':>10} {'spread':>7} {'peak GB':>8} {'TFLOP':>7} {'of limit':>8}")
    median = {name: statistics.median(values) for name, values in seconds.items()}
    for name, values in seconds.items():
        speed = models.batch / median[name]
        spread = (max(values) - min(values)) / median[name]
        count = flops.get(name, flops["plain"])
        print(f"{name:12} {speed:10.3f} {spread:7.1%} {memory[name] / 1e9:8.2f} {count / 1e12:7.3f} {speed * count / limit:8.1%}")
    print(f"limit: {limit / 1e9:.0f} GFLOP/s in fp32 products; torch {torch.get_num_threads()} threads; commit {commit()}; "
          f"{versions()}")  # fmt: skip
    faults = [
        f"{name}: {loss} {value:.6f}, plain {first['plain'][loss]:.6f}"
        for name in ("tuned", "exact")
        for loss, value in first[name].items()
        if abs(value - first["plain"][loss]) > 1e-4
    ]
    moved = {name: p - runner.start[name] for name, p in runner.kept["plain"][0].items()}
    length = sum(float(m.square().sum()) for m in moved.values()) ** 0.5
    for name in ("tuned", "exact"):
        apart = sum(float((p - runner.kept["plain"][0][n]).square().sum()) for n, p in runner.kept[name][0].items()) ** 0.5
        print(f"gate: {name} and plain, parameters after {rounds} steps: apart by {apart / length:.2%} of the way they went")
        if apart > 0.05 * length:
            faults.append(f"{name}: parameters are {apart / length:.1%} apart")
    if faults:
        print("\n".join(["FAIL", *faults]))
        return 1
    best = "lean" if tiny else "exact"
    print(f"exact over tuned {median['tuned'] / median['exact']:.3f}; A/A {median['plain'] / median['plain again']:.3f}; "
          f"memory {best} {memory[best] / memory['plain']:.2f} of plain")  # fmt: skip
    print(f"ratio {median['plain'] / median[best]:.3f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
