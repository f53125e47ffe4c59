"""The difference of two accuracies on the same examples."""

from __future__ import annotations

import numpy as np

from rft.records import Interval
from rft.stats.discordant_pairs import tango_interval
from rft.stats.intervals import CONFIDENCE_LEVEL, Sample


def paired_difference(
    hits: np.ndarray, other_hits: np.ndarray, units: np.ndarray, *, level: float = CONFIDENCE_LEVEL
) -> Interval:
    """Return the interval of the accuracy of the first classifier minus that of the other.

    Args:
        is_correct, other_hits: (n,) booleans, whether each is right about an example; n above 0.
        units: (n,) whose each example is; the interval rests on the effective number of units.
        level: nominal coverage, between 0 and 1.
    """
    sample = Sample.from_units(units)
    worth = sample.effective_n / sample.rows
    won, lost = (worth * float(np.sum(only)) for only in (hits & ~other_hits, other_hits & ~hits))
    return sample.note_units(tango_interval(won, lost, sample.effective_n, level=level))
