"""How many cases would bring the end of an interval to a bound, if the value stayed where it is."""

from __future__ import annotations

import math


def cases_to_settle(n: float, value: float, end: float, bound: float, *, share: bool = False) -> float:
    """Return the number of cases from which an interval ends at ``bound``; infinite for a value on the bound.

    Most intervals shrink with the root of the number of cases. That of a share p ends where
    ``(p - end)^2 = z^2 end (1 - end) / n`` (Wilson 1927, JASA), which is solved for n at the bound: at 0 and 1 it
    shrinks with the number itself.

    Args:
        n: of cases, above 0.
        value: estimated from them.
        end: of its interval, on the side of ``bound``.
        bound: between ``value`` and ``end``.
        share: the value is a share of cases, or made of such shares alone and 0 or 1.

    >>> round(cases_to_settle(100, 0.05, 0.15, 0.10))
    400
    >>> round(cases_to_settle(30, 1.0, 30 / (30 + 1.96**2), 0.95, share=True), 1)
    73.0
    """
    if bound == value:
        return math.inf
    by_root = n * ((end - value) / (bound - value)) ** 2
    if share and 0 < end < 1 and 0 < bound < 1:
        return by_root * (bound * (1 - bound)) / (end * (1 - end))
    return by_root
