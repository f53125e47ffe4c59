"""What the proof of privacy takes for granted, tried out before the first step on the very objects that will train.

No private example takes part, and what is expected comes from the public numbers of the plan and from backward passes
over one example at a time, never from the objects that are tested. Where the objects draw secret numbers, the bounds
are so wide that a right one fails once in a billion runs; the mistakes that people make are far outside.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from rft.backbones import Batch, hash_tensors
from rft.errors import IntegrityError
from rft.plugins.privacy.engines import OneByOne
from rft.plugins.privacy.gradients import TOLERANCE, calm, made_up, move
from rft.plugins.privacy.plan import Plan
from rft.plugins.privacy.randomness import own_chance
from rft.plugins.privacy.sampling import Sample
from rft.plugins.privacy.steps import Steps, Tally, take
from rft.records import Row
from rft.training import Task

DRAWS, FEWEST_DRAWN, MOST_DRAWS = 200, 400, 20_000
NUMBERS, NUMBERS_EACH, MOST_STEPS = 20_000, 1000, 250  # of noise that are looked at: in all, of each head, in steps
COMPARED = 8  # numbers of noise, at least, that are compared as one: fewer may be alike by chance
DEVIATIONS = 6.5  # two-sided: 8e-11, and 2e-9 in Bernstein's inequality
ROUNDING = 1e-4  # of a clipped norm, in float32
ROWS, ROWS_EACH = 9, 3  # made-up examples, and how many of them are one unit's where units are declared


@dataclass(frozen=True)
class Check:
    """One promise: what was expected of it, what was found, and whether that is within bounds."""

    name: str
    expected: str
    found: str
    passed: bool
    meaning: str

    def row(self) -> Row:
        """Return it as a row of the report's table."""
        outcome = "passed" if self.passed else "failed"
        names = ("check", "expected", "found", "outcome", "meaning")
        return dict(zip(names, (self.name, self.expected, self.found, outcome, self.meaning), strict=True))


class NoNoise:
    """A source of zeros, which shows what a step computes before noise."""

    def uniforms(self, *shape: int) -> np.ndarray:
        """Raise: nothing is sampled with it."""
        raise AssertionError("a test of clipping draws no sample")

    def normals(self, *shape: int) -> np.ndarray:
        """Return zeros."""
        return np.zeros(shape)


def run(steps: Steps, task: Task, plans: Sequence[Plan]) -> tuple[list[Row], float]:
    """Return the table of checks, and the largest relative error of a sum of clipped gradients.

    Args:
        steps: what will train; afterwards it is as it was.
        task: gives the shape of an example, and nothing else.
        plans: the public numbers of each of the H that are trained.

    Raises:
        IntegrityError: a check failed.
    """
    with _borrowed(steps), own_chance(task.device, 0):
        checks = [*_sampling(steps, plans), *_noise(steps, plans), *_taken(steps, plans), _still(steps, task, plans)]
        if steps.network:
            calm(steps.network)
        move(steps.parameters)
        clipping, error = _clipping(steps, task, plans)
        checks += clipping
    failed = [check for check in checks if not check.passed]
    if failed:
        what = "; ".join(f"{check.name}: {check.found}, expected {check.expected}" for check in failed)
        raise IntegrityError(
            f"the self-test of private training failed, and nothing was trained ({what})",
            where="[privacy]",
            remedy="This is a defect of rft or of a library that it uses: please report it with this line.",
        )
    return [check.row() for check in checks], error


@contextmanager
def _borrowed(steps: Steps) -> Iterator[None]:
    """Give values, gradients and modes back as they were."""
    values = [parameter.detach().clone() for parameter in steps.parameters]
    modes = {module: module.training for module in steps.network.modules()} if steps.network else {}
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
        _put_back(steps, values)


def _put_back(steps: Steps, values: Sequence[Tensor]) -> None:
    with torch.no_grad():
        for parameter, value in zip(steps.parameters, values, strict=True):
            parameter.copy_(value)
            parameter.grad = None


def _sampling(steps: Steps, plans: Sequence[Plan]) -> Iterator[Check]:
    """Draw samples and throw them away: how many take part, whether that varies, and what samples have in common."""
    n, rate, heads = plans[0].n, plans[0].mechanism.sample_rate, len(plans)
    rarer = n * (min(rate, 1 - rate) or rate)
    draws = min(MOST_DRAWS, max(DRAWS, math.ceil(FEWEST_DRAWN / (rarer * heads))))
    sizes, shared = _drawn(steps, n, draws)
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
    pairs, both = sizes.size - 1, n * rate**2
    error = _tolerance(both * (1 - rate) * (pairs * (1 + rate) + 2 * (pairs - 1) * rate)) / pairs
    yield Check(
        "independent samples",
        f"{both:.4g} ± {error:.2g}",
        f"{shared / pairs:.4g}",
        abs(shared / pairs - both) <= error,
        "Units that a sample shares with the one before, of the same step or the last: shuffled batches share none, "
        "heads with one sample all.",
    )


def _drawn(steps: Steps, n: int, draws: int) -> tuple[np.ndarray, int]:
    """Return the sizes of samples, (draws * H), and how many units all of them share with the one before."""
    last, sizes, shared = np.zeros(n, dtype=bool), [], 0
    for _ in range(draws):
        sample = steps.draw()
        for units, taken in zip(sample.units, sample.taken, strict=True):
            drawn = np.zeros(n, dtype=bool)
            drawn[units[taken]] = True
            sizes.append(int(taken.sum()))
            shared += int(last[units[taken]].sum())
            last = drawn
    return np.array(sizes), shared


def _tolerance(variance: float) -> float:
    """Return how far a sum of counts may be from its mean, by Bernstein's inequality."""
    return DEVIATIONS * math.sqrt(variance) + DEVIATIONS**2 / 3


def _noise(steps: Steps, plans: Sequence[Plan]) -> Iterator[Check]:
    """Take empty samples: all that comes out is noise, here in units of what the plans promise."""
    promised = [plan.mechanism.noise_multiplier * plan.max_grad_norm / plan.divisor for plan in plans]
    first = _gradient(steps, _nobody(plans))
    wanted = max(2, math.ceil(NUMBERS / first.size), math.ceil(NUMBERS_EACH / first.shape[1]))
    draws = min(wanted, MOST_STEPS)
    drawn = np.stack([first, *(_gradient(steps, _nobody(plans)) for _ in range(draws - 1))])  # (draws, H, P)
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


def _taken(steps: Steps, plans: Sequence[Plan]) -> Iterator[Check]:
    """Take a whole step with an empty sample."""
    before = [parameter.detach().clone() for parameter in steps.parameters]
    tally = Tally.of(len(plans))
    smallest = min(plan.mechanism.noise_multiplier for plan in plans) * plans[0].max_grad_norm / plans[0].divisor
    take(steps, torch.optim.SGD(steps.parameters, lr=1 / smallest), _nobody(plans), tally)
    moved = sum(not torch.equal(old, new) for old, new in zip(before, steps.parameters, strict=True))
    _put_back(steps, before)  # noise of this size makes a network so sure that some gradients vanish
    yield Check(
        "empty sample",
        "counted once",
        f"counted {tally.empty_batches.min()} times",
        bool((tally.empty_batches == 1).all()),
        "A step in which nobody takes part is taken, with noise, like any other.",
    )
    yield Check(
        "trained tensors move",
        f"{len(before)} of {len(before)}",
        f"{moved} of {len(before)}",
        moved == len(before),
        "Tensors that the step with the empty sample changed.",
    )


def _still(steps: Steps, task: Task, plans: Sequence[Plan]) -> Check:
    """Compute a gradient in the modes of training, where a BatchNorm in the wrong one would keep what it saw."""
    before = _frozen(steps)
    batch, labels = made_up(task, steps.suffix(0), ROWS)
    _gradient(steps.on(batch, labels, np.arange(ROWS)), _everybody(plans, ROWS))
    still = _frozen(steps) == before
    return Check(
        "frozen tensors",
        "0 moved",
        "0 moved" if still else "some moved",
        still,
        "What is not trained behind the cut, by its hash, buffers included: a gradient of made-up examples moves none.",
    )


def _clipping(steps: Steps, task: Task, plans: Sequence[Plan]) -> tuple[list[Check], float]:
    """Compare what made-up examples add to a step with backward passes over each of them alone."""
    network, plan, last = steps.suffix(len(plans) - 1), plans[-1], len(plans) - 1
    batch, labels = made_up(task, network, ROWS)
    units = np.arange(ROWS) if task.units is None else np.arange(ROWS) // ROWS_EACH
    rows = _alone(network, task, batch, labels)  # (ROWS, P), as the rest a float64 copy
    exact = _by_unit(rows, units)

    made = steps.on(batch, labels, units)
    lengths = np.linalg.norm(exact, axis=1)
    lengths = lengths[lengths > 0]  # a class may weigh nothing
    tight, middle, loose = 0.01 * float(lengths.min()), float(np.median(lengths)), 2 * float(lengths.max())

    def summed(bound: float, sample: Sample) -> np.ndarray:
        return _gradient(_quiet(made, bound / plan.max_grad_norm), sample)[last] * plan.divisor

    everybody = _everybody(plans, len(exact))
    alone = [summed(tight, _somebody(plans, unit)) for unit in range(len(exact))]
    together = [(summed(bound, everybody), _clipped(exact, bound).sum(axis=0)) for bound in (tight, middle, loose)]
    error = max(_relative(*pair) for pair in (*together, *zip(alone, _clipped(exact, tight), strict=True)))
    checks = [
        _divisor(*together[-1], plan),
        Check(
            "gradients",
            f"< {TOLERANCE:g}",
            f"{error:.2g}",
            error < TOLERANCE,
            "Relative error of clipped gradients, against a backward pass for each made-up example alone.",
        ),
        _longest(alone, tight, declared=task.units is not None),
    ]
    broken = {name: _first_is_not_a_number(column) for name, column in batch.items() if column.is_floating_point()}
    if broken:
        rows[0] = 0
        made = _quiet(steps.on(batch | broken, labels, units))
        wanted = _clipped(_by_unit(rows, units), plan.max_grad_norm).sum(axis=0)
        checks.append(_not_a_number(made, plans, wanted, len(exact), task.features.views))
    return checks, error


def _divisor(found: np.ndarray, wanted: np.ndarray, plan: Plan) -> Check:
    length = float(np.linalg.norm(found))
    divisor = plan.divisor * float(np.linalg.norm(wanted)) / length if length else math.inf
    return Check(
        "divisor",
        f"{plan.divisor:.5g}",
        f"{divisor:.5g}",
        math.isclose(divisor, plan.divisor, rel_tol=TOLERANCE),
        "What a noised sum is divided by: a public number, not the size of a sample.",
    )


def _longest(alone: Sequence[np.ndarray], bound: float, *, declared: bool) -> Check:
    longest = max(float(np.linalg.norm(each)) for each in alone) / bound
    whose = f"{ROWS_EACH} examples of one unit" if declared else "one example"
    return Check(
        "clipping",
        "at most 1",
        f"{longest:.6f}",
        longest <= 1 + ROUNDING,
        f"Largest contribution of {whose}, in units of a clipping norm below all of them.",
    )


def _not_a_number(made: Steps, plans: Sequence[Plan], others: np.ndarray, units: int, views: int) -> Check:
    """Check a sample whose first example is not a number, in any view, against the sum of all others."""
    count = made.set_gradient(_everybody(plans, units))
    error = _relative(_flat(made, len(plans))[-1] * plans[-1].divisor, others)
    return Check(
        "not a number",
        f"zero, counted in {views} of {views} views; others within {TOLERANCE:g}",
        f"counted in {int(count[-1])}, others {error:.2g} off",
        bool((count == views).all()) and error < TOLERANCE,
        "An example that is not a number adds nothing to a step and is counted.",
    )


def _alone(network: nn.Module, task: Task, batch: Batch, labels: Tensor) -> np.ndarray:
    """Return (N, P) the gradient of each example alone, with its weight."""
    found = OneByOne(calm(network)).gradients(batch, labels)
    rows = torch.cat([each.flatten(1) for each in found], dim=1).cpu().double().numpy()
    return (
        rows if task.class_weights is None else rows * task.class_weights.cpu().double().numpy()[labels.cpu()][:, None]
    )


def _by_unit(rows: np.ndarray, units: np.ndarray) -> np.ndarray:
    return np.stack([rows[units == unit].sum(axis=0) for unit in range(units.max() + 1)])


def _clipped(sums: np.ndarray, bound: float) -> np.ndarray:
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    return sums * (bound / np.maximum(lengths, bound))


def _relative(found: np.ndarray, wanted: np.ndarray) -> float:
    """Return the relative error, infinite when something is not a number."""
    error = float(np.linalg.norm(found - wanted) / (np.linalg.norm(wanted) or 1.0))
    return error if math.isfinite(error) else math.inf


def _first_is_not_a_number(column: Tensor) -> Tensor:
    broken = column.clone()
    broken[0] = math.nan
    return broken


def _quiet(steps: Steps, share: float = 1.0) -> Steps:
    """Return the steps without noise, clipping to a share of their own norm."""
    own = steps.gaussian
    return steps.with_gaussian(replace(own, source=NoNoise(), max_grad_norm=share * own.max_grad_norm))


def _gradient(steps: Steps, sample: Sample) -> np.ndarray:
    """Return (H, P) the noised gradients of a sample."""
    for parameter in steps.parameters:
        parameter.grad = None
    steps.set_gradient(sample)
    return _flat(steps, len(sample.units))


def _flat(steps: Steps, heads: int) -> np.ndarray:
    grads = [torch.zeros_like(each) if each.grad is None else each.grad for each in steps.parameters]
    return torch.cat([each.reshape(heads, -1) for each in grads], dim=1).cpu().double().numpy()


def _frozen(steps: Steps) -> str:
    """Return the hash of what belongs to the network and is not trained."""
    network = steps.network
    if network is None:
        return ""
    own = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    return hash_tensors({name: tensor for name, tensor in network.state_dict().items() if name not in own})


def _nobody(plans: Sequence[Plan]) -> Sample:
    return Sample(np.zeros((len(plans), 0), dtype=np.int64), np.zeros((len(plans), 0), dtype=bool))


def _everybody(plans: Sequence[Plan], units: int) -> Sample:
    return Sample(np.tile(np.arange(units), (len(plans), 1)), np.ones((len(plans), units), dtype=bool))


def _somebody(plans: Sequence[Plan], unit: int) -> Sample:
    return Sample(np.full((len(plans), 1), unit, dtype=np.int64), np.ones((len(plans), 1), dtype=bool))
