"""The threads that read and decode items of a data set; Pillow and libsndfile release the interpreter lock for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np

DECODERS = 4  # threads

Rows = Sequence[int] | np.ndarray  # (B,) of a batch


@contextmanager
def open_decoders() -> Iterator[ThreadPoolExecutor]:
    """Yield a pool of threads; what it has not begun when the block is left is dropped, and nothing is waited for.

    A generator that holds a pool may be left before its end, by an error in the loop over it. It is then finished by
    garbage collection, at any moment and in any thread; one that waited for threads to end would wait for ever where
    that moment is the start of a thread.
    """
    pool = ThreadPoolExecutor(DECODERS)
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
