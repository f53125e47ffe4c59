"""Whether samples and noise are what the accounting takes for granted: their size, and that nothing is used twice."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from scipy.special import chdtr, chdtrc, gammainccinv, gammaincinv

from rft.plugins.privacy.training.mechanism_parameters import MechanismParameters
from rft.plugins.privacy.training.sampling import Sample
from rft.plugins.privacy.training.self_test.check_record import SelfTestCheck
from rft.plugins.privacy.training.self_test.sample_gradients import noised_gradients
from rft.plugins.privacy.training.stepper import PrivateStepper

MIN_SAMPLES, MIN_UNITS_DRAWN, MAX_DRAWS = (
    200,
    400,
    20_000,
)  # that are drawn, units in them, and steps that this may take
COMPARED_UNITS = 20_000  # at most, whose parts in different samples are compared
NOISE_NUMBERS, NOISE_NUMBERS_PER_HEAD, NOISE_NUMBERS_PER_TENSOR = (
    20_000,
    1000,
    200,
)  # of noise that are looked at: in all, of a head, of a tensor
MAX_NOISE_STEPS, MAX_NOISE_NUMBERS = 250, 4_000_000  # that this may take
COSTLY_NOISE_NUMBERS = 2000  # of a head, where examples take part
FALSE_ALARM_RATE = 1e-10  # how often right noise may be accused
COMPARED_NUMBERS = 8  # numbers of noise, at least, that are compared as one: fewer may be alike by chance
DEVIATIONS = 6.5  # two-sided: 8e-11, and 2e-9 in Bernstein's inequality


def check_sampling(stepper: PrivateStepper, plans: Sequence[MechanismParameters]) -> Iterator[SelfTestCheck]:
    """Draw samples and throw them away: how many take part, whether that varies, and what samples have in common."""
    n, rate, heads = plans[0].n, plans[0].mechanism.sample_rate, len(plans)
    rarer = n * (min(rate, 1 - rate) or rate)
    draws = min(MAX_DRAWS, max(2, math.ceil(max(MIN_SAMPLES, MIN_UNITS_DRAWN / rarer) / heads)))
    sizes, shared = _draw_samples(stepper, min(n, COMPARED_UNITS), draws)
    variance = n * rate * (1 - rate)
    error = _bernstein_tolerance(variance * sizes.size) / sizes.size if rate < 1 else 0.0
    yield SelfTestCheck(
        "sampling rate",
        f"{rate:.5g} ± {error / n:.2g}",
        f"{sizes.mean() / n:.5g}",
        abs(sizes.mean() - n * rate) <= error,
        f"Share of the units in {sizes.size:,} samples that nothing was trained on.",
    )
    if rate == 1:
        return
    if rarer * sizes.size >= MIN_UNITS_DRAWN:
        ratio = float(sizes.var()) / variance
        error = DEVIATIONS * math.sqrt((2 + 1 / variance) / sizes.size)
        low, high = max(0.05, 1 - error), 1 + 2 * error
        yield SelfTestCheck(
            "sample sizes",
            f"{low:.2f} to {high:.2f}",
            f"{ratio:.3f}",
            low <= ratio <= high,
            "Variance of the size of these samples over that of Poisson sampling; batches of a fixed size have none.",
        )
    pairs, both = (draws - 1) * heads + draws * (heads - 1), min(n, COMPARED_UNITS) * rate**2
    error = (
        _bernstein_tolerance(pairs * both * (1 - rate) * (1 + 7 * rate)) / pairs
    )  # each pair has samples in common with six
    yield SelfTestCheck(
        "independent samples",
        f"{both:.4g} ± {error:.2g}",
        f"{shared / pairs:.4g}",
        abs(shared / pairs - both) <= error,
        "Units that a sample shares with the last one, or with that of another head: shuffled batches share none, "
        "heads with one sample all.",
    )


def _draw_samples(stepper: PrivateStepper, n: int, draws: int) -> tuple[np.ndarray, int]:
    """Return the sizes of samples, (draws * H,), and how many of the first n units samples have in common.

    Compared is the sample of each head with its last one, and with that of its neighbour.
    """
    sizes, shared, last = [], 0, None
    for _ in range(draws):
        sample = stepper.draw_sample()
        sizes.append(sample.taken.sum(axis=1))
        among = sample.taken & (sample.units < n)
        there = np.zeros((len(among), n), dtype=bool)
        there[np.nonzero(among)[0], sample.units[among]] = True
        shared += int((there[1:] & there[:-1]).sum()) + (0 if last is None else int((there & last).sum()))
        last = there
    return np.concatenate(sizes), shared


def _bernstein_tolerance(variance: float) -> float:
    """Return how far a sum of counts may be from its mean, by Bernstein's inequality."""
    return DEVIATIONS * math.sqrt(variance) + DEVIATIONS**2 / 3


def check_noise(
    stepper: PrivateStepper,
    plans: Sequence[MechanismParameters],
    sample: Sample,
    sample_name: str,
    without: np.ndarray | float,
) -> Iterator[SelfTestCheck]:
    """Take the gradient of one sample many times: what differs is noise, here in units of what the plans promise.

    Args:
        stepper: what will train.
        plans: of the H heads.
        sample: empty, or of made-up examples.
        sample_name: the sample, in words.
        without: (H, P) its gradient without noise.
    """
    promised = [plan.mechanism.noise_multiplier * plan.max_grad_norm / plan.divisor for plan in plans]
    sizes = [parameter.numel() // len(plans) for parameter in stepper.parameters]  # of one head
    draws = _noise_draws(sizes, len(plans), costly=sample.taken.any())
    drawn = np.stack([noised_gradients(stepper, sample) for _ in range(draws)])  # (draws, H, P)
    drawn = (drawn - without) / np.array(promised)[:, None]
    furthest, low, high = _furthest_deviation(drawn, sizes)
    yield SelfTestCheck(
        f"noise of {sample_name}",
        f"{low:.3f} to {high:.3f}",
        f"{furthest:.4f}",
        low <= furthest <= high,
        "Deviation of the noise in its gradient over noise multiplier x clipping norm / divisor: of the head, or of "
        "the tensor of one, that is furthest off.",
    )
    rows = _rows_to_compare(drawn)
    rows = rows[np.argsort(rows[:, 0])]  # equal rows are neighbours now
    alike = int((np.abs(np.diff(rows, axis=0)).max(axis=1) < 1e-3).sum())
    yield SelfTestCheck(
        f"fresh noise of {sample_name}",
        "0 alike",
        f"{alike} alike",
        alike == 0,
        f"The noise of {len(plans)} x {len(drawn)} heads and steps, each compared with all others.",
    )


def _noise_draws(sizes: Sequence[int], heads: int, *, costly: bool | np.bool_) -> int:
    """Return how many samples' noise to look at: enough to judge every tensor by itself, where that is not too much.

    Samples of examples cost passes through the network: fewer of them show gross mistakes.
    """
    whole = sum(sizes)
    wanted = max(NOISE_NUMBERS / (heads * whole), NOISE_NUMBERS_PER_HEAD / whole, NOISE_NUMBERS_PER_TENSOR / min(sizes))
    most = COSTLY_NOISE_NUMBERS // whole if costly else MAX_NOISE_STEPS
    return max(2, min(math.ceil(wanted), most, MAX_NOISE_NUMBERS // (heads * whole)))


def _furthest_deviation(drawn: np.ndarray, sizes: Sequence[int]) -> tuple[float, float, float]:
    """Return the deviation that is the least likely one of standard normals, and between what it may lie.

    Args:
        drawn: (draws, H, P).
        sizes: of the tensors that the P numbers of a head belong to, in their order.
    """
    squares = np.square(drawn).sum(axis=0)  # (H, P)
    starts = np.cumsum([0, *sizes[:-1]])
    sums = np.column_stack([squares.sum(axis=1), np.add.reduceat(squares, starts, axis=1)])  # (H, 1 + tensors)
    counts = len(drawn) * np.broadcast_to([sum(sizes), *sizes], sums.shape)
    likely = np.minimum(chdtr(counts, sums), chdtrc(counts, sums))
    place = np.unravel_index(np.argmin(likely), likely.shape)
    half, rare = float(counts[place]) / 2, FALSE_ALARM_RATE / likely.size / 2
    low, high = (math.sqrt(float(inverse(half, rare)) / half) for inverse in (gammaincinv, gammainccinv))
    return math.sqrt(float(sums[place]) / (2 * half)), low, high


def _rows_to_compare(drawn: np.ndarray) -> np.ndarray:
    """Return noise (draws, H, P) as rows of one head, each of one step or of as many as ``COMPARED_NUMBERS`` take."""
    draws, _, size = drawn.shape
    together = min(draws, -(-COMPARED_NUMBERS // size))
    kept = drawn[: draws // together * together].swapaxes(0, 1)  # (H, draws, P)
    return kept.reshape(-1, together * size)
