"""Which gaps are too small to matter by themselves, however certain a large sample makes them."""

from __future__ import annotations

SMALL_GAP = 0.02  # one person in fifty is treated differently: below it a gap is told, and is nobody's first concern
LEAST_RATIO = 0.8  # the four-fifths rule (29 CFR 1607.4(D)): rare rates that are as far apart matter at any difference


def is_small_gap(low: float, high: float) -> bool:
    """Return whether two shares are close: less than ``SMALL_GAP`` apart, and neither they nor their complements rare.

    0.985 and 0.995 are close as rates of success, but not as rates of failure: 0.015 is three times 0.005.

    Args:
        low, high: two shares from 0 to 1, or two other rates of which the lower is 0 or more; above 1 a complement
            says nothing.
    """
    if high - low >= SMALL_GAP:
        return False
    alike = high <= 0 or low / high >= LEAST_RATIO
    return alike and (high > 1 or low >= 1 or (1 - high) / (1 - low) >= LEAST_RATIO)
