"""What one open page has on the server: its pictures, and the edit that is on its way. Gone when the page closes."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from PIL import Image

from uip2p.pages import data_uri
from uip2p.serving.job import Job
from uip2p.serving.ui.history import History, State

if TYPE_CHECKING:  # reached through the service
    from uip2p.editing.editor import Edited

SHOWN = (384, 1024)  # the longer side of a picture in the page: smaller ones are enlarged, larger ones reduced
THUMBNAIL = 128
UNDONE = 256  # the longer side at which the picture that a reverse brought back is kept


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture of a history. edited: how it was made, None for one that was brought. source: the file that was
    brought, for what it says of its own making. shown, thumbnail: data URIs."""

    picture: Image.Image
    edited: Edited | None
    shown: str
    thumbnail: str
    source: bytes | None = None

    @property
    def title(self) -> str:
        return "your picture" if self.edited is None else self.edited.instruction

    @property
    def size(self) -> int:
        """Bytes, about: uncompressed pixels, and the texts that the page is sent."""
        width, height = self.picture.size
        return 3 * width * height + len(self.shown) + len(self.thumbnail) + len(self.source or b"")


def take(picture: Image.Image, edited: Edited | None = None, source: bytes | None = None) -> Shot:
    """A picture as a history keeps it."""
    if edited is not None and edited.check is not None:
        undone = edited.check.reversed.copy()
        undone.thumbnail((UNDONE, UNDONE))
        edited = replace(edited, check=replace(edited.check, reversed=undone))
    return Shot(picture, edited, show(picture), show(picture, (0, THUMBNAIL)), source)


def show(picture: Image.Image, bounds: tuple[int, int] = SHOWN) -> str:
    """For the page. Small pictures keep their pixels, enlarged a whole number of times; large ones are reduced."""
    least, most = bounds
    side = max(picture.size)
    if side < least:
        times = -(-least // side)
        picture = picture.resize((times * picture.width, times * picture.height), Image.Resampling.NEAREST)
    elif side > most:
        picture = picture.copy()
        picture.thumbnail((most, most), Image.Resampling.LANCZOS)
        return data_uri(picture, "jpeg", 88)
    return data_uri(picture) if side <= least else data_uri(picture, "webp", 92)


@dataclass(slots=True)
class Session:
    """candidates: what the last edit offered, and of which state; chosen: a candidate -> the state it became. word: of
    the attention that is looked at, by its place. token: opens the downloads of this page."""

    history: History[Shot] = field(default_factory=History)
    candidates: tuple[Shot, ...] = ()
    candidates_of: int | None = None
    chosen: dict[int, int] = field(default_factory=dict)
    word: int | None = None
    job: Job | None = None
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    used: float = field(default_factory=time.monotonic)
    lock: threading.RLock = field(default_factory=threading.RLock)  # held while its history changes

    @property
    def current(self) -> State[Shot] | None:
        return self.history.current

    @property
    def before(self) -> State[Shot] | None:
        """What the current state was made from."""
        current = self.current
        return None if current is None or current.parent is None else self.history[current.parent]

    @property
    def size(self) -> int:
        """Bytes. A candidate that became a state is counted once."""
        unchosen = [shot for index, shot in enumerate(self.candidates) if index not in self.chosen]
        return sum(state.content.size for state in self.history.states) + sum(shot.size for shot in unchosen)

    def cancel(self) -> None:
        if self.job is not None:
            self.job.cancel()


@dataclass(frozen=True, slots=True)
class Bounds:
    """states: of one page. size: bytes of one page, and all_size of all pages. pages: open at a time. idle: seconds
    after which a page that nobody touched may have to go. The one used longest ago goes first."""

    states: int = 60
    size: int = 256 << 20
    all_size: int = 1 << 30
    pages: int = 64
    idle: float = 4 * 3600.0


class Sessions:
    """All open pages, by the name that each browser page has. For any threads: a browser asks several at a time."""

    def __init__(self, bounds: Bounds | None = None):
        self.bounds = bounds or Bounds()
        self._open: dict[str, Session] = {}
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Session]:
        return iter(tuple(self._open.values()))

    def get(self, name: str | None) -> Session:
        """That page's, a new one where there is none; it counts as used now."""
        name = _name(name)
        with self._lock:
            session = self._open.pop(name, None) or Session()
            session.used = time.monotonic()
            self._open[name] = session  # the last is the one used last
            self._free()
        return session

    def find(self, token: str) -> Session | None:
        """Whose token this is."""
        return next((one for one in self if secrets.compare_digest(one.token.encode(), token.encode())), None)

    def close(self, name: str | None) -> None:
        """The page is gone: so are its pictures, and nobody waits for its edit."""
        with self._lock:
            session = self._open.pop(_name(name), None)
        if session is not None:
            session.cancel()

    def keep(self, session: Session) -> None:
        """After something was added: within the bounds again."""
        bounds = self.bounds
        session.history = session.history.bounded(bounds.states, bounds.size, lambda shot: shot.size)
        session.chosen = {index: state for index, state in session.chosen.items() if state in session.history}
        if session.candidates_of is not None and session.candidates_of not in session.history:
            session.candidates, session.candidates_of, session.chosen = (), None, {}
        self._free()

    def _free(self) -> None:
        """The page that was used last always stays."""
        now = time.monotonic()
        with self._lock:
            for name, session in list(self._open.items())[:-1]:
                crowded = len(self._open) > self.bounds.pages or sum(one.size for one in self) > self.bounds.all_size
                if crowded or now - session.used > self.bounds.idle:
                    self.close(name)


def _name(given: str | None) -> str:
    """Browsers name themselves, so of any length."""
    return str(given)[:64]
