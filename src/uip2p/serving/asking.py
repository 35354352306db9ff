"""What is asked of a service, what it answers, and how it declines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from uip2p.errors import UserError

if TYPE_CHECKING:  # a server listens before it has imported what takes seconds
    from PIL import Image

    from uip2p.editing.editor import Edited
    from uip2p.editing.reversibility import Words


MAX_PIXELS = 25_000_000  # of a picture that comes


@dataclass(frozen=True, slots=True)
class Limits:
    """queue: jobs that wait, besides those in work; more are told to come back. batch: pictures that the editor makes
    at a time. linger: seconds that a batch waits for others to join. deadline: seconds from question to answer, also
    the most that a request may ask for. count: results of one request. steps: of one result, at most."""

    queue: int = 8
    batch: int = 8
    linger: float = 0.01
    deadline: float = 120.0
    count: int = 8
    steps: int = 200


@dataclass(frozen=True, slots=True)
class Request:
    """One picture (PIL RGB, as `images.load_image` gives it), one instruction, `count` results of it.

    seed: the results have seeds seed, seed + 1, … steps, guidance_scale, image_guidance_scale: None is the model's
    default. check: undo each result by its reverse, and score it (`Edited.check`); words: what is known for that.
    attention: say where each word looked (`Edited.attention`). previews: Progress brings pictures every that many
    steps; 0 never. deadline: seconds from being submitted, after which nobody waits for it; None is the service's.
    """

    picture: Image.Image
    instruction: str
    count: int = 1
    seed: int = 0
    steps: int | None = None
    guidance_scale: float | None = None
    image_guidance_scale: float | None = None
    check: bool = False
    words: Words | None = None
    attention: bool = False
    previews: int = 0
    deadline: float | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """edits: in the order of their seeds. queued, seconds: how long it waited, and how long it took from then on.
    batch: results in the batch that made the last of them, other askers' too."""

    edits: tuple[Edited, ...]
    queued: float
    seconds: float
    batch: int


@dataclass(frozen=True, slots=True)
class Progress:
    """done of total denoising steps, over all results and their reverses. previews: one a result that this step was
    of, PIL at the working size, by its seed; empty for most steps."""

    done: int
    total: int
    previews: dict[int, Image.Image] = field(default_factory=dict)


Listener = Callable[[Progress], None]  # called by the worker's thread: hand on, and return at once


class Declined(UserError):
    """The service will not answer this now. status: of HTTP. code: for programs. retry_after: seconds, or None."""

    status = 503
    code = "unavailable"

    def __init__(self, message: str, retry_after: float | None = None):
        super().__init__(message)
        self.retry_after = retry_after


class Busy(Declined):
    """The queue is full."""

    status = 429
    code = "queue_full"


class Draining(Declined):
    """The service is about to stop."""

    code = "shutting_down"


class OutOfMemory(Declined):
    """The device has not the memory for this edit now."""

    code = "out_of_memory"


class Expired(Declined):
    """Its deadline passed before its answer."""

    status = 504
    code = "deadline"


class Cancelled(Declined):
    """Whoever asked has gone, or has said stop."""

    status = 499
    code = "cancelled"


class Failed(Declined):
    """A fault of ours. What it was is in the log, not in the answer."""

    status = 500
    code = "internal_error"
