"""How many examples are run at once: found by trying, so that it suits the model, the device and the memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from rft.errors import ConfigError
from rft.runtime import memory
from rft.runtime.devices import device_memory
from rft.runtime.devices.fitting_batches import release_device_memory
from rft.runtime.out_of_memory import is_out_of_memory

T = TypeVar("T")

USUAL_EXAMPLES = 32
USUAL_TOKENS = 4096
MAX_ROWS_PER_BATCH = 512  # however short the texts are
ACCELERATOR_FACTOR = 16  # an accelerator may take this many times the usual, while that makes it faster
MIN_SPEEDUP = 1.1
BATCHES_PER_SIZE = 3  # batches of each size: the second and third are decoded while the one before is computed
TRIAL_ROWS = 4  # tell whether planned batches fit
HEADROOM = 0.9  # of the memory is planned with; the rest is for what the measurements miss


@dataclass(frozen=True)
class MemoryBound:
    """How many bytes may be held where batches run: ``total``, of which ``reserved`` are for other things.

    On a CPU all that the process holds counts, on an accelerator what lies there.
    """

    total: int
    reserved: int = 0

    @property
    def planned(self) -> int:
        """What batches may bring the process to."""
        return int(self.total * HEADROOM) - self.reserved

    def check(self, peak: int, before: int) -> None:
        """Raise ``ConfigError`` where even one example at a time takes more than the total."""
        if peak > self.total:
            raise ConfigError(
                f"extraction takes {peak / 1e6:,.0f} MB with one example at a time, {before / 1e6:,.0f} MB of them "
                f"before the first; {self.total / 1e6:,.0f} MB are allowed",
                where="model.memory",
                remedy="Allow more, or take a smaller backbone, smaller images or shorter texts.",
            )


class BatchSizer:
    """The size of the next batch, in what examples cost: 1 for an image, its tokens for a text.

    It starts with one example and doubles while the growth that was measured, in proportion, stays within the bound,
    up to the usual size; on an accelerator further, while that is faster. On a CPU speed decides nothing: batches,
    and with them the last digits of the features, would follow from the load of the machine.

    Args:
        costs: (M,) what examples cost, the largest first.
        usual: the size that is enough on a CPU.
        bound: how much memory there is.
        accelerated: whether they run on an accelerator.
        most_rows: of a batch, at most.
        device: torch device name.
        block: no batch goes past a multiple of so many examples; None where that does not matter.
        share: which of the M examples are run here; all of them when None.
    """

    def __init__(
        self,
        costs: np.ndarray,
        usual: int,
        bound: MemoryBound,
        *,
        accelerated: bool,
        most_rows: int = MAX_ROWS_PER_BATCH,
        device: str = "cpu",
        block: int | None = None,
        share: range | None = None,
    ) -> None:
        self._costs, self.bound, self._most_rows, self.device = costs, bound, most_rows, device
        self._usual, self._most = usual, usual * (ACCELERATOR_FACTOR if accelerated else 1)
        self.share = range(len(costs)) if share is None else share
        self._block = block or len(costs)
        self._planned: list[np.ndarray] = []
        self.size = int(costs[self.share.start])  # costs never rise, so that the first batch of a size is its largest
        self.settled = False
        _release_memory()  # what was freed but kept would count as taken
        self._before, self._speed = device_memory.held_bytes(device), 0.0
        bound.check(self._before, self._before)

    def next_batches(self, start: int) -> list[np.ndarray]:
        """Return the next batches, (B,) numbers from ``start`` on: a few of this size, or all once it is settled."""
        if self._planned:
            return [batch for batch in self._planned if batch[0] >= start]
        return self._cut_batches(start, self.size, settled=self.settled)

    def _cut_batches(self, start: int, size: int, *, settled: bool) -> list[np.ndarray]:
        batches: list[np.ndarray] = []
        while start < self.share.stop and (settled or len(batches) < BATCHES_PER_SIZE):
            rows = min(self._most_rows, max(1, size // int(self._costs[start])))
            stop = min(start + rows, self.share.stop, (start // self._block + 1) * self._block)
            batches.append(np.arange(start, stop))
            start = stop
        return batches

    def plan_batches(self) -> list[np.ndarray]:
        """Return the batches of this share as they are where all M examples are run in one go and memory suffices."""
        planned: list[np.ndarray] = []
        start, size, settled = 0, int(self._costs[0]), False
        while batches := self._cut_batches(start, size, settled=settled):
            planned += [batch for batch in batches if batch[0] >= self.share.start]
            start, larger = int(batches[-1][-1]) + 1, min(2 * size, self._most)
            settled = larger <= size
            size = size if settled else larger
        return planned

    def follow_plan(self, cost: int, peak: int) -> None:
        """Run the batches as planned, unless a trial that cost ``cost`` and held ``peak`` bytes speaks against it."""
        planned = self.plan_batches()
        largest = max(map(self.batch_cost, planned))
        if self._before + largest / cost * (peak - self._before) <= self.bound.planned:
            self._planned, self.settled = planned, True

    def batch_cost(self, batch: np.ndarray) -> int:
        """Return what a batch of (B,) numbers costs, padding included."""
        return int(self._costs[batch[0]]) * len(batch)

    def choose_next_size(self, cost: int, peak: int, speed: float) -> None:
        """Choose the next size.

        Args:
            cost: of the largest batch of this size.
            peak: bytes that were held when it ran.
            speed: cost a second of the fastest batch.
        """
        larger = min(2 * self.size, self._most)
        expected = self._before + larger / cost * (peak - self._before)
        slower = self.size >= self._usual and speed < MIN_SPEEDUP * self._speed
        self._speed = speed
        self.settled = larger <= self.size or expected > self.bound.planned or slower
        if not self.settled:
            self.size = larger

    def halve_size(self, batch: np.ndarray) -> None:
        """Halve the size after a batch of (B,) numbers that took too much."""
        self._planned, self.settled = [], True
        self.size = self.batch_cost(batch) // 2

    def too_much(self, batch: np.ndarray, peak: int) -> bool:
        """Tell whether this batch, (B,), is too large; raises ``ConfigError`` where one example is too much."""
        if len(batch) == 1:
            self.bound.check(peak, self._before)
        return len(batch) > 1 and peak > self.bound.planned


def run_all(sizer: BatchSizer, run: Callable[[list[np.ndarray]], Iterator[T]]) -> Iterator[tuple[np.ndarray, T]]:
    """Yield each batch, (B,) numbers, with what ``run`` makes of it.

    Args:
        sizer: decides how large batches are, from how much memory and time they take.
        run: batches -> what comes out of each, in order. It is called again when the size changes.

    Raises:
        ConfigError: when one example at a time takes more memory than there is.
    """
    start = sizer.share.start
    with device_memory.watch_peak(sizer.device) as watch:
        while batches := sizer.next_batches(start):
            _release_memory()  # what batches of another size left behind
            watch.forget_peak()
            speed, results = 0.0, run(batches)
            for batch in batches:
                clock = time.monotonic()
                try:
                    result = next(results)
                except (RuntimeError, MemoryError) as error:
                    if not is_out_of_memory(error):
                        raise
                    _refuse_one(batch, str(error))
                    sizer.halve_size(batch)
                    break
                speed = max(speed, sizer.batch_cost(batch) / (time.monotonic() - clock))
                start = int(batch[-1]) + 1
                yield batch, result
                peak = watch.peak()
                if peak > sizer.bound.planned / 2:
                    _release_memory()
                if sizer.too_much(batch, peak):
                    sizer.halve_size(batch)
                    break
            else:
                sizer.choose_next_size(max(map(sizer.batch_cost, batches)), peak, speed)


def try_planned_batches(sizer: BatchSizer, run: Callable[[list[np.ndarray]], Iterator[object]]) -> None:
    """Let a share that begins later have the batches of a run over all, if a few of its examples say that they fit.

    Without this it would begin with one example, and its features would differ in their last digits. Where memory is
    too small for the usual batches it does so.
    """
    trial = np.arange(sizer.share.start, min(sizer.share.start + TRIAL_ROWS, sizer.share.stop))
    with device_memory.watch_peak(sizer.device) as watch:
        try:
            list(run([trial]))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return
        sizer.follow_plan(sizer.batch_cost(trial), watch.peak())


def _release_memory() -> None:
    memory.release_freed_memory()
    release_device_memory()


def _refuse_one(batch: np.ndarray, reason: str) -> None:
    if len(batch) == 1:
        raise ConfigError(
            f"one example at a time takes more memory than the device has: {reason.splitlines()[0]}",
            where="--device",
            remedy="Run with --device cpu, or take a smaller backbone, smaller images or shorter texts.",
        ) from None
