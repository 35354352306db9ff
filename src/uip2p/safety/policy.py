"""Which edits a service declines by their words: a rule file that anyone can read, copy and change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from uip2p.config import check_keys, from_dict, load_toml
from uip2p.errors import UserError
from uip2p.safety.people import find_people
from uip2p.safety.phrases import Grammar, Phrase, parse
from uip2p.safety.reading import People, Reading, clean, readings
from uip2p.safety.refused import Refused

DEFAULT, NONE = "default", "none"
FILE = Path(__file__).with_name("policy.toml")
MAX_CHARACTERS = 10_000  # CLIP's 77 tokens hold about 400


@dataclass(frozen=True, slots=True)
class Gaps:
    """Of "..": how many words it stands for at most, and the words that it does not go over."""

    longest: int = 4
    not_over: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RuleTable:
    """A rule as its file has it. any: it refuses what has one of these phrases. also: and, where given, one of these
    too, in the same text or in another of the same edit. unless: what is not looked at, being innocent."""

    name: str
    answer: str
    any: tuple[str, ...]
    also: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    name: str
    answer: str
    any: tuple[Phrase, ...]
    also: tuple[Phrase, ...] = ()
    unless: tuple[Phrase, ...] = ()

    def refuses(self, texts: list[Reading]) -> bool:
        """texts: all readings of all texts of an edit."""
        if not _found(self.any, texts):
            return False
        texts = [self._looked_at(text) for text in texts]
        return _found(self.any, texts) and (not self.also or _found(self.also, texts))

    def _looked_at(self, text: Reading) -> Reading:
        hidden = 0
        for phrase in self.unless:
            hidden |= phrase.covers(text)
        return text.without(hidden) if hidden else text


@dataclass(frozen=True, slots=True)
class Policy:
    """name: as `load_policy` was given it. people: finds persons' names, None where nothing can."""

    name: str
    rules: tuple[Rule, ...] = ()
    people: People | None = field(default=None, repr=False)

    def check(self, instruction: str, *others: str | None) -> None:
        """others: the reverse instruction and captions, as far as there are any; rules look at all of them.

        Raises Refused, by the first rule that refuses it; UserError for a text longer than MAX_CHARACTERS.
        """
        if rule := self.refuses(instruction, *others):
            raise Refused(rule.name, rule.answer)

    def refuses(self, *texts: str | None) -> Rule | None:
        """The first rule that refuses an edit of these texts."""
        if not self.rules:
            return None
        given = [clean(text) for text in texts if text and _short(text)]
        read = [reading for text in given if _short(text) for reading in readings(text, self.people)]
        return next((rule for rule in self.rules if rule.refuses(read)), None)

    def describe(self) -> str:
        """One line for a log or a page: which rules there are, and what they cannot do here."""
        if not self.rules:
            return f"policy '{self.name}': no rules, every instruction is edited"
        names = ", ".join(dict.fromkeys(rule.name for rule in self.rules))
        text = f"policy '{self.name}': rules {names}; English only"
        unread = sum(map(_entities, self.rules))
        if unread and self.people is None:
            text += (
                f". Without spaCy's English model {unread} phrases with <PERSON> find nothing, and people's names are "
                "told by their capital letters only (pip install spacy, python -m spacy download en_core_web_sm)"
            )
        return text


def load_policy(name: str | Path = DEFAULT) -> Policy:
    """"default": the file that ships, FILE. "none": nothing is refused. Else a rule file.

    UserError, with the file, the rule and the field: a key that there is not, a phrase that cannot be read.
    """
    if str(name) == NONE:
        return Policy(NONE)
    path = FILE if str(name) == DEFAULT else Path(name)
    table = load_toml(path)
    check_keys(table, ("gaps", "names", "words", "rule"), str(path))
    rules = table.get("rule")
    if not isinstance(rules, list) or not rules:
        raise UserError(f"{path}: has no [[rule]]. To refuse nothing, give '{NONE}' in its place.")
    grammar = _grammar(table, path)
    made = tuple(_rule(rule, i, grammar, path) for i, rule in enumerate(rules, 1))
    return Policy(str(name), made, find_people() if any(map(_entities, made)) else None)


def _grammar(table: Mapping[str, Any], path: Path) -> Grammar:
    gaps = from_dict(Gaps, table.get("gaps", {}), f"{path} [gaps]")
    if not 1 <= gaps.longest <= 20:
        raise UserError(f"{path} [gaps]: longest is {gaps.longest}, and has to be 1 to 20.")
    names = from_dict(_Names, table.get("names", {}), f"{path} [names]")
    lists = from_dict(_Words, {"lists": table.get("words", {})}, f"{path} [words]").lists
    grammar = Grammar(lists, gaps.longest, gaps.not_over, names.but_not)
    for name, phrases in lists.items():
        for text in phrases:
            _parse(text, grammar, f"{path} [words] {name}", name)
    return grammar


@dataclass(frozen=True, slots=True)
class _Names:
    but_not: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Words:
    lists: dict[str, tuple[str, ...]]


def _rule(table: Mapping[str, Any], number: int, grammar: Grammar, path: Path) -> Rule:
    where = f"{path}: rule {number}"
    if isinstance(table, Mapping) and isinstance(table.get("name"), str):
        where += f" ('{table['name']}')"
    rule = from_dict(RuleTable, table, where)
    for key in ("name", "answer", "any"):
        if not getattr(rule, key):
            raise UserError(f"{where}: {key} is empty.")
    phrases = {
        key: tuple(_parse(text, grammar, f"{where}, {key}") for text in getattr(rule, key))
        for key in ("any", "also", "unless")
    }
    return Rule(rule.name, rule.answer, **phrases)


def _parse(text: str, grammar: Grammar, where: str, *inside: str) -> Phrase:
    try:
        return parse(text, grammar, inside)
    except ValueError as error:
        raise UserError(f"{where}: the phrase {text!r} {error}.") from None


def _short(text: str) -> bool:
    """UserError: it is too long."""
    if len(text) > MAX_CHARACTERS:
        raise UserError(f"a text of {len(text):,} characters, and the limit is {MAX_CHARACTERS:,}: shorten it.")
    return True


def _entities(rule: Rule) -> int:
    return sum(phrase.entities for phrase in (*rule.any, *rule.also, *rule.unless))


def _found(phrases: tuple[Phrase, ...], texts: list[Reading]) -> bool:
    return any(phrase.found(text) for phrase in phrases for text in texts)
