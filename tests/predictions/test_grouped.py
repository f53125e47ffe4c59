"""Rows by group: how many people of each group have a row in some cells."""

from __future__ import annotations

import numpy as np
import pytest

from rft.predictions import grouped
from rft.predictions.grouped import GroupedPredictions
from rft.predictions.table import Grouping, PredictionArrays


@pytest.mark.parametrize("most_marks", [grouped.MAX_MARK_BYTES, 0])
def test_units_are_counted_once_a_group_whatever_the_way(most_marks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grouped, "MAX_MARK_BYTES", most_marks)
    rng = np.random.default_rng(0)
    labels, predicted, codes, units = (rng.integers(low, high, 500) for low, high in ((0, 2), (0, 2), (-1, 3), (0, 90)))
    rows = GroupedPredictions(
        PredictionArrays(("no", "yes"), labels, predicted, units=units), Grouping("g", ("a", "b", "c"), codes, ("g",))
    )
    for cells in (np.ones((2, 2)), np.array([[0, 0], [1, 1]]), np.array([[0, 1], [0, 1]]), np.zeros((2, 2))):
        for _ in range(2):  # the second time it is remembered
            expected = [
                len(
                    {
                        unit
                        for unit, code, y, z in zip(units, codes, labels, predicted, strict=True)
                        if code == g and cells[y, z]
                    }
                )
                for g in range(3)
            ]
            assert rows.count_units_with(cells).tolist() == expected
