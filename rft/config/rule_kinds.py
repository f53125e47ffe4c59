"""Which bounds a policy rule can set: one record for each kind.

A new kind is one entry of ``_ALL``: the key in ``[[policy]]``, how a rule is written, and how values and intervals are
judged follow from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class RuleKind:
    """One kind of bound.

    Attributes:
        key: in ``[[policy]]``.
        words: how a rule says it, before the bound.
        allowed_range: of the bound: the least and the largest value that keep to it, infinite where there is none. A
            value or interval within passes, one wholly outside fails, and one across an end is uncertain.
    """

    key: str
    words: str
    allowed_range: Callable[[float], tuple[float, float]]


_ALL = (
    RuleKind("max", "at most", lambda bound: (-math.inf, bound)),
    RuleKind("min", "at least", lambda bound: (bound, math.inf)),
)
RULE_KINDS = {kind.key: kind for kind in _ALL}
