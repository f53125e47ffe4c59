"""Garbage is looked for seldom while modules are imported and charts drawn, and as often as before afterwards."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator

import pytest

from rft.runtime.collection import SELDOM, collect_seldom

COUNT_COLLECTIONS = """
import gc
from contextlib import nullcontext
from rft.runtime.collection import collect_seldom
before = gc.get_stats()[0]["collections"]
with {context}():
    kept = [[] for _ in range(100_000)]
print(gc.get_stats()[0]["collections"] - before)
"""


@pytest.fixture(autouse=True)
def _thresholds() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


def test_the_thresholds_of_before_come_back_after_an_error_too() -> None:
    gc.set_threshold(701, 11, 12)
    during = []

    def fail() -> None:
        with collect_seldom():
            during.append(gc.get_threshold())
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fail()
    assert during == [(SELDOM, 11, 12)]
    assert gc.get_threshold() == (701, 11, 12)


@pytest.mark.parametrize("first", [0, 2 * SELDOM])
def test_who_collects_more_seldom_or_never_goes_on_so(first: int) -> None:
    gc.set_threshold(first, 10, 10)
    with collect_seldom():
        assert gc.get_threshold() == (first, 10, 10)


def test_objects_that_stay_are_looked_through_twice_where_it_was_over_a_hundred_times() -> None:
    counts = {}
    for context in ("nullcontext", "collect_seldom"):
        script = COUNT_COLLECTIONS.format(context=context)
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        counts[context] = int(done.stdout)
    assert counts["nullcontext"] > 100
    assert counts["collect_seldom"] <= 2
