"""How many cases would bring the end of an interval to a bound, if the value stayed where it is."""

from __future__ import annotations

import math


def cases_to_settle(n: float, value: float, end: float, bound: float, *, at_edge: bool = False) -> float:
    """Return the number of cases from which an interval ends at ``bound``; infinite for a value on the bound.

    Most intervals shrink with the root of the number of cases. That of a share of 0 or 1 shrinks with the number
    itself: Wilson's has the length z^2 / (n + z^2) there (Wilson 1927, JASA), so that its odds are z^2 / n.

    Args:
        n: of cases, above 0.
        value: estimated from them.
        end: of its interval, on the side of ``bound``.
        bound: between ``value`` and ``end``.
        at_edge: the value is a share of 0 or 1, or made of such shares alone.

    >>> round(cases_to_settle(100, 0.05, 0.15, 0.10))
    400
    >>> round(cases_to_settle(30, 1.0, 30 / (30 + 1.96**2), 0.95, at_edge=True), 1)
    73.0
    """
    length, allowed = abs(end - value), abs(bound - value)
    if allowed == 0:
        return math.inf
    if at_edge and 0 < length < 1 and allowed < 1:
        return n * (length / (1 - length)) * ((1 - allowed) / allowed)
    return n * (length / allowed) ** 2
