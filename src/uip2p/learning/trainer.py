"""One trainer for every objective. It knows nothing of diffusion, CLIP or attention: an objective maps (batch, draws)
to named losses, and the trainer makes them small, survives whatever happens, and writes down what it saw.

Everything is a function of (seed, step, sample), so the same command resumes, and ends with the same weights bit for
bit as a run that nobody interrupted (on one machine, with deterministic kernels).

An objective is an nn.Module; trained are its parameters with requires_grad. It has
    forward(batch: list[dict], draw: Draw) -> Outcome      losses and logs, one number a sample
    samples(batch, draw) -> uint8 [H, W, 3] | None         a picture of how training goes
    export(folder: Path)                                   writes the finished model into the folder, which is empty
    alarm(means: dict[str, float]) -> str | None           (optional) a sentence when the run goes wrong
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn
from tqdm import tqdm

from uip2p.config import to_dict
from uip2p.errors import UserError
from uip2p.images import save_image
from uip2p.learning import checkpoint, journal
from uip2p.learning.data import StepSampler, batches, step_samples
from uip2p.learning.devices import check_devices, make_accelerator
from uip2p.learning.finish import Result, export, read_finished, snapshot
from uip2p.learning.forward import add, forward, split, to_numbers
from uip2p.learning.objective import Outcome
from uip2p.learning.optimizer import build_optimizer, set_learning_rate
from uip2p.learning.randomness import Draw, key
from uip2p.learning.ranks import from_main, together
from uip2p.learning.sharding import accumulate, all_whole, shard, whole
from uip2p.learning.state import TrainState, frozen_weights, load_best, save_best
from uip2p.learning.train_config import TrainConfig, free_to_change
from uip2p.models.ema import EMA, trainable

__all__ = ["Outcome", "Result", "TrainConfig", "train"]

VALIDATION, SAMPLES = -1, -2  # the "steps" of draws that are not training's
PATIENCE = 10  # this many non-finite steps in a row end the run


def train(
    objective: nn.Module,
    dataset: Any,
    config: TrainConfig,
    out: Path | str,
    validation: Any = None,
    *,
    recipe: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> Result:
    """Train `objective` on `dataset` into the folder `out`; called again, go on where it stopped.

    dataset, validation: [index] -> dict for any index >= 0, pure functions of the index.
    recipe: everything else that decides the training (the data's seed, the losses' weights …). It is written into
    config.json, and a run is resumed only with the same.

    Raises UserError when the folder holds another training, when the disk is full, when every checkpoint is damaged,
    and after ten non-finite steps in a row.
    """
    out = Path(out)
    accelerator = make_accelerator(config)
    check_devices(config, objective, accelerator.num_processes)
    with ExitStack() as held, together(accelerator, out):

        def enter() -> None:
            held.enter_context(journal.locked(out))
            frozen = frozen_weights(objective)
            settings = {"train": to_dict(config), "recipe": dict(recipe or {}), "frozen_weights": frozen}
            journal.check_config(out / "config.json", settings, free_to_change(config))

        from_main(accelerator, enter)
        return Trainer(accelerator, objective, dataset, config, out, validation, progress).run()


class Trainer:
    """One run. `train` is the way in."""

    def __init__(
        self,
        accelerator: Accelerator,
        objective: nn.Module,
        dataset: Any,
        config: TrainConfig,
        out: Path,
        validation: Any,
        progress: bool,
    ):
        self.accelerator, self.dataset, self.config, self.out = accelerator, dataset, config, out
        self.objective: Any = objective.to(accelerator.device)
        self.validation, self.progress = validation, progress
        self.main = accelerator.is_main_process
        self.rank, self.world = accelerator.process_index, accelerator.num_processes
        self.sharded = config.shard and self.world > 1
        if self.sharded:
            shard(objective, self.world, accelerator.device)
        parameters = trainable(objective)
        ema = EMA(parameters, config.ema_decay)
        self.model = objective if self.sharded else accelerator.prepare(objective)
        self.optimizer = accelerator.prepare(build_optimizer(parameters, config))
        self.state = TrainState(objective, ema, self.optimizer, accelerator.scaler)

    # The run

    def run(self) -> Result:
        config = self.config
        finished = from_main(self.accelerator, lambda: read_finished(config, self.out))
        if finished is not None:
            self._say(f"{self.out}: finished already, at step {finished.step}; the model is in {finished.model}.")
            return finished
        if self.state.resume(self.out / "checkpoints", config.steps, self.accelerator):
            self._say(f"{self.out}: going on from step {self.state.step} of {config.steps}.")
        if from_main(self.accelerator, lambda: load_best(self.out / "best")[2]) is None:
            self.state.best = math.inf
        if self.main:
            self.journal = journal.Journal(self.out / "metrics.jsonl", self.state.step)
        shown, total = self.main and self.progress, config.steps * config.batch_size
        bar = journal.progress_bar(self.out.name, self._images(), total, shown)
        with journal.Stop() as stop, bar:
            stopped = self._loop(stop, bar)
        if stopped:
            self._say(f"{self.out}: stopped and saved at step {self.state.step}; run the same command again to go on.")
            return Result(self.state.step, False, self.out / "model")
        self.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False)
        result = export(self.objective, self.state, config, self.out, self.accelerator)
        self._say(f"{self.out}: finished; {result.model} has the weights of step {result.exported} of {result.step}.")
        return result

    def _loop(self, stop: journal.Stop, bar: tqdm) -> bool:
        """The steps that are left. True when a signal ended them early."""
        config, state = self.config, self.state
        sampler = StepSampler(state.step, config.steps, config.batch_size, self.rank, self.world)
        begin, mark = time.monotonic() - state.seconds, (time.monotonic(), state.step)
        for items in batches(self.dataset, sampler, config.workers):
            asked = self._update(items, stop)
            now = time.monotonic()
            state.seconds = now - begin
            bar.update(config.batch_size)
            last = state.step == config.steps
            if last or state.step % config.log_every == 0:
                self._log((state.step - mark[1]) * config.batch_size / max(1e-9, now - mark[0]), bar)
                mark = now, state.step
            if self.validation is not None and self._due(config.validate_every, last):
                self._validate()
            if config.sample_every_images and self._crossed(config.sample_every_images):
                self._sample()
            if config.snapshot_every_images and self._crossed(config.snapshot_every_images):
                snapshot(self.objective, state, self.out / "snapshots", self._images(), self.accelerator)
            if asked or self._due(config.save_every, last):
                state.save(self.out / "checkpoints", config.keep, self.accelerator)
            if asked and not last:
                return True
        return False

    def _due(self, every: int, last: bool) -> bool:
        return every > 0 and (last or self.state.step % every == 0)

    def _crossed(self, images: int) -> bool:
        """Whether this step passed a multiple of so many images."""
        seen = self.state.step * self.config.batch_size
        return seen // images > (seen - self.config.batch_size) // images

    # One step

    def _update(self, items: list[dict], stop: journal.Stop) -> bool:
        """One update of the weights, or a skipped one. Returns whether any process was asked to stop."""
        config, state, step = self.config, self.state, self.state.step
        samples = step_samples(step, config.batch_size, self.rank, self.world)
        set_learning_rate(self.optimizer, config.learning_rate_at(step))
        # For what draws without asking, like dropout in a library's module.
        torch.manual_seed(key("global", config.seed, step, self.rank) % 2**63)
        sums: dict[str, Tensor] = {}
        totals = []
        pieces = split(len(items), config.parts(len(items)))
        for piece in pieces:
            with self._accumulating(piece is pieces[-1]), self.accelerator.autocast():
                draw = Draw(config.seed, step, samples[piece], self.accelerator.device)
                total, more = forward(self.model, items[piece], draw)
                # DDP takes the mean over processes: the gradient is that of the sum over samples / batch_size.
                self.accelerator.backward(total.sum() * (self.world / config.batch_size))
            totals.append(total.detach())
            sums = add(sums, more)
        norm = whole(self.accelerator.clip_grad_norm_(state.parameters.values(), config.gradient_clip or math.inf))
        numbers = to_numbers(self.accelerator, {"stop": norm.new_tensor(float(stop.asked)), "norm": norm, **sums})
        asked, norm = numbers.pop("stop") > 0, numbers.pop("norm") / self.world
        means = {name: total / config.batch_size for name, total in numbers.items()} | {"grad_norm": norm}
        if math.isfinite(means["total"]) and math.isfinite(means["grad_norm"]):
            self.optimizer.step()
            state.ema.update(step - state.skipped)
            state.means.add(means)
            state.bad = []
        else:
            self._skip(samples, torch.cat(totals))
        self.optimizer.zero_grad(set_to_none=True)
        state.step += 1
        if len(state.bad) == PATIENCE:
            raise UserError(
                f"{PATIENCE} steps in a row, up to step {state.step}, had a loss or a gradient that is not finite. "
                f"Look at their samples, or lower learning_rate: {[sample for ids in state.bad for sample in ids]}."
            )
        return asked

    def _accumulating(self, last: bool) -> Any:
        if self.sharded:
            accumulate(self.objective, last)
        return nullcontext() if last or self.sharded else self.accelerator.no_sync(self.model)

    def _skip(self, samples: range, totals: Tensor) -> None:
        """A loss or gradient is not finite: leave weights, averages and moments alone, and say which samples."""
        state = self.state
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.update()  # fp16: a smaller loss scale next time
        faulty = [sample for sample, finite in zip(samples, totals.isfinite().tolist(), strict=True) if not finite]
        if self.world > 1:
            faulty = gather_object(faulty)
        # Where every loss is finite and the gradient is not, it may be any of them.
        faulty = sorted(faulty) or list(step_samples(state.step, self.config.batch_size))
        state.skipped += 1
        state.bad.append(faulty)
        self._write({"step": state.step + 1, "nonfinite": True, "samples": faulty, "skipped": state.skipped})

    # What is written

    def _log(self, rate: float, bar: tqdm) -> None:
        state = self.state
        if not state.means.count:
            return  # every step since the last row was skipped; those have rows of their own
        means = state.means.take()
        row = {"step": state.step, "images": self._images(), **means, "lr": float(self.optimizer.param_groups[0]["lr"])}
        row |= {"images_per_second": round(rate, 2), "skipped": state.skipped, "seconds": round(state.seconds, 2)}
        alarm = getattr(self.objective, "alarm", None)
        sentence = alarm(means) if alarm is not None else None
        if sentence:
            row["alarm"] = sentence
            if not state.alarmed:
                self._say(f"ALARM at step {state.step}: {sentence}")
            state.alarmed = True
        self._write(row)
        bar.set_postfix_str(f"loss {means['total']:.4g}", refresh=False)

    def _validate(self) -> None:
        """The objective on fixed samples and fixed draws, under the averaged weights; keeps the best of them."""
        config, state = self.config, self.state
        sums: dict[str, Tensor] = {}
        with self.state.ema.judging(self.objective), self.accelerator.autocast():
            for number in range(config.validation_batches):
                samples = step_samples(number, config.batch_size, self.rank, self.world)
                for piece in split(len(samples), config.parts(len(samples))):
                    draw = Draw(config.seed, VALIDATION, samples[piece], self.accelerator.device)
                    _, more = forward(self.model, [self.validation[sample] for sample in samples[piece]], draw)
                    sums = add(sums, more)
        count = config.validation_batches * config.batch_size
        means = {name: total / count for name, total in to_numbers(self.accelerator, sums).items()}
        loss = means["total"]
        best = loss < state.best
        self._write({"step": state.step, "images": self._images(), "validation": means, "best": best})
        if best:
            state.best = loss
            averages = all_whole(state.ema.averages, self.main)
            from_main(self.accelerator, lambda: save_best(self.out / "best", averages, loss, state.step))
        if self.progress:
            self._say(f"step {state.step}: validation loss {loss:.4g}{' (the best so far)' if best else ''}")

    def _sample(self) -> None:
        if not (self.main or self.sharded):  # sharded, nobody can run alone
            return
        source = self.dataset if self.validation is None else self.validation
        samples = range(self.config.sample_pictures)
        draw = Draw(self.config.seed, SAMPLES, samples, self.accelerator.device)
        with self.state.ema.judging(self.objective), self.accelerator.autocast():
            picture = self.objective.samples([source[sample] for sample in samples], draw)
        if picture is not None and self.main:
            folder = self.out / "samples"
            with checkpoint.writing(folder):
                folder.mkdir(exist_ok=True)
            save_image(picture, folder / f"{self._images():09d}.png")

    def _images(self) -> int:
        return self.state.step * self.config.batch_size

    def _write(self, row: Mapping[str, Any]) -> None:
        if self.main:
            self.journal.write(row)

    def _say(self, sentence: str) -> None:
        if self.main:
            tqdm.write(sentence, file=sys.stderr)
