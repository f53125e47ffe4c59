"""How often Python looks for garbage in cycles: seldom while much is built that stays."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

SELDOM = 50_000  # objects more than were freed before the youngest are looked through; Python's default is 700


@contextmanager
def collect_seldom() -> Iterator[None]:
    """Look for garbage seldom, then as often as before: importing and drawing build objects that nearly all stay.

    Looking through them again and again is a sixth of importing torch and torchvision. Not for work on tensors: a cycle
    would hold theirs for longer.
    """
    before = gc.get_threshold()
    gc.set_threshold(max(SELDOM, before[0]) if before[0] else 0, *before[1:])  # 0: somebody switched it off
    try:
        yield
    finally:
        gc.set_threshold(*before)
