"""Where a server listens, and its orderly end."""

from __future__ import annotations

import errno
import ipaddress
import logging
import os
import signal
import socket
import sys
from typing import Any, NoReturn

from uip2p.errors import UserError

BACKLOG = 2048  # connections that wait to be taken


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def listen(host: str, port: int) -> socket.socket:
    """port 0: a free one. UserError: the port is taken, no such host."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host.strip("[]"), port), family=family, backlog=BACKLOG)
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


def leave() -> NoReturn:
    """Ends the process, when all is said: an interpreter takes seconds to leave torch, and aborts where a thread is
    still deep in a step of a slow model."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
