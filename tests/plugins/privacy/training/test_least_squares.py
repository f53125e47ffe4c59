"""DP least squares: one unit's part against its bound, the noise, and the head against ridge regression."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import Ridge

from rft.backbones.classifier import Head
from rft.plugins.privacy.accounting.accountants import calibrate_noise_multiplier
from rft.plugins.privacy.training.least_squares import (
    BALANCE,
    SufficientStatistics,
    add_noise,
    solve_head,
    sufficient_statistics,
)
from rft.plugins.privacy.training.randomness import SecretSource, SeededSource
from rft.training.linear_heads import Vectors


def random_vectors(n: int = 40, d: int = 6, k: int = 3, *, views: int = 1, **changes: object) -> Vectors:
    random = torch.Generator().manual_seed(0)
    stored = 5 * torch.randn(n * views, d, generator=random)
    fields = {"class_weights": None, "row_norm": False, "labels": torch.randint(0, k, (n,), generator=random)} | changes
    return Vectors(stored=fields.pop("stored", stored), views=views, **fields)


def seeded_source(seed: int = 0) -> SeededSource:
    return SeededSource(np.random.default_rng(seed))


def distance(first: SufficientStatistics, second: SufficientStatistics) -> float:
    """The distance of two pairs of sums, over the bound."""
    moments, products = first.moments - second.moments, first.products - second.products
    return math.sqrt(np.sum(moments**2) + np.sum(products**2)) / first.bound


def test_the_sums_are_those_of_a_loop_over_units() -> None:
    units = np.random.default_rng(0).integers(0, 12, 40)
    data = random_vectors(views=2, class_weights=torch.tensor([1.0, 2.0, 0.5]))
    statistics = sufficient_statistics(data, units, 3)
    moments, products = np.zeros((7, 7)), np.zeros((7, 3))
    for unit in range(12):
        own_moments, own_products = np.zeros((7, 7)), np.zeros((7, 3))
        for row in np.flatnonzero(units == unit):
            for view in range(2):
                z = np.append(data.stored[2 * row + view].double().numpy(), 1.0)
                z /= np.linalg.norm(z)
                y = np.full(3, -1 / 3)
                y[data.labels[row]] += 1
                weight = {0: 0.5, 1: 1.0, 2: 0.25}[int(data.labels[row])] / 2
                own_moments += weight * np.outer(z, z)
                own_products += weight * BALANCE * np.outer(z, y)
        norm = math.sqrt(np.sum(own_moments**2) + np.sum(own_products**2))
        moments += own_moments * min(1, statistics.bound / norm)
        products += own_products * min(1, statistics.bound / norm)
    np.testing.assert_allclose(statistics.moments, moments, atol=1e-12)
    np.testing.assert_allclose(statistics.products, products, atol=1e-12)


@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("weights", [None, [1.0, 4.0, 0.1]])
@pytest.mark.parametrize("row_norm", [False, True])
def test_no_unit_moves_the_sums_by_more_than_the_bound(views: int, weights: list | None, row_norm: bool) -> None:
    units = np.repeat(np.arange(6), [1, 1, 2, 5, 11, 20])  # some have more rows than there are columns
    class_weights = None if weights is None else torch.tensor(weights)
    data = random_vectors(views=views, class_weights=class_weights, row_norm=row_norm)
    data.stored[0] = 1e30
    whole = sufficient_statistics(data, units, 3)
    moved = [distance(whole, sufficient_statistics(data, units, 3, members=units != unit)) for unit in range(6)]
    assert max(moved) == pytest.approx(1.0)
    assert max(moved) <= 1 + 1e-9


def test_one_example_alone_has_the_length_of_the_bound() -> None:
    data, units = random_vectors(), np.arange(40)
    whole = sufficient_statistics(data, units, 3)
    for row in (0, 7, 39):
        assert distance(whole, sufficient_statistics(data, units, 3, members=units != row)) == pytest.approx(1.0)


def test_rows_sold_as_a_persons_would_exceed_the_bound() -> None:
    """The trap: that each row is scaled does not bound the sum over a person's rows."""
    data = random_vectors(stored=torch.ones(40, 6), labels=torch.zeros(40, dtype=torch.int64))
    alone, person = np.arange(40), np.repeat([0, 1], 20)
    only_first = person == 0
    assert distance(
        sufficient_statistics(data, alone, 3), sufficient_statistics(data, alone, 3, ~only_first)
    ) == pytest.approx(20)
    assert distance(
        sufficient_statistics(data, person, 3), sufficient_statistics(data, person, 3, ~only_first)
    ) == pytest.approx(1)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_examples_that_are_not_finite_count_as_zero_and_are_counted(bad: float) -> None:
    data, units = random_vectors(), np.arange(40)
    data.stored[3, 2] = bad
    statistics = sufficient_statistics(data, units, 3)
    assert statistics.non_finite == 1
    without = sufficient_statistics(data, units, 3, members=units != 3)
    assert without.non_finite == 0
    assert distance(statistics, without) == 0


def test_noise_has_the_deviation_that_the_mechanism_promises() -> None:
    empty = SufficientStatistics(np.zeros((60, 60)), np.zeros((60, 4)), bound=1.7, non_finite=0)
    drawn = [add_noise(empty, 2.5, SecretSource()) for _ in range(40)]
    moments, products = (np.stack(draws) for draws in zip(*drawn, strict=True))
    np.testing.assert_array_equal(moments, moments.swapaxes(1, 2))
    off = moments[:, *np.triu_indices(60, 1)]
    diagonal = moments[:, np.arange(60), np.arange(60)]
    assert off.std() == pytest.approx(2.5 * 1.7 / math.sqrt(2), rel=0.02)
    assert diagonal.std() == pytest.approx(2.5 * 1.7, rel=0.06)
    assert products.std() == pytest.approx(2.5 * 1.7, rel=0.04)
    assert abs(np.corrcoef(off[0], off[1])[0, 1]) < 0.1  # fresh each time


def test_the_projection_on_any_direction_has_the_promised_noise() -> None:
    """Whatever a unit's part looks like: along it the noise has sigma times the bound."""
    data, units = random_vectors(d=4), np.arange(40)
    whole, without = sufficient_statistics(data, units, 3), sufficient_statistics(data, units, 3, members=units != 0)
    part = np.concatenate([(whole.moments - without.moments).ravel(), (whole.products - without.products).ravel()])
    empty = SufficientStatistics(np.zeros((5, 5)), np.zeros((5, 3)), whole.bound, 0)
    source = seeded_source()
    along = [
        np.concatenate([noise.ravel() for noise in add_noise(empty, 3.0, source)]) @ part / np.linalg.norm(part)
        for _ in range(4000)
    ]
    assert np.std(along) == pytest.approx(3.0 * whole.bound, rel=0.04)


def test_without_noise_the_head_is_ridge_regression_on_scaled_rows() -> None:
    data = random_vectors(n=300)
    state = solve_head(sufficient_statistics(data, np.arange(300), 3), 1e-6, seeded_source())
    rows = np.column_stack([data.stored.double().numpy(), np.ones(300)])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    targets = BALANCE * (np.eye(3) - 1 / 3)[data.labels.numpy()]
    exact = Ridge(alpha=1e-9, fit_intercept=False).fit(rows, targets).coef_
    np.testing.assert_allclose(state["linear.weight"].numpy(), exact[:, :-1], atol=2e-4)
    np.testing.assert_allclose(state["linear.bias"].numpy(), exact[:, -1], atol=2e-4)


def test_it_learns_at_small_epsilon() -> None:
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    x, y = torch.tensor(x[order], dtype=torch.float32), torch.tensor(y[order])
    data = Vectors(x[:1400], 1, False, y[:1400], None)
    sums = sufficient_statistics(data, np.arange(1400), 10)
    accuracy = []
    for epsilon in (0.1, 0.5, 1.0, 8.0):
        head = Head(64, 10)
        head.load_state_dict(
            solve_head(sums, calibrate_noise_multiplier(epsilon, 1e-5, sample_rate=1.0, steps=1), seeded_source())
        )
        with torch.no_grad():
            accuracy.append(float((head({"features": x[1400:]}).argmax(1) == y[1400:]).double().mean()))
    assert accuracy == sorted(accuracy)
    assert accuracy[2] > 0.75  # a guess is right in a tenth
    assert accuracy[3] > 0.9


def test_far_too_much_noise_still_gives_a_finite_head() -> None:
    state = solve_head(sufficient_statistics(random_vectors(n=5), np.arange(5), 3), 1000.0, seeded_source())
    assert all(tensor.isfinite().all() for tensor in state.values())
    Head(6, 3).load_state_dict(state)
