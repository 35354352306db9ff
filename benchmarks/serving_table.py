"""figures.json of serving.py as Markdown: what was asked, what was found, and whether that is it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Row = tuple[str, str, bool]  # asked, found, held
SURE = 0.01  # p below which a difference is one


def markdown(found: Mapping[str, Mapping[str, Any]]) -> str:
    """found: by part, as `serving.py` writes it."""
    lines = [
        "# What a server stands", "",
        "Written by `python benchmarks/serving.py --out docs/results/serving`; with a part's name, that part anew.", "",
        "| Part | Asked | Found | Held |", "|---|---|---|---|",
    ]  # fmt: skip
    for part, figures in found.items():
        lines += [f"| {part} | {asked} | {says} | {'yes' if held else '**no**'} |"
                  for asked, says, held in ROWS[part](figures)]  # fmt: skip
    lines += ["", "Where, and how loaded the machine was (1 is one core's full work):", ""]
    lines += [f"- {part}: {figures['where']}; load {figures['load_before']:.1f}" for part, figures in found.items()]
    for part in (name for name in DETAILS if name in found):
        lines += ["", *DETAILS[part](found[part])]
    return "\n".join(lines) + "\n"


def load(figures: Mapping[str, Any]) -> Iterator[Row]:
    for name, about in (("burst", "at once"), ("returning", "again when told to")):
        each = figures[name]
        declined = each["statuses"].get("429", 0)
        answered = sum(each["statuses"].values()) == figures["clients"] and each["statuses"].keys() <= {"200", "429"}
        yield (
            f"{figures['clients']} clients {about}, a queue of {figures['queue']}: 200 or 429, none hung",
            f"{counted(each['statuses'])}; median {each['median_s']:.2f} s, longest {each['longest_s']:.1f} s; "
            f"{each['429_with_retry_after']} of {declined} 429 with Retry-After",
            answered and each["429_with_retry_after"] == declined,
        )  # fmt: skip
    yield "the next request", str(figures["next"]), figures["next"] == 200


def memory(figures: Mapping[str, Any]) -> Iterator[Row]:
    yield (
        f"{figures['requests']:,} pictures of random sizes: resident memory grows by less than 5 %",
        f"{figures['warm_mb']:.0f} MB, then {figures['end_mb']:.0f} MB: {figures['growth']:+.1%}; at most "
        f"{figures['peak_mb']:.0f} MB; {counted(figures['statuses'])}", figures["growth"] < 0.05,
    )  # fmt: skip


def large(figures: Mapping[str, Any]) -> Iterator[Row]:
    yield (
        "a picture of 25 megapixels, edited and written as JPEG",
        f"{figures['status']} after {figures['seconds']:.1f} s; {figures['before_mb']:.0f} MB, "
        f"{figures['rise_mb']:.0f} more meanwhile, {figures['after_mb']:.0f} after it", figures["status"] == 200,
    )  # fmt: skip


def hostile(figures: Mapping[str, Any]) -> Iterator[Row]:
    statuses = figures["statuses"]
    yield (f"{figures['files']} hostile files: each 4xx", f"{counted(statuses)}; {figures['longest_s']:.2f} s at most",
           all(status.startswith("4") for status in statuses))  # fmt: skip
    rise = figures["greatest_rise_mb"]
    yield "resident memory rises by less than 100 MB at each", f"{rise:.1f} MB at most", rise < 100
    yield "the next good request is fine", counted(figures["next_good"]), figures["next_good"].keys() == {"200"}


def kill(figures: Mapping[str, Any]) -> Iterator[Row]:
    for name, about, right in (
        ("short", "that can be finished: answered", {200}), ("long", "that cannot be: told to ask again", {503}),
    ):  # fmt: skip
        each = figures[name]
        held = each["status"] in right and each["exit_code"] == 0 and each["exit_s"] < 10
        yield (f"SIGTERM during a job {about}, exit with 0 within 10 s",
               f"{each['status']}; exit {each['exit_code']} after {each['exit_s']:.1f} s", held)  # fmt: skip


def keys(figures: Mapping[str, Any]) -> Iterator[Row]:
    http = figures["http"]
    statuses = {status for row in http.values() for status in row["statuses"]}
    yield "wrong, missing and guessed keys: 401", ", ".join(map(str, sorted(statuses))), statuses == {401}
    for name, about in (("http", "over HTTP"), ("function", "in the comparing function")):
        guessed = {each: row for each, row in figures[name].items() if "p_holm" in row and row_is_guess(each)}
        apart = [each for each, row in guessed.items() if row["p_holm"] < SURE]
        width = max(0.01, *((row["interval_us"][1] - row["interval_us"][0]) / 2 for row in guessed.values()))
        says = f"told apart: {', '.join(apart)}" if apart else f"none told apart, to ±{width:.2g} µs"
        yield f"how right a guess is cannot be told by the time, {about} (sign test, Holm, p < {SURE})", says, not apart


def row_is_guess(name: str) -> bool:
    """Of about a key's length: that a short one, or none, is fewer bytes to read is known to whoever sends it."""
    return name not in ("short", "missing")


def fuzz(figures: Mapping[str, Any]) -> Iterator[Row]:
    statuses = figures["statuses"]
    faults = sum(count for status, count in statuses.items() if status == "500")
    edits = figures["of_edits"]
    held = not faults and figures["exit_code"] == 0 and "200" in edits and figures["next"] == 200
    yield "requests made of the OpenAPI schema: no 500", f"{counted(statuses)}; of edits {counted(edits)}", held


def ray(figures: Mapping[str, Any]) -> Iterator[Row]:
    outcomes, tries = figures["outcomes"], figures["tries"]
    yield (
        f"Ray Serve, {figures['replicas']} replicas, one killed under {figures['clients']} clients: each request is "
        "answered", f"{counted(outcomes)}; tries: {counted(tries)}; another replica after "
        f"{figures['replaced_s']:.0f} s; longest {figures['longest_s']:.0f} s",
        sum(outcomes.values()) == figures["requests"] and outcomes.keys() == {"200"},
    )  # fmt: skip
    ended = figures["sigterm"]
    says = f"{ended['status']}; exit {ended['exit_code']} after {ended['exit_s']:.1f} s; {ended['processes_left']} left"
    held = ended["status"] == 200 and ended["exit_code"] == 0 and not ended["processes_left"]
    yield "SIGTERM during a job: answered, no process is left", says, held


def counted(several: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} × {name}" for name, count in sorted(several.items()))


def of_keys(figures: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, about in (("http", "GET /v1/models"), ("function", "the function alone, ten keys known")):
        lines += ["", f"## Keys: {about}", "", "| Guess | Median µs | Slower than \"wrong\", µs | 95 % | p | p, Holm |",
                  "|---|---|---|---|---|---|"]  # fmt: skip
        for guess, row in figures[name].items():
            rest = "| | | | |" if guess == "wrong" else (
                f"| {row['difference_us']:+.2f} | {row['interval_us'][0]:+.2f} to {row['interval_us'][1]:+.2f} | "
                f"{row['p']:.2g} | {row['p_holm']:.2g} |"
            )  # fmt: skip
            lines.append(f"| {guess} | {row['median_us']:.2f} {rest}")
    return lines[1:]


def of_hostile(figures: Mapping[str, Any]) -> list[str]:
    rows = (
        f"| {name} | {row['bytes']:,} | {row['status']} | {row['seconds']:.3f} | {row['rise_mb']:.1f} | {row['says']} |"
        for name, row in figures["rows"].items()
    )
    head = "| File | Bytes | Status | s | Rise, MB | Answer |"
    return ["## Hostile files", "", head, "|---|---|---|---|---|---|", *rows]


ROWS: dict[str, Callable[[Mapping[str, Any]], Iterator[Row]]] = {
    "load": load, "memory": memory, "large": large, "hostile": hostile, "kill": kill, "keys": keys, "fuzz": fuzz,
    "ray": ray,
}  # fmt: skip
DETAILS: dict[str, Callable[[Mapping[str, Any]], list[str]]] = {"keys": of_keys, "hostile": of_hostile}
