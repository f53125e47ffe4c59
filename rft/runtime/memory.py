"""How much memory this process holds and the machine has to spare, as Linux tells it."""

from __future__ import annotations

import ctypes
import os
import threading
from pathlib import Path
from types import TracebackType

PROC = Path("/proc")
INTERVAL = 0.002  # seconds between two looks; what a layer needs for itself is there for longer


def measurable() -> bool:
    """Tell whether this system says how much memory a process holds."""
    return (PROC / "self" / "statm").exists()


def resident() -> int:
    """Return the bytes that this process holds in memory now; 0 where the system does not say."""
    if not measurable():
        return 0
    return int((PROC / "self" / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def highest() -> int:
    """Return the most bytes that this process has ever held in memory; 0 where the system does not say."""
    return _field(PROC / "self" / "status", "VmHWM") if measurable() else 0


def available() -> int:
    """Return the bytes that can be taken without swapping; half of all memory where the system does not say."""
    if measurable():
        return _field(PROC / "meminfo", "MemAvailable")
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def trim() -> None:
    """Give freed memory back to the system; glibc keeps it (``rft.runtime.allocator``), where it counts as held."""
    release = getattr(ctypes.CDLL(None), "malloc_trim", None) if measurable() else None
    if release:
        release(0)


def _field(path: Path, name: str) -> int:
    line = next(line for line in path.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


class Watch:
    """The most memory that the process held since ``restart``.

    A new record of the whole process is exact, the system keeps it. Below the record a thread looks many times a
    second, and what comes and goes between two looks is missed: leave a margin.
    """

    def __enter__(self) -> Watch:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.restart()
        self._thread.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def restart(self) -> None:
        """Forget what was seen."""
        self._record, self._seen = highest(), resident()

    def peak(self) -> int:
        """Return the bytes held at the highest point since ``restart``."""
        record = highest()
        return record if record > self._record else max(self._seen, resident())

    def _look(self) -> None:
        while not self._stop.wait(INTERVAL):
            self._seen = max(self._seen, resident())
