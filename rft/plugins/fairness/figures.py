"""The pictures of the section, each drawn from one of its tables."""

from __future__ import annotations

from collections.abc import Mapping

from rft.plugins.fairness.plan import Plan
from rft.records import Figure, Table


def figures(plan: Plan, made: Mapping[str, Table]) -> tuple[Figure, ...]:
    return ()
