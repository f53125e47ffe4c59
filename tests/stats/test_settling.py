"""How many cases settle a rule, held against the intervals themselves."""

from __future__ import annotations

import math

import pytest

from rft.stats.intervals import clopper_pearson_interval, newcombe_difference, wilson_interval
from rft.stats.settling import cases_to_settle


def fewest(ends_at: object, bound: float) -> int:
    """Return the least n from which an interval lies within a bound, by trying."""
    assert callable(ends_at)
    return next(n for n in range(2, 100_000) if ends_at(n) >= bound)


@pytest.mark.parametrize("bound", [0.8, 0.95, 0.99])
@pytest.mark.parametrize("n", [10, 30, 200])
@pytest.mark.parametrize("level", [0.95, 0.9875])
def test_of_a_share_without_a_mistake_wilson_is_met_to_the_case(bound: float, n: int, level: float) -> None:
    end = wilson_interval(n, n, level=level).low
    needed = fewest(lambda cases: wilson_interval(cases, cases, level=level).low, bound)
    assert math.ceil(cases_to_settle(n, 1.0, end, bound, share=True) - 1e-9) == needed


@pytest.mark.parametrize("bound", [0.8, 0.95, 0.99])
def test_of_a_share_without_a_mistake_clopper_pearson_is_met_nearly(bound: float) -> None:
    end = clopper_pearson_interval(40, 40).low
    needed = fewest(lambda cases: clopper_pearson_interval(cases, cases).low, bound)
    assert cases_to_settle(40, 1.0, end, bound, share=True) == pytest.approx(needed, rel=0.1)


@pytest.mark.parametrize("bound", [0.02, 0.05, 0.1])
def test_of_a_gap_of_two_groups_without_a_mistake_newcombe_is_met_nearly(bound: float) -> None:
    def high(n: int) -> float:
        return newcombe_difference(n, n, n, n).high

    needed = next(n for n in range(2, 10_000) if high(n) <= bound)
    assert cases_to_settle(40, 0.0, high(40), bound, share=True) == pytest.approx(needed, rel=0.1)


@pytest.mark.parametrize(("right", "n", "bound"), [(13.5, 16, 0.8), (27, 30, 0.85), (28, 40, 0.6), (95, 100, 0.94)])
def test_of_a_share_of_few_cases_wilson_is_met_to_the_case(right: float, n: int, bound: float) -> None:
    end = wilson_interval(right, n, level=0.975).low
    needed = fewest(lambda cases: wilson_interval(right / n * cases, cases, level=0.975).low, bound)
    assert math.ceil(cases_to_settle(n, right / n, end, bound, share=True) - 1e-9) == needed


@pytest.mark.parametrize("bound", [0.66, 0.67, 0.69])
def test_of_other_values_the_root_of_n_decides(bound: float) -> None:
    end = wilson_interval(280, 400).low
    needed = next(n for n in range(10, 100_000, 10) if wilson_interval(0.7 * n, n).low >= bound)
    assert cases_to_settle(400, 0.7, end, bound) == pytest.approx(needed, rel=0.08)


def test_a_value_on_the_bound_is_never_settled() -> None:
    assert cases_to_settle(100, 0.1, 0.2, 0.1) == math.inf
    assert cases_to_settle(100, 1.0, 0.9, 1.0, share=True) == math.inf
