"""The stages of an audit as lines on stderr, for whoever reads a log: CI, a service, a file."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rft.number_format import format_duration
from rft.runtime.progress import Stage, StageListener, listen_to_stages

HEARTBEAT = 30.0  # seconds after which a silent stage says that it runs: some CI ends what is silent for long


class StageLines:
    """Writes a line when a stage is over, and one whenever a stage has been silent for ``HEARTBEAT`` seconds.

    Args:
        say: writes a line.
        clock: tells seconds.
    """

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._say, self._clock = say, clock
        self._running: Stage | None = None
        self._begun = self._last = clock()

    def begin(self, stage: Stage) -> None:
        """Note which stage runs."""
        self._running, self._begun = stage, self._clock()
        self._last = self._begun

    def end(self, stage: Stage, seconds: float) -> None:
        """Write that a stage, or a loop of one, is over."""
        if stage is self._running:
            self._running = None
        detail = f", {stage.detail}" if stage.detail else ""
        self._say(f"rft: {stage.name}{detail}: {format_duration(seconds)}")
        self._last = self._clock()

    def beat(self) -> None:
        """Write that a stage still runs, where nothing was written for long."""
        stage, now = self._running, self._clock()
        if stage is None or now - self._last < HEARTBEAT:
            return
        where = f" ({stage.loop})" if stage.loop else ""
        self._say(f"rft: {stage.name}{where}: running for {format_duration(now - self._begun)}")
        self._last = now


@contextmanager
def say_stages(say: Callable[[str], None]) -> Iterator[None]:
    """Write the stages within this context as lines, with a thread that watches for long silence."""
    lines, over = StageLines(say), threading.Event()

    def watch() -> None:
        while not over.wait(1.0):
            lines.beat()

    watcher = threading.Thread(target=watch, name="stage lines", daemon=True)
    watcher.start()
    try:
        with listen_to_stages(StageListener(lines.begin, lines.end)):
            yield
    finally:
        over.set()
        watcher.join()
