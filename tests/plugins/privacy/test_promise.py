"""What a promise of differential privacy allows an attacker, held against attackers that reach its limit."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rft.plugins.privacy.promise import allows_area, allows_rate
from rft.records import Training


def private(epsilon: float, delta: float = 1e-5, **changes: object) -> Training:
    return Training(mode="private", epsilon=epsilon, delta=delta, unit="example").model_copy(update=changes)


@pytest.mark.parametrize("epsilon", [0.5, 1.0, 3.0])
def test_the_best_attacker_is_allowed_and_a_better_one_is_not(epsilon: float) -> None:
    rates = np.linspace(0, 1, 200_001)
    most, factor = 1 - 1e-5, math.exp(epsilon)
    best = 1 - np.maximum(0, np.maximum(most - factor * rates, (most - rates) / factor))
    area = float(np.trapezoid(best, rates))
    assert allows_area(private(epsilon), area - 1e-4)
    assert not allows_area(private(epsilon), area + 1e-4)
    for number in (200, 2_000, 100_000):
        assert allows_rate(private(epsilon), best[number] - 1e-9, rates[number])
        assert not allows_rate(private(epsilon), best[number] + 1e-6, rates[number])


def test_nothing_is_allowed_where_nothing_is_promised() -> None:
    nothing = (Training(mode="standard"), private(3.0, void="an example was seen twice"), private(21.0))
    for training in nothing:
        assert not allows_area(training, 0.5)
        assert not allows_rate(training, 0.0, 0.5)
