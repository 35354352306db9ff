"""What diffusers and transformers log and warn while a model is read or changed, left out."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import diffusers
import transformers


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """We report what is wrong ourselves, once."""
    loggers: list[Any] = [diffusers.utils.logging, transformers.utils.logging]
    levels = [logger.get_verbosity() for logger in loggers]
    bar = loggers[1].is_progress_bar_enabled()
    try:
        for logger in loggers:
            logger.set_verbosity(logger.CRITICAL)
        loggers[1].disable_progress_bar()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.set_verbosity(level)
        if bar:
            loggers[1].enable_progress_bar()
