"""What an endpoint's errors mean, whatever is asked of it: for one try, or for everybody."""

from __future__ import annotations

import math
import time
from email.utils import parsedate_to_datetime
from typing import Any

from uip2p.errors import UserError


def for_everybody(error: Any, where: str, key_variable: str, said: str) -> UserError | None:
    """Of the openai client's APIStatusError: why no question at all will be answered; None: it does not say so.

    where: the endpoint, as messages name it. key_variable: of the environment. said: see `without_key`."""
    if error.status_code in (401, 403):
        return UserError(
            f"{where} does not let us in ({said}): put a valid key into the environment, in {key_variable}, then go on "
            "with the same command."
        )
    if error.status_code == 402 or error.code == "insufficient_quota":
        return UserError(f"{where} wants to be paid first ({said}). Then go on with the same command.")
    return None


def may_pass(status: int) -> bool:
    """Whether asking again later may help: the server is overrun, away, or was interrupted."""
    return status in (408, 409, 425, 429) or status >= 500


def asked_to_wait(error: Any, longest_pause: float, where: str, said: str) -> float:
    """The seconds that the server wants before the next try. UserError: far more than our own longest pause."""
    after = retry_after(error.response.headers)
    if after > 10 * max(longest_pause, 1.0):
        raise UserError(f"{where} asks to wait for {after:.0f} s ({said}): go on with the same command after that.")
    return after


def without_key(error: BaseException, key: str) -> str:
    """What an error says, on a line, without the key, should a server repeat it. key: "" where there is none."""
    said = " ".join(str(error).split()) or type(error).__name__
    return (said.replace(key, "…") if key else said)[:500]


def retry_after(headers: Any) -> float:
    """The seconds that a server's Retry-After asks for, given as seconds or as an HTTP date; 0 where there is none."""
    value = str(headers.get("retry-after", "")).strip()
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (TypeError, ValueError, OverflowError):
            return 0.0
    return max(0.0, seconds) if math.isfinite(seconds) else 0.0
