"""Work in batches that are halved where memory runs out, for work that gives the same however it is split."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from rft.runtime.out_of_memory import is_out_of_memory

T = TypeVar("T")


@dataclass
class FittingSize:
    """How many rows are run at once: as many as asked for, and half as many from each time on that memory runs out."""

    rows: int

    def halve_after(self, error: BaseException, tried: int) -> bool:
        """Halve the size after an error of a batch of ``tried`` rows; return whether to try again, with fewer rows."""
        if tried <= 1 or not is_out_of_memory(error):
            return False
        self.rows = tried // 2
        return True


def map_batches(run: Callable[[np.ndarray], T], count: int, rows: int | FittingSize) -> Iterator[tuple[np.ndarray, T]]:
    """Yield batches of row numbers and what ``run`` makes of each; fewer rows at once from where memory runs out.

    Args:
        run: (B,) int64 row numbers, one after the other -> what comes of them.
        count: N: batches cover the rows 0 to N - 1; without any there is one batch of none.
        rows: of a batch at most; a size that several loops share is halved for all of them.

    Raises:
        RuntimeError: as ``run`` raises it; one that says that memory ran out, when a single row is too much.
    """
    size = rows if isinstance(rows, FittingSize) else FittingSize(rows)
    start = 0
    while start < count or start == count == 0:
        batch = np.arange(start, min(start + size.rows, count))
        try:
            result = run(batch)
        except (RuntimeError, MemoryError) as error:
            if not size.halve_after(error, len(batch)):
                raise
        else:
            yield batch, result
            start += max(1, len(batch))
            continue
        release_device_memory()  # here nothing refers to the error any more, and through it to what was computed


def release_device_memory() -> None:
    """Give what torch keeps of freed memory on accelerators back to them."""
    torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
