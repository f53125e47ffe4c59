"""How far along an audit is: bars on a terminal, and elsewhere, as in CI, a line for each stage when it is over."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass
class Stage:
    """A part of an audit; ``detail`` may be set while it runs, and is said with it."""

    name: str
    detail: str = ""


_listener: ContextVar[Callable[[Stage, float], None] | None] = ContextVar("listener", default=None)

_hidden: ContextVar[bool] = ContextVar("hidden", default=False)


@contextmanager
def hide_progress() -> Iterator[None]:
    """Show no bar within this context."""
    token = _hidden.set(True)
    try:
        yield
    finally:
        _hidden.reset(token)


@contextmanager
def listen_to_stages(listener: Callable[[Stage, float], None]) -> Iterator[None]:
    """Have ``listener`` called with each stage that ends within this context, and the seconds that it took."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


@contextmanager
def track_stage(name: str) -> Iterator[Stage]:
    """Tell whoever listens that a stage is over, unless it failed."""
    stage, begun = Stage(name), time.monotonic()
    yield stage
    if (listener := _listener.get()) is not None:
        listener(stage, time.monotonic() - begun)


def track_progress(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Yield ``items`` and show a bar on stderr where that is a terminal.

    Args:
        items: what to iterate over.
        description: a word or two, shown in front of the bar.
        total: how many items there are; taken from ``len(items)`` when it has one.
    """
    from rich.console import Console
    from rich.progress import track as rich_track

    console = Console(stderr=True)
    hidden = _hidden.get() or not console.is_terminal
    yield from rich_track(items, description, total=total, console=console, transient=True, disable=hidden)
