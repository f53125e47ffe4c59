"""How far along an audit is: bars on a terminal, and elsewhere, as in CI, a line for each stage when it is over."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
SHORT = 1.0  # seconds: a loop that took less is a part of its stage and no stage of its own


@dataclass
class Stage:
    """A part of an audit.

    Attributes:
        name: what is done.
        detail: counts, which may be set while it runs and are said with it.
        loop: where it is, as far as that is counted: ``Training, 3 of 30``.
    """

    name: str
    detail: str = ""
    loop: str = ""


@dataclass(frozen=True)
class StageListener:
    """What is called with each stage: when it begins, and when it is over with the seconds that it took."""

    begin: Callable[[Stage], None]
    end: Callable[[Stage, float], None]


_listener: ContextVar[StageListener | None] = ContextVar("listener", default=None)
_stage: ContextVar[Stage | None] = ContextVar("stage", default=None)

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
def listen_to_stages(listener: StageListener) -> Iterator[None]:
    """Have ``listener`` called with each stage, and each long loop of one, within this context."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


@contextmanager
def track_stage(name: str) -> Iterator[Stage]:
    """Tell whoever listens that a stage begins, and that it is over, unless it failed."""
    stage, begun, listener = Stage(name), time.monotonic(), _listener.get()
    if listener is not None:
        listener.begin(stage)
    token = _stage.set(stage)
    try:
        yield stage
    finally:
        _stage.reset(token)
    if listener is not None:
        listener.end(stage, time.monotonic() - begun)


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
    bar = rich_track(items, description, total=total, console=console, transient=True, disable=hidden)
    yield from _count_loop(bar, description, total if total is not None else getattr(items, "__len__", lambda: None)())


def _count_loop(items: Iterable[T], description: str, total: int | None) -> Iterator[T]:
    """Yield ``items`` and note in the stage that runs how many are done; a long loop is said when it is over."""
    stage, listener, begun, done = _stage.get(), _listener.get(), time.monotonic(), 0
    if stage is None:
        yield from items
        return
    for item in items:
        stage.loop = f"{description}, {done:,}" + ("" if total is None else f" of {total:,}")
        yield item
        done += 1
    stage.loop = ""
    if listener is not None and (seconds := time.monotonic() - begun) >= SHORT:
        listener.end(Stage(f"{stage.name}: {description}", f"{done:,}"), seconds)
