"""Whose the training examples are: the units that are sampled, clipped and protected."""

from __future__ import annotations

import numpy as np

from rft.errors import DataError
from rft.training import Task


def unit_of_row(task: Task) -> np.ndarray:
    """Return (N,) the number, from 0 on, of the unit that each example belongs to.

    Raises:
        DataError: there are no examples, or one has no unit.
    """
    return number_units(len(task.labels), task.units)


def number_units(n: int, units: np.ndarray | None) -> np.ndarray:
    """Return (N,) the number of each example's unit, of ``n`` examples with (N,) units, or None: each is one.

    Raises:
        DataError: as ``unit_of_row``.
    """
    if not n:
        raise DataError("there are no training examples", where="data")
    if units is None:
        return np.arange(n)
    missing = sum(unit is None or unit == "" for unit in units)
    if missing:
        raise DataError(
            f"{missing} of {len(units)} training examples have no unit, so that nobody's contribution is bounded",
            where="data.unit",
            remedy="Name whose each example is, or leave data.unit out to protect single examples.",
        )
    return np.unique(np.asarray(units, dtype=str), return_inverse=True)[1]


def rows_by_unit(units: np.ndarray) -> np.ndarray:
    """Return (U, M) the rows of each of U units, in order, filled up with -1 where it has fewer than the largest."""
    order = np.argsort(units, kind="stable")
    sizes = np.bincount(units)
    place = np.arange(len(units)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    table = np.full((len(sizes), sizes.max()), -1, dtype=np.int64)
    table[units[order], place] = order
    return table
