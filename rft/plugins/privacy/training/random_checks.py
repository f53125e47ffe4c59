"""Whether samples and noise are what the accounting takes for granted: their size, and that nothing is used twice."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from rft.plugins.privacy.training.checks import Check, gradient, nobody
from rft.plugins.privacy.training.plan import Plan
from rft.plugins.privacy.training.steps import Steps

SAMPLES, FEWEST_DRAWN, MOST_DRAWS = 200, 400, 20_000  # that are drawn, units in them, and steps that this may take
COMPARED_UNITS = 20_000  # at most, whose parts in different samples are compared
NUMBERS, NUMBERS_EACH, MOST_STEPS = 20_000, 1000, 250  # of noise that are looked at: in all, of each head, in steps
COMPARED = 8  # numbers of noise, at least, that are compared as one: fewer may be alike by chance
DEVIATIONS = 6.5  # two-sided: 8e-11, and 2e-9 in Bernstein's inequality


def sampling(steps: Steps, plans: Sequence[Plan]) -> Iterator[Check]:
    """Draw samples and throw them away: how many take part, whether that varies, and what samples have in common."""
    n, rate, heads = plans[0].n, plans[0].mechanism.sample_rate, len(plans)
    rarer = n * (min(rate, 1 - rate) or rate)
    draws = min(MOST_DRAWS, max(2, math.ceil(max(SAMPLES, FEWEST_DRAWN / rarer) / heads)))
    sizes, shared = _drawn(steps, min(n, COMPARED_UNITS), draws)
    variance = n * rate * (1 - rate)
    error = _tolerance(variance * sizes.size) / sizes.size if rate < 1 else 0.0
    yield Check(
        "sampling rate",
        f"{rate:.5g} ± {error / n:.2g}",
        f"{sizes.mean() / n:.5g}",
        abs(sizes.mean() - n * rate) <= error,
        f"Share of the units in {sizes.size:,} samples that nothing was trained on.",
    )
    if rate == 1:
        return
    if rarer * sizes.size >= FEWEST_DRAWN:
        ratio = float(sizes.var()) / variance
        error = DEVIATIONS * math.sqrt((2 + 1 / variance) / sizes.size)
        low, high = max(0.05, 1 - error), 1 + 2 * error
        yield Check(
            "sample sizes",
            f"{low:.2f} to {high:.2f}",
            f"{ratio:.3f}",
            low <= ratio <= high,
            "Variance of the size of these samples over that of Poisson sampling; batches of a fixed size have none.",
        )
    pairs, both = (draws - 1) * heads + draws * (heads - 1), min(n, COMPARED_UNITS) * rate**2
    error = _tolerance(pairs * both * (1 - rate) * (1 + 7 * rate)) / pairs  # each pair has samples in common with six
    yield Check(
        "independent samples",
        f"{both:.4g} ± {error:.2g}",
        f"{shared / pairs:.4g}",
        abs(shared / pairs - both) <= error,
        "Units that a sample shares with the last one, or with that of another head: shuffled batches share none, "
        "heads with one sample all.",
    )


def _drawn(steps: Steps, n: int, draws: int) -> tuple[np.ndarray, int]:
    """Return the sizes of samples, (draws * H,), and how many of the first n units samples have in common: that of each
    head with its last one, and with that of its neighbour.
    """
    sizes, shared, last = [], 0, None
    for _ in range(draws):
        sample = steps.draw()
        sizes.append(sample.taken.sum(axis=1))
        among = sample.taken & (sample.units < n)
        there = np.zeros((len(among), n), dtype=bool)
        there[np.nonzero(among)[0], sample.units[among]] = True
        shared += int((there[1:] & there[:-1]).sum()) + (0 if last is None else int((there & last).sum()))
        last = there
    return np.concatenate(sizes), shared


def _tolerance(variance: float) -> float:
    """Return how far a sum of counts may be from its mean, by Bernstein's inequality."""
    return DEVIATIONS * math.sqrt(variance) + DEVIATIONS**2 / 3


def noise(steps: Steps, plans: Sequence[Plan]) -> Iterator[Check]:
    """Take empty samples: all that comes out is noise, here in units of what the plans promise."""
    promised = [plan.mechanism.noise_multiplier * plan.max_grad_norm / plan.divisor for plan in plans]
    first = gradient(steps, nobody(plans))
    wanted = max(2, math.ceil(NUMBERS / first.size), math.ceil(NUMBERS_EACH / first.shape[1]))
    draws = min(wanted, MOST_STEPS)
    drawn = np.stack([first, *(gradient(steps, nobody(plans)) for _ in range(draws - 1))])  # (draws, H, P)
    drawn /= np.array(promised)[:, None]
    error = DEVIATIONS / math.sqrt(2 * drawn[:, 0].size)
    deviations = np.sqrt(np.mean(drawn**2, axis=(0, 2)))
    found = float(deviations[np.abs(deviations - 1).argmax()])
    yield Check(
        "noise",
        f"1 ± {error:.2g}",
        f"{found:.4f}",
        abs(found - 1) <= error,
        "Deviation of the gradient of an empty sample over noise multiplier x clipping norm / divisor, of the "
        "head that is furthest off.",
    )
    rows = _rows_to_compare(drawn)
    rows = rows[np.argsort(rows[:, 0])]  # equal rows are neighbours now
    alike = int((np.abs(np.diff(rows, axis=0)).max(axis=1) < 1e-3).sum())
    yield Check(
        "fresh noise",
        "0 alike",
        f"{alike} alike",
        alike == 0,
        f"The noise of {len(plans)} x {len(drawn)} heads and steps, each compared with all others.",
    )


def _rows_to_compare(drawn: np.ndarray) -> np.ndarray:
    """Return noise (draws, H, P) as rows of one head, each of one step or of as many as ``COMPARED`` numbers take."""
    draws, _, size = drawn.shape
    together = min(draws, -(-COMPARED // size))
    kept = drawn[: draws // together * together].swapaxes(0, 1)  # (H, draws, P)
    return kept.reshape(-1, together * size)
