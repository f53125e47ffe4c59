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

from rft.backbones.batch import Batch
from rft.backbones.classifier import hash_tensors
from rft.errors import IntegrityError
from rft.plugins.privacy.training.gradients.engine_selection import (
    GRADIENT_TOLERANCE,
    eval_untrained_modules,
    make_up_examples,
    perturb_parameters,
)
from rft.plugins.privacy.training.gradients.engines import OneByOne
from rft.plugins.privacy.training.mechanism_parameters import MechanismParameters
from rft.plugins.privacy.training.randomness import isolated_rng
from rft.plugins.privacy.training.sampling import Sample
from rft.plugins.privacy.training.self_test.check import (
    SelfTestCheck,
    empty_sample,
    flat_gradients,
    full_sample,
    noised_gradients,
    singleton_sample,
)
from rft.plugins.privacy.training.self_test.random_checks import check_noise, check_sampling
from rft.plugins.privacy.training.stepper import PrivateStepper, StepCounters, largest_sample_size, private_step
from rft.records import Row
from rft.training import Task

NORM_ROUNDING = 1e-4  # of a clipped norm, in float32
EMPTY_SAMPLE, EXAMPLE_SAMPLE = "an empty sample", "made-up examples"
MADE_UP_ROWS, ROWS_PER_UNIT = 9, 3  # made-up examples, and how many of them are one unit's where units are declared


class ZeroNoise:
    """A source of zeros, which shows what a step computes before noise."""

    def draw_uniforms(self, *shape: int) -> np.ndarray:
        """Raise: nothing is sampled with it."""
        raise AssertionError("a test of clipping draws no sample")

    def draw_normals(self, *shape: int) -> np.ndarray:
        """Return zeros."""
        return np.zeros(shape)


def run_self_test(stepper: PrivateStepper, task: Task, plans: Sequence[MechanismParameters]) -> tuple[list[Row], float]:
    """Return the table of checks, and the largest relative error of a sum of clipped gradients.

    Args:
        stepper: what will train; afterwards it is as it was.
        task: gives the shape of an example, and nothing else.
        plans: the public numbers of each of the H that are trained.

    Raises:
        IntegrityError: a check failed.
    """
    with _restore_afterwards(stepper), isolated_rng(task.device, 0):
        checks = [*check_sampling(stepper, plans), *check_noise(stepper, plans, empty_sample(plans), EMPTY_SAMPLE, 0.0)]
        checks += [*_check_step(stepper, plans), _check_frozen(stepper, task, plans)]
        if stepper.network:
            eval_untrained_modules(stepper.network)
        perturb_parameters(stepper.parameters)
        clipping, error = _check_clipping(stepper, task, plans)
        checks += clipping
    failed = [check for check in checks if not check.passed]
    if failed:
        problems = "; ".join(f"{check.name}: {check.observed}, expected {check.expected}" for check in failed)
        raise IntegrityError(
            f"the self-test of private training failed, and nothing was trained ({problems})",
            where="[privacy]",
            remedy="This is a defect of rft or of a library that it uses: please report it with this line.",
        )
    return [check.to_row() for check in checks], error


@contextmanager
def _restore_afterwards(stepper: PrivateStepper) -> Iterator[None]:
    """Give values, gradients and modes back as they were."""
    values = [parameter.detach().clone() for parameter in stepper.parameters]
    modes = {module: module.training for module in stepper.network.modules()} if stepper.network else {}
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
        _put_back(stepper, values)


def _put_back(stepper: PrivateStepper, values: Sequence[Tensor]) -> None:
    with torch.no_grad():
        for parameter, value in zip(stepper.parameters, values, strict=True):
            parameter.copy_(value)
            parameter.grad = None


def _check_step(stepper: PrivateStepper, plans: Sequence[MechanismParameters]) -> Iterator[SelfTestCheck]:
    """Take a whole step with an empty sample."""
    before = [parameter.detach().clone() for parameter in stepper.parameters]
    counters = StepCounters.start_at_zero(len(plans))
    smallest = min(plan.mechanism.noise_multiplier for plan in plans) * plans[0].max_grad_norm / plans[0].divisor
    private_step(stepper, torch.optim.SGD(stepper.parameters, lr=1 / smallest), empty_sample(plans), counters)
    moved = sum(not torch.equal(old, new) for old, new in zip(before, stepper.parameters, strict=True))
    _put_back(stepper, before)  # noise of this size makes a network so sure that some gradients vanish
    yield SelfTestCheck(
        "step with an empty sample",
        f"{len(before)} of {len(before)} moved",
        f"{moved} of {len(before)} moved",
        moved == len(before),
        "Trained tensors that a step changes in which nobody takes part: it is taken, with noise, like any other.",
    )


def _check_frozen(stepper: PrivateStepper, task: Task, plans: Sequence[MechanismParameters]) -> SelfTestCheck:
    """Compute a gradient in the modes of training, where a BatchNorm in the wrong one would keep what it saw."""
    before = _hash_frozen(stepper)
    batch, labels = make_up_examples(task, stepper.copy_network(0), MADE_UP_ROWS)
    noised_gradients(stepper.with_examples(batch, labels, np.arange(MADE_UP_ROWS)), full_sample(plans, MADE_UP_ROWS))
    still = _hash_frozen(stepper) == before
    return SelfTestCheck(
        "frozen tensors",
        "0 moved",
        "0 moved" if still else "some moved",
        still,
        "What is not trained behind the cut, by its hash, buffers included: a gradient of made-up examples moves none.",
    )


def _check_clipping(
    stepper: PrivateStepper, task: Task, plans: Sequence[MechanismParameters]
) -> tuple[list[SelfTestCheck], float]:
    """Compare what made-up examples add to a step with backward passes over each of them alone."""
    network, plan, last = stepper.copy_network(len(plans) - 1), plans[-1], len(plans) - 1
    batch, labels = make_up_examples(task, network, MADE_UP_ROWS)
    units = np.arange(MADE_UP_ROWS) if task.units is None else np.arange(MADE_UP_ROWS) // ROWS_PER_UNIT
    rows = _gradients_alone(network, task, batch, labels)  # (ROWS, P), as the rest a float64 copy
    exact = _sum_by_unit(rows, units)

    replaced = stepper.with_examples(batch, labels, units)
    lengths = np.linalg.norm(exact, axis=1)
    lengths = lengths[lengths > 0]  # a class may weigh nothing
    tight, middle, loose = 0.01 * float(lengths.min()), float(np.median(lengths)), 2 * float(lengths.max())

    def clipped_sum(bound: float, sample: Sample) -> np.ndarray:
        total: np.ndarray = (
            noised_gradients(_without_noise(replaced, bound / plan.max_grad_norm), sample)[last] * plan.divisor
        )
        return total

    whole = full_sample(plans, len(exact))
    alone = [clipped_sum(tight, singleton_sample(plans, unit)) for unit in range(len(exact))]
    together = [(clipped_sum(bound, whole), _clip_rows(exact, bound).sum(axis=0)) for bound in (tight, middle, loose)]
    error = max(_relative_error(*pair) for pair in (*together, *zip(alone, _clip_rows(exact, tight), strict=True)))
    checks = [
        _check_divisor(*together[-1], plan),
        SelfTestCheck(
            "gradients",
            f"< {GRADIENT_TOLERANCE:g}",
            f"{error:.2g}",
            error < GRADIENT_TOLERANCE,
            "Relative error of clipped gradients, against a backward pass for each made-up example alone.",
        ),
        _check_longest(alone, tight, declared=task.units is not None),
        _check_full_size(stepper, task, plans, (batch, labels), exact, middle),
        # An empty sample may be treated in a way of its own: training goes by what is added to examples.
        *check_noise(replaced, plans, whole, EXAMPLE_SAMPLE, noised_gradients(_without_noise(replaced), whole)),
    ]
    broken = {name: _first_is_not_a_number(column) for name, column in batch.items() if column.is_floating_point()}
    if broken:
        rows[0] = 0
        replaced = _without_noise(stepper.with_examples(batch | broken, labels, units))
        wanted = _clip_rows(_sum_by_unit(rows, units), plan.max_grad_norm).sum(axis=0)
        checks.append(_check_non_finite(replaced, plans, wanted, len(exact), task.features.views))
    return checks, error


def _check_divisor(total: np.ndarray, wanted: np.ndarray, plan: MechanismParameters) -> SelfTestCheck:
    length = float(np.linalg.norm(total))
    divisor = plan.divisor * float(np.linalg.norm(wanted)) / length if length else math.inf
    return SelfTestCheck(
        "divisor",
        f"{plan.divisor:.5g}",
        f"{divisor:.5g}",
        math.isclose(divisor, plan.divisor, rel_tol=GRADIENT_TOLERANCE),
        "What a noised sum is divided by: a public number, not the size of a sample.",
    )


def _check_full_size(
    stepper: PrivateStepper,
    task: Task,
    plans: Sequence[MechanismParameters],
    examples: tuple[Batch, Tensor],
    exact: np.ndarray,
    bound: float,
) -> SelfTestCheck:
    """Check a sample with as many rows as a step of training may have: other sizes are other ways to compute.

    Args:
        stepper: what will train.
        task: whether units are declared.
        plans: of the H heads; they say how large a sample may be.
        examples: made-up examples, which are repeated, and their labels.
        exact: (U, P) the gradients of their units.
        bound: what contributions are clipped to.
    """
    plan, (batch, labels) = plans[-1], examples
    rows_per_unit = 1 if task.units is None else ROWS_PER_UNIT
    units = -(-_rows_of_a_step(stepper, plan, task.features.views) // rows_per_unit)
    chosen = np.arange(units * rows_per_unit)
    rows = torch.from_numpy(chosen % MADE_UP_ROWS).to(labels.device)
    crowd = stepper.with_examples(
        {name: column[rows] for name, column in batch.items()}, labels[rows], chosen // rows_per_unit
    )
    total = (
        noised_gradients(_without_noise(crowd, bound / plan.max_grad_norm), full_sample(plans, units))[-1]
        * plan.divisor
    )
    error = _relative_error(total, _clip_rows(exact, bound)[np.arange(units) % len(exact)].sum(axis=0))
    return SelfTestCheck(
        "as many rows as a step has",
        f"< {GRADIENT_TOLERANCE:g}",
        f"{error:.2g} in {len(chosen):,} rows",
        error < GRADIENT_TOLERANCE,
        "Relative error of the clipped gradients of a sample of made-up examples as large as samples of training are.",
    )


def _rows_of_a_step(stepper: PrivateStepper, plan: MechanismParameters, views: int) -> int:
    """Return how many examples a sample has, hardly ever more; where they are run in parts, what makes two of these."""
    rows = max(MADE_UP_ROWS, largest_sample_size(plan) * plan.rows_per_unit_max)
    return rows if stepper.rows_at_once is None else min(rows, max(MADE_UP_ROWS, 2 * stepper.rows_at_once // views))


def _check_longest(alone: Sequence[np.ndarray], bound: float, *, declared: bool) -> SelfTestCheck:
    longest = max(float(np.linalg.norm(gradient)) for gradient in alone) / bound
    whose = f"{ROWS_PER_UNIT} examples of one unit" if declared else "one example"
    return SelfTestCheck(
        "clipping",
        "at most 1",
        f"{longest:.6f}",
        longest <= 1 + NORM_ROUNDING,
        f"Largest contribution of {whose}, in units of a clipping norm below all of them.",
    )


def _check_non_finite(
    stepper: PrivateStepper, plans: Sequence[MechanismParameters], others: np.ndarray, units: int, views: int
) -> SelfTestCheck:
    """Check a sample whose first example is not a number, in any view, against the sum of all others."""
    count = stepper.set_gradient(full_sample(plans, units))
    error = _relative_error(flat_gradients(stepper, len(plans))[-1] * plans[-1].divisor, others)
    return SelfTestCheck(
        "not a number",
        f"zero, counted in {views} of {views} views; others within {GRADIENT_TOLERANCE:g}",
        f"counted in {int(count[-1])}, others {error:.2g} off",
        bool((count == views).all()) and error < GRADIENT_TOLERANCE,
        "An example that is not a number adds nothing to a step and is counted.",
    )


def _gradients_alone(network: nn.Module, task: Task, batch: Batch, labels: Tensor) -> np.ndarray:
    """Return (N, P) the gradient of each example alone, with its weight."""
    gradients = OneByOne(eval_untrained_modules(network)).example_gradients(batch, labels)
    rows = torch.cat([gradient.flatten(1) for gradient in gradients], dim=1).cpu().double().numpy()
    return (
        rows if task.class_weights is None else rows * task.class_weights.cpu().double().numpy()[labels.cpu()][:, None]
    )


def _sum_by_unit(rows: np.ndarray, units: np.ndarray) -> np.ndarray:
    return np.stack([rows[units == unit].sum(axis=0) for unit in range(units.max() + 1)])


def _clip_rows(sums: np.ndarray, bound: float) -> np.ndarray:
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    clipped: np.ndarray = sums * (bound / np.maximum(lengths, bound))
    return clipped


def _relative_error(value: np.ndarray, wanted: np.ndarray) -> float:
    """Return the relative error, infinite when something is not a number."""
    error = float(np.linalg.norm(value - wanted) / (np.linalg.norm(wanted) or 1.0))
    return error if math.isfinite(error) else math.inf


def _first_is_not_a_number(column: Tensor) -> Tensor:
    broken = column.clone()
    broken[0] = math.nan
    return broken


def _without_noise(stepper: PrivateStepper, share: float = 1.0) -> PrivateStepper:
    """Return the steps without noise, clipping to a share of their own norm."""
    noise = stepper.gaussian
    return stepper.with_gaussian(replace(noise, source=ZeroNoise(), max_grad_norm=share * noise.max_grad_norm))


def _hash_frozen(stepper: PrivateStepper) -> str:
    """Return the hash of what belongs to the network and is not trained."""
    network = stepper.network
    if network is None:
        return ""
    trained = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    return hash_tensors({name: tensor for name, tensor in network.state_dict().items() if name not in trained})
