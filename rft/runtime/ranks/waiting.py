"""How a process waits for the others: it looks for signals meanwhile, and an end of another one is an error."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rft.errors import ProcessLostError

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Work

LONGEST_PAUSE = 0.02  # seconds between two looks
PAUSE_SHARE = 0.1  # of the time waited so far: what takes no time, as in a step of training, is noticed at once


def poll_condition(holds: Callable[[], bool], seconds: float) -> bool:
    """Return whether something holds before the time is over."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(LONGEST_PAUSE)
    return True


def finish_work(work: Work | None) -> None:
    """Return when all processes have done their part of it; raises ``ProcessLostError`` where one has ended."""
    assert work is not None  # it is for processes that are no part of the group
    begun = time.monotonic()
    with loss_as_error():
        while not work.is_completed():  # and not wait(): signals are heeded between two looks alone
            time.sleep(min(LONGEST_PAUSE, PAUSE_SHARE * (time.monotonic() - begun)))
        work.wait()


@contextmanager
def loss_as_error() -> Iterator[None]:
    """Turn what torch raises when a connection breaks into ``ProcessLostError``; other errors pass."""
    try:
        yield
    except RuntimeError as error:
        if "gloo" not in str(error):
            raise
        raise describe_loss("another process of this audit has ended") from error


def describe_loss(what: str) -> ProcessLostError:
    """Return the error of a process that is not there any more, or never came."""
    return ProcessLostError(what, remedy="Start again: features that were stored are used, and are not made anew.")
