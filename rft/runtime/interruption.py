"""Signals that end a command: one line, an exit code of 128 and the signal, nothing half-written.

Imports next to nothing, so that signals are answered before the seconds in which libraries are imported.
"""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager

TYPE_CHECKING = False  # as type checkers know it; typing itself takes long to import
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

MESSAGE = "rft: interrupted; nothing half-written was left"
ENDING = ("SIGINT", "SIGTERM", "SIGHUP")  # Ctrl-C, what services and CI send, and a terminal that is closed


_is_ending: list[bool] = []  # filled once the process ends for a reason that it, or another one, says


class Interruption(KeyboardInterrupt):
    """A signal that ends the command; like Ctrl-C it passes by whatever handles errors."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(signal.Signals(number).name)


def exit_code(interruption: KeyboardInterrupt) -> int:
    """Return 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP, as shells count them."""
    return 128 + (interruption.number if isinstance(interruption, Interruption) else signal.SIGINT)


def say_no_more() -> None:
    """Let signals add nothing from now on: this process ends already, for a reason that it, or another one, says."""
    _is_ending.append(True)


@contextmanager
def end_silently() -> Iterator[None]:
    """Let torchrun end this process within this context without a word: another process ended, and said why."""
    try:
        yield
    except Interruption as interruption:
        if _is_of_torchrun(interruption.number):
            raise SystemExit(exit_code(interruption)) from None
        raise


def end_at_once() -> None:
    """Let signals end the process without unwinding: before a command has begun there is nothing to clean up."""

    def end(number: int, _frame: FrameType | None) -> None:
        if not _is_ending and not _is_of_torchrun(number):
            os.write(2, f"{MESSAGE}\n".encode())
        os._exit(128 + number)

    for number in _heeded_signals():
        signal.signal(number, end)


@contextmanager
def unwind_when_interrupted() -> Iterator[None]:
    """Let signals raise ``Interruption`` within this context, so that what was begun is cleaned up.

    A library that is interrupted may turn it into an error of its own: that error, too, is raised as ``Interruption``.
    """
    import threading

    received: list[int] = []

    def interrupt(number: int, _frame: FrameType | None) -> None:
        if _is_ending:
            return
        received.append(number)
        raise Interruption(number)

    heeded = _heeded_signals() if threading.current_thread() is threading.main_thread() else []
    before = {number: signal.signal(number, interrupt) for number in heeded}
    try:
        yield
    except Exception as error:
        if received and not _is_ending:
            raise Interruption(received[0]) from error
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_of_torchrun(number: int) -> bool:
    """Tell whether a signal is what torchrun ends the processes by that it started, once one of them has failed."""
    return number == signal.SIGTERM and "TORCHELASTIC_RUN_ID" in os.environ


def _heeded_signals() -> list[signal.Signals]:
    """Return the signals that this process is to heed: not those that whoever started it ignores, as nohup does."""
    known = [getattr(signal, name) for name in ENDING if hasattr(signal, name)]
    return [number for number in known if signal.getsignal(number) not in (signal.SIG_IGN, None)]
