"""Where a server listens, and its orderly end."""

from __future__ import annotations

import errno
import os
import signal
import socket
from typing import Any

from uip2p.errors import UserError


def listen(host: str, port: int, backlog: int | None = None) -> socket.socket:
    """port 0: a free one. backlog: connections that wait to be taken, None for Python's own number. UserError: the port
    is taken, no such host."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host.strip("[]"), port), family=family, backlog=backlog)
    except (OSError, OverflowError) as error:
        code = getattr(error, "errno", None)
        why = os.strerror(code) if code and code > 0 else str(error)
        option = "--port" if code in (errno.EADDRINUSE, errno.EACCES) else "--host"
        raise UserError(f"--host {host} --port {port}: cannot listen there ({why}). Give another {option}.") from None


def address(host: str, listening: socket.socket) -> str:
    """As a browser takes it."""
    host = host.strip("[]")
    return f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}"


def run(app: Any, listening: socket.socket) -> None:
    """Until SIGTERM or Ctrl-C; open requests may end."""
    import uvicorn

    # No access log: it would have addresses.
    quiet: dict[str, Any] = {"log_level": "warning", "access_log": False, "server_header": False}
    config = uvicorn.Config(app, timeout_graceful_shutdown=2, **quiet)
    for ending in (signal.SIGINT, signal.SIGTERM):  # uvicorn stops by them, and then raises them once more
        signal.signal(ending, lambda *_: None)
    uvicorn.Server(config).run(sockets=[listening])
