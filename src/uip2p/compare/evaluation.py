"""The evaluations of a comparison: which there are, and how they are made, several at once and never twice.

Each is one call of `evaluate_scenes`. Its summary lies beside the model, with its cases' rows, under a key of all that
it depends on: the weights, the judge, the sampling, the cases and the code that measures.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

import uip2p.evaluate
from uip2p.compare.config import ComparisonConfig, Sampling
from uip2p.compare.training import Training
from uip2p.errors import UserError
from uip2p.evaluate.command import quiet_libraries
from uip2p.evaluate.quick import evaluate_scenes
from uip2p.evaluate.rows import digest, fingerprint
from uip2p.images import write_atomic

Summary = dict[str, Any]
CASES_A_WORKER = 100  # a process takes seconds to start: for fewer cases it does not pay


@dataclass(frozen=True)
class Evaluation:
    """One model on some cases. name: what it is for, unique in `folder`, where its files go."""

    name: str
    folder: Path
    model: Path
    sampling: Sampling
    split: str
    seed: int
    count: int
    sessions: int = 0

    @property
    def rows(self) -> Path:
        return self.folder / f"{self.name}.jsonl"

    @property
    def cases(self) -> int:
        return self.count + self.sessions


def sweep_evaluations(training: Training, config: ComparisonConfig) -> list[Evaluation]:
    """Every setting of the grid on validation, in the grid's order."""
    sweep = config.sweep
    return [
        _evaluation(training, f"sweep-{_label(sampling)}", sampling, "validation", sweep.seed, sweep.count)
        for sampling in sweep.grid()
    ]


def test_evaluations(training: Training, config: ComparisonConfig, chosen: Sampling) -> dict[str, Evaluation]:
    """Split → evaluation: "test" with its sessions, and the further splits."""
    test = config.test
    label = _label(chosen)
    found = {"test": _evaluation(training, f"test-{label}", chosen, "test", test.seed, test.count, test.sessions)}
    for split, count in test.splits.items():
        found[split] = _evaluation(training, f"{split}-{label}", chosen, split, test.seed, count)
    return found


def curve_evaluations(
    training: Training, config: ComparisonConfig, chosen: Sampling
) -> dict[str, dict[float, Evaluation]]:
    """Curve ("steps", "guidance_scale", "image_guidance_scale", "samples") → place on its x axis → evaluation. Empty
    for a row without curves, and for a seed that is not followed."""
    row, curves = training.row, config.curves
    followed = row.seeds[: curves.seeds or None]
    found: dict[str, dict[float, Evaluation]] = {}
    if training.seed not in followed:
        return found

    def evaluation(curve: str, sampling: Sampling, model: Path | None = None, more: str = "") -> Evaluation:
        name = f"{curve}-{more}{_label(sampling)}"
        return _evaluation(training, name, sampling, "test", config.test.seed, curves.count, model=model)

    _, guidance, image_guidance = chosen.steps, chosen.guidance_scale, chosen.image_guidance_scale
    if row.curves:
        found["steps"] = {
            steps: evaluation("steps", Sampling(steps, guidance, image_guidance)) for steps in curves.steps
        }
        found["guidance_scale"] = {
            scale: evaluation("guidance", Sampling(chosen.steps, scale, image_guidance))
            for scale in curves.guidance_scale
        }
        found["image_guidance_scale"] = {
            scale: evaluation("image-guidance", Sampling(chosen.steps, guidance, scale))
            for scale in curves.image_guidance_scale
        }
    if row.samples_curve:
        snapshots = sorted(path for path in (training.out / "snapshots").glob("*") if path.name.isdigit())
        found["samples"] = {int(path.name): evaluation("samples", chosen, path, f"{path.name}-") for path in snapshots}
    return found


def _evaluation(
    training: Training,
    name: str,
    sampling: Sampling,
    split: str,
    seed: int,
    count: int,
    sessions: int = 0,
    model: Path | None = None,
) -> Evaluation:
    folder = training.out / "evaluations"
    return Evaluation(name, folder, model or training.model, sampling, split, seed, count, sessions)


def _label(sampling: Sampling) -> str:
    return f"{sampling.steps}-steps-t{sampling.guidance_scale:g}-i{sampling.image_guidance_scale:g}"


class Evaluator:
    """Makes evaluations that are not known yet, and gives back those that are."""

    def __init__(self, judge: Path | None, jobs: int = 1):
        self.judge, self.jobs = judge, jobs
        self.fingerprints: dict[Path, str] = {}
        self.code = _digest_of_code()

    def known(self, evaluation: Evaluation) -> Summary | None:
        """Its result, as evaluate_scenes returns it, of the samples only what the model scored; None where it has not
        been made."""
        try:
            saved = json.loads(_saved(evaluation).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return saved if saved.get("key") == self.key(evaluation) else None

    def key(self, evaluation: Evaluation) -> str:
        parts = {
            "model": self._fingerprint(evaluation.model),
            "judge": self._fingerprint(self.judge) if self.judge else None,
            "code": self.code,
            "sampling": asdict(evaluation.sampling),
            "cases": [evaluation.split, evaluation.seed, evaluation.count, evaluation.sessions],
        }
        return digest(parts)

    def make(self, evaluations: Iterable[Evaluation], title: str) -> dict[str, str]:
        """Make those that are not known, `jobs` at once; returns the name and fault of each that failed. A bar shows
        the cases done."""
        todo = [evaluation for evaluation in evaluations if self.known(evaluation) is None]
        faults = {}
        total = sum(evaluation.cases for evaluation in todo)
        with closing(self._run(todo)) as runs, tqdm(total=total, desc=title, unit="case", disable=not todo) as bar:
            for evaluation, error in runs:
                if error is not None:
                    if not isinstance(error, UserError):
                        tqdm.write("".join(traceback.format_exception(error)), file=sys.stderr)
                    faults[str(evaluation.rows.with_suffix(""))] = str(error) or type(error).__name__
                bar.update(evaluation.cases)
        return faults

    def _run(self, todo: Sequence[Evaluation]) -> Generator[tuple[Evaluation, BaseException | None]]:
        work = [(evaluation, self.judge, self.key(evaluation)) for evaluation in todo]
        workers = min(self.jobs, len(todo), 1 + sum(evaluation.cases for evaluation in todo) // CASES_A_WORKER)
        if workers <= 1:
            with _sigterm_interrupts():
                for job in work:
                    yield job[0], _attempt(job)
            return
        context = multiprocessing.get_context("spawn")
        with _sigterm_interrupts(), ProcessPoolExecutor(workers, context, _begin_worker) as pool:
            try:
                futures = {pool.submit(_evaluate, *job): job[0] for job in work}
                for future in as_completed(futures):
                    yield futures[future], future.exception()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                for process in multiprocessing.active_children():
                    process.terminate()  # the cases that are done are on the disk
                raise

    def _fingerprint(self, folder: Path) -> str:
        if folder not in self.fingerprints:
            self.fingerprints[folder] = fingerprint(folder)
        return self.fingerprints[folder]


def _saved(evaluation: Evaluation) -> Path:
    return evaluation.rows.with_suffix(".json")


def _attempt(job: tuple[Evaluation, Path | None, str]) -> Exception | None:
    try:
        _evaluate(*job)
    except Exception as error:
        return error
    return None


def _evaluate(evaluation: Evaluation, judge: Path | None, key: str) -> None:
    sampling = evaluation.sampling
    evaluation.folder.mkdir(parents=True, exist_ok=True)
    result = evaluate_scenes(
        evaluation.model,
        split=evaluation.split,
        seed=evaluation.seed,
        count=evaluation.count,
        session_count=evaluation.sessions,
        judge=judge,
        steps=sampling.steps,
        guidance=sampling.guidance_scale,
        image_guidance=sampling.image_guidance_scale,
        rows_jsonl=evaluation.rows,
        progress=False,
    )
    result["samples"] = [
        {name: sample[name] for name in ("case", "turns", "kind")} | sample["rows"]["model"]
        for sample in result["samples"]
    ]
    write_atomic(_saved(evaluation), (json.dumps({"key": key, **result}) + "\n").encode())


def _begin_worker() -> None:
    """Of a pool: one thread, silent libraries; Ctrl-C is the parent's to hear, and without a parent nobody waits."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    quiet_libraries()
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """SIGTERM raises KeyboardInterrupt, as SIGINT does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _digest_of_code() -> str:
    """Of everything in uip2p.evaluate: when it measures anew, no old summary is used (cases' rows may still be)."""
    hashed = hashlib.sha256()
    for path in sorted(Path(str(uip2p.evaluate.__file__)).parent.glob("*.py")):
        hashed.update(path.name.encode() + path.read_bytes())
    return hashed.hexdigest()[:16]


def choose(swept: Mapping[Sampling, float | None], least: bool = False) -> tuple[Sampling, float]:
    """Sampling → value of the figure: the best one, of equals the first. UserError: no value at all."""
    values = {sampling: value for sampling, value in swept.items() if value is not None}
    if not values:
        raise UserError("the sweep's figure is defined for no setting: choose another in [comparison.sweep] maximise.")
    best = min(values, key=lambda sampling: values[sampling] if least else -values[sampling])
    return best, values[best]
