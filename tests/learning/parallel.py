"""The command line as one rank of several runs it, whole or until it is killed."""

from __future__ import annotations

import os
import signal
import sys

from uip2p.cli import main
from uip2p.learning.cycle import CycleObjective


def cli(argv: list[str], dies: tuple[int, int] | None = None) -> None:
    """dies: the rank that is killed, and at which step."""
    if dies is not None and int(os.environ["RANK"]) == dies[0]:
        forward = CycleObjective.forward

        def dying(self, batch, draw):
            if draw.step == dies[1]:
                os.kill(os.getpid(), signal.SIGKILL)
            return forward(self, batch, draw)

        CycleObjective.forward = dying
    sys.exit(main(argv))
