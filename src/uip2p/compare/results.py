"""From the evaluations of a comparison to one table of figures: mean, standard deviation, values over seeds."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from uip2p.compare.config import Comparison, RowConfig, Sampling
from uip2p.compare.evaluation import (
    Evaluation,
    Evaluator,
    Summary,
    choose,
    curve_evaluations,
    sweep_evaluations,
    test_evaluations,
)
from uip2p.compare.paired import compare
from uip2p.compare.training import Training, trainings
from uip2p.config import to_dict
from uip2p.evaluate.rows import commit, versions
from uip2p.evaluate.scene_tables import COLUMNS

Figures = dict[str, float | None]
Spread = dict[str, Any]  # {"mean": float | None, "sd": float | None, "values": [float | None]}
REFERENCES = ("copy-input", "round trip", "best possible")  # they need no training; any summary has them


def lower_is_better(figure: str) -> bool:
    return "↓" in COLUMNS[figure][0]


def spread(tables: Sequence[Mapping[str, float | None]]) -> dict[str, Spread]:
    """One table of figures a seed → figure → mean, sample standard deviation (None for fewer than two) and values.
    A figure that is not defined for some seed has the mean of those for which it is."""
    found: dict[str, Spread] = {}
    for figure in (name for name in COLUMNS if any(name in table for table in tables)):
        values = [table.get(figure) for table in tables]
        known = [value for value in values if value is not None]
        found[figure] = {
            "mean": statistics.fmean(known) if known else None,
            "sd": statistics.stdev(known) if len(known) > 1 else None,
            "values": values,
        }
    return found


def merge(summaries: Sequence[Summary], row: str = "model") -> dict[str, Any]:
    """Summaries of one suite, one a seed → turns → {"count", "all", "appendix", "kinds": kind → …}, each a table of
    figures over the seeds. What a summary does not have is left out."""
    merged: dict[str, Any] = {}
    for turns in summaries[0] if summaries else ():
        parts = [summary[turns] for summary in summaries]
        merged[turns] = {"count": parts[0]["count"]}
        for name in ("all", "appendix"):
            if all(name in part for part in parts):
                merged[turns][name] = spread([part[name][row] for part in parts])
        if all("kinds" in part for part in parts):
            merged[turns]["kinds"] = {
                kind: spread([part["kinds"][kind][row] for part in parts]) for kind in parts[0]["kinds"]
            }
    return merged


def sweep_of(
    row: RowConfig, comparison: Comparison, evaluator: Evaluator
) -> tuple[list[dict[str, Any]], Sampling, float] | None:
    """Every setting of the row's sweep with the model's figures on validation, the best setting, and its value of the
    figure that is maximised. None while a setting is not known."""
    first, maximise = trainings(comparison, [row])[0], comparison.config.sweep.maximise
    if not first.ready():
        return None
    sweep, values = [], {}
    for evaluation in sweep_evaluations(first, comparison.config):
        result = evaluator.known(evaluation)
        if result is None:
            return None
        figures = _figures(result["summary"]["single-turn"]["all"]["model"])
        sweep.append({**asdict(evaluation.sampling), "figures": figures})
        values[evaluation.sampling] = figures.get(maximise)
    return sweep, *choose(values, least=lower_is_better(maximise))


def assemble(comparison: Comparison, evaluator: Evaluator, command: str | None) -> dict[str, Any]:
    """All that is known, row by row in the comparison's order; a row of which nothing is known yet is left out."""
    rows = [found for row in comparison.rows if (found := row_results(row, comparison, evaluator)) is not None]
    return {
        "comparison": comparison.name,
        "about": comparison.config.about,
        "command": command,
        "commit": commit(),
        "versions": versions(),
        "settings": to_dict(comparison.config),
        "references": references(comparison, evaluator),
        "rows": rows,
        "against": against(comparison, evaluator),
    }


def row_results(row: RowConfig, comparison: Comparison, evaluator: Evaluator) -> dict[str, Any] | None:
    """The row's sweep, figures over its seeds, and curves; None where its test is not known for any seed."""
    swept = sweep_of(row, comparison, evaluator)
    if swept is None:
        return None
    sweep, sampling, value = swept
    made: dict[Training, dict[str, Summary]] = {}
    for training in trainings(comparison, [row]):
        evaluations = test_evaluations(training, comparison.config, sampling) if training.ready() else {}
        results = {split: evaluator.known(evaluation) for split, evaluation in evaluations.items()}
        if results and all(results.values()):
            made[training] = {split: result["summary"] for split, result in results.items() if result}
    if not made:
        return None
    return {
        "name": row.name,
        "recipe": row.recipe,
        "set": list(row.set),
        "samples": next(iter(made)).samples,
        "seeds": [training.seed for training in made],
        "trained": [_trained(training) for training in made],
        "chosen": asdict(sampling),
        "validation": {comparison.config.sweep.maximise: value},
        "sweep": sweep,
        **{split: merge([each[split] for each in made.values()]) for split in next(iter(made.values()))},
        "curves": _curves([curve_evaluations(training, comparison.config, sampling) for training in made], evaluator),
    }


def test_results(comparison: Comparison, evaluator: Evaluator) -> Iterator[tuple[Training, str, Summary]]:
    """(training, split, result) of every final evaluation that is known."""
    for row in comparison.rows:
        swept = sweep_of(row, comparison, evaluator)
        for training in trainings(comparison, [row]) if swept else ():
            evaluations = test_evaluations(training, comparison.config, swept[1]) if swept and training.ready() else {}
            for split, evaluation in evaluations.items():
                if result := evaluator.known(evaluation):
                    yield training, split, result


def against(comparison: Comparison, evaluator: Evaluator) -> dict[str, Any]:
    """Row → what it gains over the row that the comparison compares with (`paired.compare`), where both are known."""
    other = comparison.config.test.against
    if not other:
        return {}
    measured: dict[str, list[list[dict[str, Any]]]] = {}
    for training, split, result in test_results(comparison, evaluator):
        if split == "test":
            measured.setdefault(training.row.name, []).append(result["samples"])
    (named,) = comparison.select([other])
    base = measured.pop(named.name, None)
    return {name: compare(row, base) for name, row in measured.items()} if base else {}


def references(comparison: Comparison, evaluator: Evaluator) -> dict[str, Any]:
    """Copy-input, round trip and best possible on every split: the same for all rows, which share the autoencoder."""
    found: dict[str, Any] = {}
    for _, split, result in test_results(comparison, evaluator):
        for name in REFERENCES:
            found.setdefault(name, {}).setdefault(split, merge([result["summary"]], name))
    return found


def samples(comparison: Comparison, evaluator: Evaluator) -> Iterator[dict[str, Any]]:
    """One line a row, seed, split and case of the final figures: what the model scored on it."""
    for training, split, result in test_results(comparison, evaluator):
        for sample in result["samples"]:
            yield {"row": training.row.name, "seed": training.seed, "split": split, **sample}


def _curves(
    by_seed: Sequence[Mapping[str, Mapping[float, Evaluation]]], evaluator: Evaluator
) -> dict[str, list[dict[str, Any]]]:
    """Curve → its points in order, each {"x", "figures": over the seeds}; a point that is not known is left out."""
    curves: dict[str, dict[float, list[Figures]]] = {}
    for evaluations in by_seed:
        for curve, points in evaluations.items():
            for x, evaluation in points.items():
                if result := evaluator.known(evaluation):
                    table = result["summary"]["single-turn"]["all"]["model"]
                    curves.setdefault(curve, {}).setdefault(x, []).append(_figures(table))
    return {
        curve: [{"x": x, "figures": spread(tables)} for x, tables in sorted(points.items())]
        for curve, points in curves.items()
    }


def _figures(table: Mapping[str, Any]) -> Figures:
    return {name: table[name] for name in COLUMNS if name in table}


def _trained(training: Training) -> dict[str, Any]:
    """What a training cost, and the source it was trained with."""
    measured = training.measured()
    return {"seed": training.seed, "seconds": measured.get("seconds"), "commit": training.note().get("commit")}
