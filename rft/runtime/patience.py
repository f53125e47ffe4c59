"""How long this process may wait for another one that uses what it needs; not at all unless the user said so."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from rft.errors import BusyError

T = TypeVar("T")
PAUSE = 0.2  # seconds between two attempts

log = logging.getLogger("rft")
_patience: ContextVar[float] = ContextVar("patience", default=0.0)


@contextmanager
def allow_waiting(seconds: float) -> Iterator[None]:
    """Let ``try_until_free`` wait for so many seconds within this context."""
    token = _patience.set(seconds)
    try:
        yield
    finally:
        _patience.reset(token)


def try_until_free(attempt: Callable[[], T]) -> T:
    """Return what ``attempt`` returns, tried again while it raises ``BusyError`` and there is time to wait.

    Raises:
        BusyError: the last one, when the time is over.
    """
    patience, begun, said = _patience.get(), time.monotonic(), False
    while True:
        try:
            return attempt()
        except BusyError as busy:
            left = begun + patience - time.monotonic()
            if left <= 0:
                raise
            if not said:
                log.warning("%s: %s; waiting for up to %g s", busy.where, busy.what, patience)
                said = True
        time.sleep(min(PAUSE, left))
