"""JSON files that others wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from uip2p.errors import UserError


def read_json(path: Path) -> Any:
    """UserError: it cannot be read, or it is no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: is not valid JSON ({error}).") from None


def inside(folder: Path, name: str, where: str) -> Path:
    """The file that a list calls by this name, below the folder. UserError: the name leads out of it."""
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise UserError(f"{where}: the name {name!r} leads out of its folder. Take this entry out.")
    return folder / name
