"""Poisson sampling: its distribution against the binomial one, and independence of units, heads and steps."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from scipy import stats

from rft.plugins.privacy.training.randomness import SecretSource, SeededSource
from rft.plugins.privacy.training.sampling import PoissonSampler, Sample


def poisson_sampler(n: int, rate: float, seed: int | None = 0) -> PoissonSampler:
    return PoissonSampler(SecretSource() if seed is None else SeededSource(np.random.default_rng(seed)), n, rate)


def units_taken(samples: list[Sample], n: int) -> np.ndarray:
    """Return who took part, (steps, heads, n) bool."""
    there = np.zeros((len(samples), len(samples[0].units), n), dtype=bool)
    for step, sample in enumerate(samples):
        for head, (units, taken) in enumerate(zip(sample.units, sample.taken, strict=True)):
            there[step, head, units[taken]] = True
    return there


SETTINGS = [(1, 0.5), (1, 0.01), (2, 0.3), (7, 0.9), (40, 0.2), (40, 0.999), (100, 0.01), (300, 0.05), (2000, 0.5)]


@pytest.mark.parametrize(("n", "rate"), SETTINGS)
def test_the_size_of_a_sample_is_binomial(n: int, rate: float) -> None:
    heads, steps = 50, 400
    built_sampler = poisson_sampler(n, rate)
    sizes = np.concatenate([built_sampler.draw_sample(heads).taken.sum(1) for _ in range(steps)])
    expected = stats.binom.pmf(np.arange(n + 1), n, rate) * heads * steps
    observed = np.bincount(sizes, minlength=n + 1)
    rare = expected < 10  # put together, for the test of fit
    observed, expected = (np.append(counts[~rare], counts[rare].sum()) for counts in (observed, expected))
    enough = expected > 1e-6
    assert observed[~enough].sum() == 0
    assert stats.chisquare(observed[enough], expected[enough] * observed.sum() / expected[enough].sum()).pvalue > 1e-6


@pytest.mark.parametrize(("n", "rate"), SETTINGS)
def test_each_unit_takes_part_at_the_rate_and_by_itself(n: int, rate: float) -> None:
    built_sampler = poisson_sampler(n, rate, seed=1)
    there = units_taken([built_sampler.draw_sample(10) for _ in range(400)], n).reshape(4000, n)
    bound = 6 * math.sqrt(rate * (1 - rate) / 4000) + 6**2 / (3 * 4000)  # Bernstein: once in a hundred million
    assert np.abs(there.mean(0) - rate).max() < bound
    neighbours = (there[:, 1:] & there[:, :-1]).mean(0)  # the walk goes from one unit to the next
    both = rate**2
    assert np.abs(neighbours - both).max(initial=0) < 6 * math.sqrt(both * (1 - both) / 4000) + 12 / 4000
    first_and_last = float((there[:, 0] & there[:, -1]).mean())
    assert n == 1 or abs(first_and_last - both) < 6 * math.sqrt(both * (1 - both) / 4000) + 12 / 4000


def test_units_heads_and_steps_are_uncorrelated() -> None:
    n, rate, heads, steps = 20, 0.3, 5, 4000
    built_sampler = poisson_sampler(n, rate, seed=2)
    there = units_taken([built_sampler.draw_sample(heads) for _ in range(steps)], n).astype(float)
    bound = 6 / math.sqrt(steps)
    of_units = np.corrcoef(there[:, 0].T)
    assert np.abs(of_units - np.eye(n)).max() < bound
    of_heads = np.corrcoef(there[:, :, 3].T)
    assert np.abs(of_heads - np.eye(heads)).max() < bound
    for lag in (1, 2, 7):
        assert abs(np.corrcoef(there[lag:, 0, 0], there[:-lag, 0, 0])[0, 1]) < bound
    assert abs(np.corrcoef(there[1:, 0, 0], there[:-1, -1, 0])[0, 1]) < bound


def test_a_sample_is_ascending_without_repeats_and_filled_up_with_the_first_unit() -> None:
    built_sampler = poisson_sampler(60, 0.3, seed=3)
    for _ in range(200):
        sample = built_sampler.draw_sample(6)
        assert sample.units.dtype == np.int64
        assert sample.units.shape == sample.taken.shape == (6, sample.taken.sum(1).max())
        for units, taken in zip(sample.units, sample.taken, strict=True):
            sampled = units[taken]
            assert (np.diff(sampled) > 0).all()
            assert not units[~taken].any()
            assert (np.diff(taken.astype(int)) <= 0).all()  # what fills up is at the end
            assert sampled.max(initial=0) < 60


def test_everybody_takes_part_at_a_rate_of_1() -> None:
    sample = poisson_sampler(5, 1.0).draw_sample(3)
    assert sample.units.tolist() == [[0, 1, 2, 3, 4]] * 3
    assert sample.taken.all()


@pytest.mark.parametrize("rate", [1e-12, 1e-300])
def test_at_a_tiny_rate_nobody_takes_part(rate: float) -> None:
    built_sampler = poisson_sampler(1000, rate)
    assert all(built_sampler.draw_sample(4).units.shape == (4, 0) for _ in range(200))


def test_a_tiny_rate_is_kept_to() -> None:
    """The distance to the next unit is computed from uniforms near 1, where a float32 would know no difference."""
    built_sampler = poisson_sampler(10**6, 1e-6, seed=4)
    samples = [built_sampler.draw_sample(100) for _ in range(100)]
    joined_values = np.concatenate([sample.units[sample.taken] for sample in samples])
    assert len(joined_values) == pytest.approx(10_000, abs=600)
    assert stats.kstest(joined_values / 10**6, "uniform").pvalue > 1e-7


def test_a_walk_that_was_too_short_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    built_sampler = poisson_sampler(500, 0.4, seed=5)
    monkeypatch.setattr(math, "sqrt", lambda _: -30.0)  # far fewer distances than are needed
    sizes = np.concatenate([built_sampler.draw_sample(20).taken.sum(1) for _ in range(50)])
    there = units_taken([built_sampler.draw_sample(20) for _ in range(50)], 500).reshape(1000, 500)
    assert sizes.mean() == pytest.approx(200, abs=6 * (500 * 0.24 / 1000) ** 0.5)
    assert np.abs(there.mean(0) - 0.4).max() < 6 * (0.24 / 1000) ** 0.5


def test_secret_samples_differ_and_seeded_ones_repeat() -> None:
    first, same, second = (poisson_sampler(1000, 0.1, seed).draw_sample(3).units for seed in (1, 1, 2))
    assert np.array_equal(first, same)
    assert not np.array_equal(first, second)
    np.random.seed(0)
    secret = poisson_sampler(1000, 0.1, None).draw_sample(3).units
    np.random.seed(0)
    assert not np.array_equal(secret, poisson_sampler(1000, 0.1, None).draw_sample(3).units)


def test_the_time_of_a_sample_goes_by_its_size_and_not_by_all_units() -> None:
    built_sampler = poisson_sampler(10**9, 1e-7)
    start = time.process_time()
    assert built_sampler.draw_sample(3).taken.sum() < 600
    assert time.process_time() - start < 0.5
