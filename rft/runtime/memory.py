"""How much memory this process holds and the machine has to spare, as Linux tells it."""

from __future__ import annotations

import ctypes
import os
import threading
from contextlib import closing
from pathlib import Path
from types import TracebackType

PROC = Path("/proc")
MAX_STATM_BYTES = 256  # seven numbers
# Seconds between two looks. What is freed stays resident (``rft.runtime.allocator``), so that a look is rarely needed.
SECONDS_BETWEEN_LOOKS = 0.01


def is_measurable() -> bool:
    """Tell whether this system says how much memory a process holds."""
    return (PROC / "self" / "statm").exists()


def resident_bytes() -> int:
    """Return the bytes that this process holds in memory now; 0 where the system does not say."""
    with closing(_ResidentCounter()) as counter:
        return counter.read_bytes()


def peak_bytes() -> int:
    """Return the most bytes that this process has ever held in memory; 0 where the system does not say."""
    return _read_field(PROC / "self" / "status", "VmHWM") if is_measurable() else 0


def available_bytes() -> int:
    """Return the bytes that can be taken without swapping; half of all memory where the system does not say."""
    if is_measurable():
        return _read_field(PROC / "meminfo", "MemAvailable")
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def release_freed_memory() -> None:
    """Give freed memory back to the system; glibc keeps it (``rft.runtime.allocator``), where it counts as held."""
    release = getattr(ctypes.CDLL(None), "malloc_trim", None) if is_measurable() else None
    if release:
        release(0)


def _read_field(path: Path, name: str) -> int:
    line = next(line for line in path.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


class _ResidentCounter:
    """The file that says what this process holds, kept open: to open it takes ten times as long as to read it."""

    def __init__(self) -> None:
        self._file = os.open(PROC / "self" / "statm", os.O_RDONLY) if is_measurable() else None

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)

    def read_bytes(self) -> int:
        """Return the bytes that are resident now; 0 where the system does not say."""
        if self._file is None:
            return 0
        return int(os.pread(self._file, MAX_STATM_BYTES, 0).split()[1]) * os.sysconf("SC_PAGE_SIZE")


class PeakWatch:
    """The most memory that the process held since ``forget_peak``.

    A new record of the whole process is exact, the system keeps it. Below the record a thread looks a hundred times a
    second, and what comes and goes between two looks is missed: leave a margin. Its looks take .9 % of a core; five
    hundred a second, through a file that was opened for each, took 7.5 %.
    """

    def __enter__(self) -> PeakWatch:
        self._counter = _ResidentCounter()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._note_peak, daemon=True)
        self.forget_peak()
        self._thread.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        self._counter.close()

    def forget_peak(self) -> None:
        """Forget what was seen."""
        self._record, self._seen = peak_bytes(), self._counter.read_bytes()

    def peak(self) -> int:
        """Return the bytes held at the highest point since ``forget_peak``."""
        record = peak_bytes()
        return record if record > self._record else max(self._seen, self._counter.read_bytes())

    def _note_peak(self) -> None:
        while not self._stop.wait(SECONDS_BETWEEN_LOOKS):
            self._seen = max(self._seen, self._counter.read_bytes())
