"""Who is let onto the page."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from pathlib import Path

from uip2p.errors import UserError
from uip2p.serving.ports import is_loopback

Auth = Callable[[str, str], bool]  # (name, password) -> whether they are right
WAIT = 0.5  # seconds that a wrong answer takes


def find_auth(host: str, password: Path | None, no_password: bool) -> Auth | None:
    """None lets everybody in. UserError: a page for others than this machine, of which nothing says who may."""
    if password is not None:
        if no_password:
            raise UserError("give either --password or --no-password.")
        return checker(read_passwords(password))
    if not no_password and not is_loopback(host):
        raise UserError(f"--host {host} is for others than this machine: give --password FILE, with lines "
                        "NAME:PASSWORD, or say --no-password.")  # fmt: skip
    return None


def read_passwords(path: Path) -> dict[str, str]:
    """NAME:PASSWORD, one a line; # begins a remark. UserError: no such file, a line that is none, nobody. No message
    repeats a line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise UserError(f"--password {path}: cannot be read ({reason}).") from error
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, colon, secret = line.strip().partition(":")
        if not (name and colon and secret):
            raise UserError(f"--password {path}: line {number}: write NAME:PASSWORD.")
        if name in found:
            raise UserError(f"--password {path}: line {number}: the name {name} is there twice.")
        found[name] = secret
    if not found:
        raise UserError(f"--password {path}: there is nobody in it: write NAME:PASSWORD, one a line.")
    return found


def checker(known: dict[str, str]) -> Auth:
    """Compared in constant time, whether the name is known or not. A wrong answer waits, so guessing is slow."""

    def is_right(name: str, password: str) -> bool:
        expected, given = (hashlib.sha256(text.encode()).digest() for text in (known.get(name, ""), password))
        right = hmac.compare_digest(expected, given) and name in known
        if not right:
            time.sleep(WAIT)
        return right

    return is_right
