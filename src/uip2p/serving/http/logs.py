"""The log: one JSON object a line. It holds no picture and no key, and no prompt unless that is asked for."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import IO

COMMON = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "taskName"}


class Lines(logging.Formatter):
    """A record -> {"time", "level", "logger", "message", …what `extra` gave, "traceback"}."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(), "logger": record.name, "message": record.getMessage(),
            **{name: value for name, value in vars(record).items() if name not in COMMON},
        }  # fmt: skip
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def set_up(stream: IO[str] | None = None, level: int = logging.INFO) -> None:
    """All logs as lines to stderr, or to `stream`; of others than us and uvicorn only warnings."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(Lines())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    for name in ("uip2p", "uvicorn"):
        logging.getLogger(name).setLevel(level)
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # what it warns of is answered with 400
