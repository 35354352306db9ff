"""Where EditRecords and captions come from: one reader a source. `open_records` and `open_captions` find it."""

from __future__ import annotations

from pathlib import Path

from uip2p.datasets.folder import FolderSource
from uip2p.datasets.opening import open_captions
from uip2p.datasets.parquet import ParquetSource
from uip2p.datasets.source import Source
from uip2p.datasets.tar import TarSource
from uip2p.errors import UserError

__all__ = ["open_captions", "open_records"]


def open_records(path: str | Path) -> Source:
    """The folder of a run of `data generate`; a folder with metadata.jsonl (or that file); a .parquet file or a folder
    of them; a WebDataset .tar or a folder of them. UserError: none of these."""
    path = Path(path)
    if is_generated(path):
        from uip2p.datasets.generated import GeneratedSource

        return GeneratedSource(path)
    if path.suffix == ".jsonl" or (path / "metadata.jsonl").is_file():
        return FolderSource(path)
    for suffix, source in ((".parquet", ParquetSource), (".tar", TarSource)):
        files = [path] if path.suffix == suffix else sorted(path.rglob(f"*{suffix}")) if path.is_dir() else []
        if files and all(file.is_file() for file in files):
            return source(files)
    if path.exists():
        raise UserError(f"{path}: holds no metadata.jsonl, no .parquet and no .tar: there must be one of these.")
    raise UserError(f"{path}: there is no such file or folder.")


def is_generated(path: Path) -> bool:
    """Whether a run of `uip2p data generate` wrote this folder."""
    return (path / "config.json").is_file() and (path / "edits").is_dir()

