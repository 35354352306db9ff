"""Who may ask: keys of which only a hash is kept, and how often each may ask.

A line is NAME:SHA256, the name of whoever has the key and the hexadecimal SHA-256 of the key; # begins a comment.
`uip2p serve --new-key NAME` prints a key of 256 random bits and its line. A hash without salt is enough for such keys.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from uip2p.errors import UserError
from uip2p.serving.http.errors import TooMany

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
DIGEST = re.compile(r"[0-9a-fA-F]{64}")
ENVIRONMENT = "UIP2P_API_KEYS"  # lines as in the file, or several in one line with commas between


@dataclass(frozen=True, slots=True)
class Key:
    """name: stands in the log. digest: the SHA-256 of the key, 32 bytes."""

    name: str
    digest: bytes


def new_key(name: str) -> tuple[str, str]:
    """A key, and its line for the file. UserError: a name that a line cannot hold."""
    if not NAME.fullmatch(name):
        raise UserError(f"--new-key {name}: give a name of letters, digits, '.', '_' and '-', at most 64.")
    key = f"uip2p-{secrets.token_urlsafe(32)}"
    return key, f"{name}:{hashlib.sha256(key.encode()).hexdigest()}"


def parse_keys(text: str, source: str) -> tuple[Key, ...]:
    """UserError: a line that is none, a name twice, no key at all. No message repeats a line: it may be a key."""
    keys: dict[str, Key] = {}
    for number, line in enumerate(re.split(r"[\n,]", text), 1):
        line = line.partition("#")[0].strip()
        if not line:
            continue
        name, _, digest = line.partition(":")
        if not NAME.fullmatch(name) or not DIGEST.fullmatch(digest):
            raise UserError(f"{source}: line {number}: write NAME:SHA256, as `uip2p serve --new-key NAME` prints it.")
        if name in keys:
            raise UserError(f"{source}: line {number}: the name {name} is there twice.")
        keys[name] = Key(name, bytes.fromhex(digest))
    if not keys:
        raise UserError(f"{source}: there is no key in it. `uip2p serve --new-key NAME` makes one.")
    return tuple(keys.values())


def read_keys(path: str | Path) -> tuple[Key, ...]:
    """UserError: no such file, and what `parse_keys` says."""
    try:
        return parse_keys(Path(path).read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or 'not UTF-8 text'}).") from None


def owner(keys: Sequence[Key], presented: str) -> str | None:
    """Whose key this is. It takes the same time whichever key it is, and whether it is one."""
    digest = hashlib.sha256(presented.encode("utf-8", "surrogateescape")).digest()
    found = None
    for key in keys:
        if hmac.compare_digest(key.digest, digest):
            found = key.name
    return found


class Rate:
    """A token bucket for each name: `per_minute` requests, as many at once."""

    def __init__(self, per_minute: float, clock: Callable[[], float] = time.monotonic):
        self.per_minute, self.clock = per_minute, clock
        self._buckets: dict[str, tuple[float, float]] = {}  # name -> (requests left, when that was so)

    def take(self, name: str) -> None:
        """TooMany: none is left."""
        now, most = self.clock(), max(1.0, self.per_minute)
        left, when = self._buckets.get(name, (most, now))
        left = min(most, left + (now - when) * self.per_minute / 60)
        if left < 1:
            self._buckets[name] = (left, now)
            wait = (1 - left) * 60 / self.per_minute
            raise TooMany(f"more than {self.per_minute:g} requests a minute: slow down.", wait)
        self._buckets[name] = (left - 1, now)
