"""What a run's folder holds, counted in one pass over its rows, and the rows that are shown."""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

from uip2p.config import from_dict
from uip2p.errors import UserError, first_line
from uip2p.instructions.shards import Counts, finished, place, read_rows, total_counts
from uip2p.instructions.wording import printable
from uip2p.instructions.words import LIGHT, content, words

Row = dict[str, Any]
CUT = 500  # characters of a text that are shown
LENGTHS = ("caption", "instruction", "edited_caption", "reverse_instruction")


@dataclass(slots=True)
class Numbers:
    """config: the run's config.json. counts: of its finished shards. kinds: of proposed and of accepted edits.
    lengths: text → words in it → accepted rows. objects, verbs: canonical → accepted rows whose instruction has it.
    instructions: how many distinct ones the accepted rows have, and how often the commonest come.
    shown, rejected: some rows, drawn by the seed.
    """

    config: dict[str, Any]
    counts: Counts
    proposed: Counter[str] = field(default_factory=Counter)
    accepted: Counter[str] = field(default_factory=Counter)
    lengths: dict[str, Counter[int]] = field(default_factory=lambda: {name: Counter() for name in LENGTHS})
    objects: Counter[str] = field(default_factory=Counter)
    verbs: Counter[str] = field(default_factory=Counter)
    instructions: Counter[str] = field(default_factory=Counter)
    pictures: int = 0
    shown: list[Row] = field(default_factory=list)
    rejected: list[Row] = field(default_factory=list)


def count(out: Path, seed: int = 0, shown: int = 60, rejected: int = 20) -> Numbers:
    """UserError: the folder is no run's, has no finished shard, or a file of it is damaged."""
    numbers = Numbers(read_config(out), total_counts(out))
    if not numbers.counts.captions:
        raise UserError(f"{out}: no shard is finished yet. Run uip2p data generate with the same options to go on.")
    images: set[int] = set()

    def accepted() -> Iterator[Row]:
        for row in read_rows(out, "edits"):
            numbers.proposed[row["kind"]] += 1
            numbers.accepted[row["kind"]] += 1
            for name in LENGTHS:
                numbers.lengths[name][len(words(row[name]))] += 1
            said = words(row["instruction"])
            numbers.verbs[said[0] if said else ""] += 1
            numbers.objects.update(set(filter(is_noun, content(row["instruction"])[1:])))
            numbers.instructions[" ".join(said)] += 1
            images.add(hash(row["image_id"]))
            yield row

    def refused() -> Iterator[Row]:
        for row in read_rows(out, "rejected"):
            if row["reasons"]:
                numbers.proposed[row["kind"]] += 1
                yield row

    numbers.shown = draw(accepted(), shown, seed)
    numbers.rejected = draw(refused(), rejected, seed)
    numbers.pictures = len(images)
    return numbers


def read_config(out: Path) -> dict[str, Any]:
    """What was asked of the run. UserError: the folder is no run's."""
    try:
        return json.loads((out / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{out}: has no config.json: give the folder that uip2p data generate wrote.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{out / 'config.json'}: cannot be read ({first_line(error)}).") from None


def draw(rows: Iterable[Row], count: int, seed: int) -> list[Row]:
    """Some rows at random, in the source's order: the same for a seed, however many others there are and wherever they
    lie. All rows are read, `count` of them are kept."""

    def rank(row: Row) -> bytes:
        what = (seed, row["id"], row["kind"], row["instruction"], row["edited_caption"], row["reverse_instruction"])
        return blake2b(repr(what).encode("utf-8", "replace"), digest_size=8).digest()

    return sorted(heapq.nsmallest(count, rows, key=rank), key=lambda row: row["row"])


@lru_cache(maxsize=100_000)
def is_noun(word: str) -> bool:
    """A thing's name, and no colour's or other quality's; by the word alone."""
    from lemminflect import getAllLemmas

    kinds = getAllLemmas(word)
    return word not in LIGHT and ("NOUN" in kinds or not kinds) and "ADJ" not in kinds


def shown(row: Row) -> Row:
    """A row as a person is shown it: rejected texts have any length and any characters."""
    return {name: printable(value[:CUT]) if isinstance(value, str) else value for name, value in row.items()}


def changes(before: str, after: str) -> tuple[list[tuple[str, bool]], list[tuple[str, bool]]]:
    """Both texts in pieces (text, whether the other text lacks it)."""

    def pieces(text: str, other: str) -> list[tuple[str, bool]]:
        known = Counter(content(other))
        found: list[tuple[str, bool]] = []
        for word in text.split():
            here = content(word)
            new = bool(here) and not all(known[each] > 0 for each in here)
            known.subtract(here)
            if found and found[-1][1] == new:
                found[-1] = (f"{found[-1][0]} {word}", new)
            else:
                found.append((word, new))
        return found

    return pieces(before, after), pieces(after, before)


def pictures_of(out: Path, config: Mapping[str, Any], rows: Iterable[int]) -> dict[int, Any]:
    """Row numbers of the source → their pictures, paths or bytes, as far as they can be had: copied into the run, or
    where the source is."""
    from uip2p.datasets.streaming import CaptionStream
    from uip2p.instructions.config import SourceConfig

    wanted = set(rows)
    found = _copied(out, wanted) if config["copy_pictures"] else {}
    try:
        source = from_dict(SourceConfig, config["source"], f"{out / 'config.json'} source").open()
    except UserError:  # it lies elsewhere by now
        return found
    if not isinstance(source, CaptionStream):
        for row in wanted - found.keys():
            with suppress(UserError):
                found[row] = source.image(row)
    return found


def _copied(out: Path, rows: set[int]) -> dict[int, Any]:
    from pyarrow import dataset

    edits = dataset.dataset([place(out, "edits", number) for number in finished(out)])
    table = edits.to_table(columns=["row", "image"], filter=dataset.field("row").isin(sorted(rows)))
    return {row["row"]: row["image"]["bytes"] for row in table.to_pylist()}
