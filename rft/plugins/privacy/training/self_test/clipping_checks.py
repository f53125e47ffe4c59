"""Whether contributions are clipped and summed as promised, against a backward pass for each made-up example alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from rft.backbones.batch import Batch
from rft.plugins.privacy.training.gradients.engine_selection import (
    GRADIENT_TOLERANCE,
    eval_untrained_modules,
    make_up_examples,
)
from rft.plugins.privacy.training.gradients.engines import OneByOne
from rft.plugins.privacy.training.mechanism_parameters import MechanismParameters
from rft.plugins.privacy.training.sampling import Sample
from rft.plugins.privacy.training.self_test.check_record import SelfTestCheck
from rft.plugins.privacy.training.self_test.random_checks import check_noise
from rft.plugins.privacy.training.self_test.sample_gradients import (
    flat_gradients,
    full_sample,
    noised_gradients,
    singleton_sample,
)
from rft.plugins.privacy.training.stepper import PrivateStepper, largest_sample_size
from rft.training import Task

NORM_ROUNDING = 1e-4  # of a clipped norm, in float32
EXAMPLE_SAMPLE = "made-up examples"
MADE_UP_ROWS, ROWS_PER_UNIT = 9, 3  # made-up examples, and how many of them are one unit's where units are declared


class ZeroNoise:
    """A source of zeros, which shows what a step computes before noise."""

    def draw_uniforms(self, *shape: int) -> np.ndarray:
        """Raise: nothing is sampled with it."""
        raise AssertionError("a test of clipping draws no sample")

    def draw_normals(self, *shape: int) -> np.ndarray:
        """Return zeros."""
        return np.zeros(shape)


def check_clipping(
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
    gradients = OneByOne(eval_untrained_modules(network), task.objective).example_gradients(batch, labels)
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
