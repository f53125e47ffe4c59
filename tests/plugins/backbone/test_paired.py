"""The difference of two accuracies counts people, not rows."""

from __future__ import annotations

import numpy as np

from rft.plugins.backbone.paired import paired_difference


def test_rows_of_one_person_count_once() -> None:
    """Both classifiers are right or wrong for all rows of a person together: 40 people, 5 rows each."""
    rng = np.random.default_rng(0)
    people, rows = np.repeat(np.arange(40), 5), np.arange(200)
    covered = {"people": 0, "rows": 0}
    for _ in range(1500):
        hits, second = np.repeat(rng.random(40) < 0.8, 5), np.repeat(rng.random(40) < 0.6, 5)
        for name, units in (("people", people), ("rows", rows)):
            interval = paired_difference(hits, second, units)
            covered[name] += interval.low <= 0.2 <= interval.high
    assert covered["people"] >= 1395  # 0.93; exactly it is 0.9445
    assert covered["rows"] < 1050
    assert "40 units" in paired_difference(hits, second, people).method
