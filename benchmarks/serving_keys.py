"""serving.py's part `keys`: whether the time to say no tells how right a key was."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from served import server

from uip2p.serving.http.keys import Key, new_key, owner, parse_keys

WARM = 50  # rounds that are not counted


def keys(rounds: int = 2000) -> dict[str, Any]:
    """Each round asks once with every guess, in an order of its own; a guess is compared with "wrong" of the same
    round. "wrong again" is a control: as wrong as "wrong". Over HTTP, and without anything between: the function
    that compares, ten times as often."""
    with server() as running, httpx.Client(base_url=running.url, timeout=30) as client:
        statuses = dict[str, set[int]]()

        def ask(name: str, guess: str | None) -> None:
            header = {} if guess is None else {"Authorization": f"Bearer {guess}"}
            statuses.setdefault(name, set()).add(client.get("/v1/models", headers=header).status_code)

        found = compared(timed(ask, guesses(running.key), rounds))
    for name, row in found.items():
        row["statuses"] = sorted(statuses[name])
    key, line = new_key("bench")
    known: tuple[Key, ...] = parse_keys("\n".join([line, *(new_key(f"other{i}")[1] for i in range(9))]), "keys")
    alone = timed(lambda _, guess: owner(known, guess or ""), guesses(key), 10 * rounds)
    return {"rounds": rounds, "http": found, "function": compared(alone)}


def guesses(key: str) -> dict[str, Callable[[], str | None]]:
    """How each is made, anew for each round: one string would be timed with the place that it has got in memory."""
    half = len(key) // 2
    return {
        "wrong": lambda: tail(len(key)), "wrong again": lambda: tail(len(key)),
        "one letter right": lambda: key[0] + tail(len(key) - 1),
        "half right": lambda: key[:half] + tail(len(key) - half),
        "all but the last": lambda: key[:-1] + ("A" if key[-1] != "A" else "B"),
        "right and one more": lambda: key + tail(1), "short": lambda: tail(2), "missing": lambda: None,
    }  # fmt: skip


def tail(length: int) -> str:
    return secrets.token_urlsafe(length)[:length]


def timed(
    ask: Callable[[str, str | None], Any], makers: Mapping[str, Callable[[], str | None]], rounds: int
) -> dict[str, NDArray[np.float64]]:
    """Microseconds of each round, by guess. All are made before the first is timed: what made one warms its caches."""
    times: dict[str, list[float]] = {name: [] for name in makers}
    orders = [random.sample(list(makers), len(makers)) for _ in range(rounds + WARM)]
    made = [[(name, makers[name]()) for name in order] for order in orders]
    for number, several in enumerate(made):
        random.shuffle(several)  # else a guess is always asked with where it was made
        for name, guess in several:
            began = time.perf_counter_ns()
            ask(name, guess)
            took = time.perf_counter_ns() - began
            if number >= WARM:
                times[name].append(took / 1000)
    return {name: np.array(taken) for name, taken in times.items()}


def compared(times: Mapping[str, NDArray[np.float64]]) -> dict[str, dict[str, Any]]:
    """By guess: the median, its difference from "wrong" within a round with a 95 % interval, and p of the sign test,
    by Holm for as many guesses as there are. No assumption on how the times are spread, and a slow minute is slow for
    all guesses alike."""
    rows: dict[str, dict[str, Any]] = {"wrong": {"median_us": float(np.median(times["wrong"]))}}
    for name in times.keys() - {"wrong"}:
        differences = np.sort(times[name] - times["wrong"])
        count, slower = len(differences), int((differences > 0).sum())
        decided = slower + int((differences < 0).sum())
        reach = int(np.ceil(0.98 * np.sqrt(count)))  # 1.96 standard deviations of a binomial of one half
        low, high = max(0, count // 2 - reach), min(count - 1, count // 2 + reach)
        rows[name] = {
            "median_us": float(np.median(times[name])), "difference_us": float(np.median(differences)),
            "interval_us": [float(differences[low]), float(differences[high])],
            "p": binomtest(slower, decided).pvalue if decided else 1.0,
        }  # fmt: skip
    least = 0.0
    ordered = sorted(rows.keys() - {"wrong"}, key=lambda name: rows[name]["p"])
    for place, name in enumerate(ordered):
        least = max(least, min(1.0, rows[name]["p"] * (len(ordered) - place)))
        rows[name]["p_holm"] = least
    return {name: rows[name] for name in times}
