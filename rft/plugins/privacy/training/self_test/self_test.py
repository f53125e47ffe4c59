"""What the proof of privacy takes for granted, tried out before the first step on the very objects that will train.

No private example takes part, and what is expected comes from the public numbers of the plan and from backward passes
over one example at a time, never from the objects that are tested. Where the objects draw secret numbers, the bounds
are so wide that a right one fails once in a billion runs; the mistakes that people make are far outside.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from rft.backbones.classifier import Batch, hash_tensors
from rft.errors import IntegrityError
from rft.plugins.privacy.training.gradients.engine_selection import TOLERANCE, calm, made_up, move
from rft.plugins.privacy.training.gradients.engines import OneByOne
from rft.plugins.privacy.training.mechanism_parameters import Plan
from rft.plugins.privacy.training.randomness import own_chance
from rft.plugins.privacy.training.sampling import Sample
from rft.plugins.privacy.training.self_test.check import Check, everybody, flat, gradient, nobody, somebody
from rft.plugins.privacy.training.self_test.random_checks import noise, sampling
from rft.plugins.privacy.training.steps import Steps, Tally, largest_sample, take
from rft.records import Row
from rft.training import Task

ROUNDING = 1e-4  # of a clipped norm, in float32
EMPTY, EXAMPLES = "an empty sample", "made-up examples"
ROWS, ROWS_EACH = 9, 3  # made-up examples, and how many of them are one unit's where units are declared


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
        checks = [*sampling(steps, plans), *noise(steps, plans, nobody(plans), EMPTY, 0.0)]
        checks += [*_taken(steps, plans), _still(steps, task, plans)]
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


def _taken(steps: Steps, plans: Sequence[Plan]) -> Iterator[Check]:
    """Take a whole step with an empty sample."""
    before = [parameter.detach().clone() for parameter in steps.parameters]
    tally = Tally.of(len(plans))
    smallest = min(plan.mechanism.noise_multiplier for plan in plans) * plans[0].max_grad_norm / plans[0].divisor
    take(steps, torch.optim.SGD(steps.parameters, lr=1 / smallest), nobody(plans), tally)
    moved = sum(not torch.equal(old, new) for old, new in zip(before, steps.parameters, strict=True))
    _put_back(steps, before)  # noise of this size makes a network so sure that some gradients vanish
    yield Check(
        "step with an empty sample",
        f"{len(before)} of {len(before)} moved",
        f"{moved} of {len(before)} moved",
        moved == len(before),
        "Trained tensors that a step changes in which nobody takes part: it is taken, with noise, like any other.",
    )


def _still(steps: Steps, task: Task, plans: Sequence[Plan]) -> Check:
    """Compute a gradient in the modes of training, where a BatchNorm in the wrong one would keep what it saw."""
    before = _frozen(steps)
    batch, labels = made_up(task, steps.suffix(0), ROWS)
    gradient(steps.on(batch, labels, np.arange(ROWS)), everybody(plans, ROWS))
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
        return gradient(_quiet(made, bound / plan.max_grad_norm), sample)[last] * plan.divisor

    whole = everybody(plans, len(exact))
    alone = [summed(tight, somebody(plans, unit)) for unit in range(len(exact))]
    together = [(summed(bound, whole), _clipped(exact, bound).sum(axis=0)) for bound in (tight, middle, loose)]
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
        _crowd(steps, task, plans, (batch, labels), exact, middle),
        # An empty sample may be treated in a way of its own: training goes by what is added to examples.
        *noise(made, plans, whole, EXAMPLES, gradient(_quiet(made), whole)),
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


def _crowd(
    steps: Steps, task: Task, plans: Sequence[Plan], made: tuple[Batch, Tensor], exact: np.ndarray, bound: float
) -> Check:
    """Check a sample with as many rows as a step of training may have: other sizes are other ways to compute.

    Args:
        steps: what will train.
        task: whether units are declared.
        plans: of the H heads; they say how large a sample may be.
        made: made-up examples, which are repeated, and their labels.
        exact: (U, P) the gradients of their units.
        bound: what contributions are clipped to.
    """
    plan, (batch, labels) = plans[-1], made
    each = 1 if task.units is None else ROWS_EACH
    units = -(-_rows_of_a_step(steps, plan, task.features.views) // each)
    chosen = np.arange(units * each)
    rows = torch.from_numpy(chosen % ROWS).to(labels.device)
    crowd = steps.on({name: column[rows] for name, column in batch.items()}, labels[rows], chosen // each)
    found = gradient(_quiet(crowd, bound / plan.max_grad_norm), everybody(plans, units))[-1] * plan.divisor
    error = _relative(found, _clipped(exact, bound)[np.arange(units) % len(exact)].sum(axis=0))
    return Check(
        "as many rows as a step has",
        f"< {TOLERANCE:g}",
        f"{error:.2g} in {len(chosen):,} rows",
        error < TOLERANCE,
        "Relative error of the clipped gradients of a sample of made-up examples as large as samples of training are.",
    )


def _rows_of_a_step(steps: Steps, plan: Plan, views: int) -> int:
    """Return how many examples a sample has, hardly ever more; where they are run in parts, what makes two of these."""
    rows = max(ROWS, largest_sample(plan) * plan.rows_per_unit_max)
    return rows if steps.rows_at_once is None else min(rows, max(ROWS, 2 * steps.rows_at_once // views))


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
    count = made.set_gradient(everybody(plans, units))
    error = _relative(flat(made, len(plans))[-1] * plans[-1].divisor, others)
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


def _frozen(steps: Steps) -> str:
    """Return the hash of what belongs to the network and is not trained."""
    network = steps.network
    if network is None:
        return ""
    own = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    return hash_tensors({name: tensor for name, tensor in network.state_dict().items() if name not in own})
