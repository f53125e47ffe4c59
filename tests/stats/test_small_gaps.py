"""Which gaps are too small to matter by themselves: by hand."""

from __future__ import annotations

import pytest

from rft.stats.gaps.small import is_small_gap


@pytest.mark.parametrize(
    ("low", "high", "small"),
    [
        (0.50, 0.51, True),
        (0.50, 0.52, False),  # one in fifty
        (0.010, 0.011, True),
        (0.005, 0.015, False),  # a third
        (0.985, 0.995, False),  # of errors: 0.005 is a third of 0.015
        (0.0, 0.0, True),
        (0.0, 0.01, False),
        (1.0, 1.0, True),
        (0.99, 1.0, False),
        (1.20, 1.21, True),  # errors a word
    ],
)
def test_a_gap_is_small_where_neither_difference_nor_ratio_is_large(low: float, high: float, small: bool) -> None:
    assert is_small_gap(low, high) is small
