"""Training with differential privacy: parameters fixed beforehand, Poisson samples of units, and the loop.

Nothing about the schedule depends on the data: number of units, sampling rate, steps, noise, clipping norm and divisor
are plain numbers that stand in the report. The training loss is not recorded, since it is private itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property

import numpy as np
import torch
from torch import nn

from rft.errors import DataError, RftError
from rft.plugins.privacy import accounting, dp_sgd, self_test
from rft.plugins.privacy.accounting import Mechanism
from rft.plugins.privacy.dp_sgd import Gaussian, Part
from rft.plugins.privacy.engines import trained
from rft.plugins.privacy.randomness import Randomness, draws, own_chance
from rft.plugins.privacy.self_test import Choice
from rft.progress import track
from rft.training import Facts, Fit, Job, Task, trained_state
from rft.training.threads import suitable_threads

GRADIENTS_AT_ONCE = 512 * 2**20  # bytes, in float32
NEIGHBOURS = "zero-out: one unit's contribution replaced by nothing, at a fixed public number of units"


@dataclass(frozen=True)
class DPTrainer:
    """Trains to a target epsilon by DP-SGD, whatever part of a network the task trains.

    Attributes:
        epsilon: what training may spend, > 0.
        delta: in (0, 1); by default min(1e-5, 1 / (10 n)) for n units.
        max_grad_norm: bound on the gradient of one unit in a step, > 0.
        sample_rate: probability that a unit takes part in a step; by default batch_size / n, at most 1.
        steps: by default epochs / sample_rate, rounded.
        randomness: ``secret`` draws from the operating system; ``seeded`` repeats, and protects nobody who can
            be attacked by someone who knows the seed.
    """

    epsilon: float
    delta: float | None = None
    max_grad_norm: float = 1.0
    sample_rate: float | None = None
    steps: int | None = None
    randomness: Randomness = "secret"

    def prepare(self, task: Task) -> Facts:
        """Return the parameters of training, calibrated to epsilon, and what the self-test found.

        Raises:
            ConfigError: epsilon cannot be reached, or the trained part cannot be trained privately.
            DataError: there are no training examples, or some have no unit.
        """
        return self._plan(task, _unit_of_row(task)).facts

    def fit(self, task: Task, jobs: Sequence[Job]) -> list[Fit]:
        """Train one suffix for each job, each with its own samples and noise; raises as ``prepare`` does.

        A job's ``members`` decide who can be sampled. The public numbers stay: who is left out counts as zero.
        """
        units = _unit_of_row(task)
        plan = self._plan(task, units)
        return [_fit(task, job, plan, units) for job in jobs]

    def _plan(self, task: Task, units: np.ndarray) -> Plan:
        choice = self_test.choose(task)
        rows_per_unit = np.bincount(units)
        n = len(rows_per_unit)
        delta = min(1e-5, 1 / (10 * n)) if self.delta is None else self.delta
        sample_rate = min(1.0, task.recipe.batch_size / n) if self.sample_rate is None else self.sample_rate
        steps = max(1, round(task.recipe.epochs / sample_rate)) if self.steps is None else self.steps
        noise = accounting.calibrate(self.epsilon, delta, sample_rate=sample_rate, steps=steps)
        return Plan(
            target_epsilon=self.epsilon,
            delta=delta,
            mechanism=Mechanism(noise, sample_rate, steps),
            max_grad_norm=self.max_grad_norm,
            n=n,
            unit="example" if task.units is None else "unit",
            rows_per_unit_max=int(rows_per_unit.max()),
            randomness=self.randomness,
            choice=choice,
            rows_at_once=_rows_at_once(choice, task.recipe.batch_size),
        )


@dataclass(frozen=True)
class Plan:
    """All that is fixed before the first step of a private training.

    ``unit`` is ``example``, or ``unit`` where examples are grouped by whose they are. ``rows_per_unit_max`` is how
    many examples the largest unit has; nothing in training depends on it. ``rows_at_once`` bounds memory and changes
    no result.
    """

    target_epsilon: float
    delta: float
    mechanism: Mechanism
    max_grad_norm: float
    n: int
    unit: str
    rows_per_unit_max: int
    randomness: Randomness
    choice: Choice
    rows_at_once: int

    @property
    def divisor(self) -> float:
        """Expected number of units in a step: what the noised sum is divided by."""
        return self.mechanism.sample_rate * self.n

    @cached_property
    def facts(self) -> Facts:
        """The numbers, what they spend by both accountants, in what terms, and what the self-test found."""
        spent = accounting.spent(self.mechanism, self.delta)
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        del plain["mechanism"], plain["choice"]
        return {
            "mode": "private",
            **plain,
            **self.choice.facts,
            **asdict(self.mechanism),
            "divisor": self.divisor,
            "epsilon": spent.epsilon,
            "accountant": spent.accountant,
            "epsilon_rdp": accounting.epsilon_rdp(self.mechanism, self.delta),
            "accountant_versions": accounting.versions(),
            "neighbouring": NEIGHBOURS,
        }


def _unit_of_row(task: Task) -> np.ndarray:
    """Return (N,) the number, from 0 on, of the unit that each example belongs to."""
    if not len(task.labels):
        raise DataError("there are no training examples", where="data")
    if task.units is None:
        return np.arange(len(task.labels))
    missing = sum(unit is None or unit == "" for unit in task.units)
    if missing:
        raise DataError(
            f"{missing} of {len(task.units)} training examples have no unit, so that nobody's contribution is bounded",
            where="data.unit",
            remedy="Name whose each example is, or leave data.unit out to protect single examples.",
        )
    return np.unique(np.asarray(task.units, dtype=str), return_inverse=True)[1]


def _rows_at_once(choice: Choice, batch_size: int) -> int:
    """Return how many examples to run together, so that their gradients, and their activations, find room."""
    rows = max(1, GRADIENTS_AT_ONCE // (4 * choice.trained_parameters))
    # The batch size is what the user expects the device to hold; a sample of persons may have many times as many rows.
    return rows if choice.is_head else min(rows, batch_size)


def _fit(task: Task, job: Job, plan: Plan, units: np.ndarray) -> Fit:
    suffix = self_test.build(task, job.seed)
    parameters = trained(suffix)
    before = [parameter.detach().clone() for parameter in parameters]
    counts = _train(task, job, plan, units, suffix)
    if not all(parameter.isfinite().all() for parameter in parameters):
        raise RftError(
            "private training ended with weights that are not finite",
            where="train.learning_rate",
            remedy="Lower train.learning_rate.",
        )
    unmoved = sum(torch.equal(old, parameter) for old, parameter in zip(before, parameters, strict=True))
    return Fit(trained_state(suffix), _log(plan), {**plan.facts, **counts, "unmoved": unmoved})


def _train(task: Task, job: Job, plan: Plan, units: np.ndarray, suffix: nn.Module) -> dict[str, int]:
    """Train ``suffix`` in place; return how many batches were empty and how many gradients were not finite."""
    random = draws(plan.randomness, job.seed)
    engine = plan.choice.engine(suffix)
    optimizer = task.recipe.build(engine.parameters)
    gaussian = Gaussian(random.noise, plan.mechanism.noise_multiplier, plan.max_grad_norm, plan.divisor)
    counts = {"empty_batches": 0, "non_finite_gradients": 0}
    with suitable_threads(suffix, task.device), own_chance(task.device, random.dropout):
        for _ in track(range(plan.mechanism.steps), "Private training"):
            rows = _poisson_rows(random.sampling, plan, units, job.members)
            views = _views(random.sampling, task, rows)
            groups = _read(task, units, rows, views, plan.rows_at_once)
            counts["non_finite_gradients"] += dp_sgd.step(engine, optimizer, groups, gaussian)
            counts["empty_batches"] += not len(rows)
    engine.close()
    return counts


def _read(
    task: Task, units: np.ndarray, rows: np.ndarray, views: np.ndarray | None, rows_at_once: int
) -> Iterator[Iterator[Part]]:
    """Yield the sampled examples in groups of whole units, read when they are needed."""

    def read(chosen: np.ndarray) -> Part:
        taken = torch.from_numpy(rows[chosen])
        batch = task.features.batch(taken, None if views is None else torch.from_numpy(views[chosen]))
        owners = None if task.units is None else torch.from_numpy(units[rows[chosen]]).to(task.device)
        return Part(
            {name: column.to(task.device).contiguous() for name, column in batch.items()},
            task.labels[taken].to(task.device),
            owners,
        )

    for group in dp_sgd.pack(units[rows], rows_at_once):
        yield (read(part) for part in group)


def _views(rng: np.random.Generator, task: Task, rows: np.ndarray) -> np.ndarray | None:
    """Draw which augmented view of each example is used; None where there is one only."""
    return rng.integers(task.features.views, size=len(rows)) if task.features.views > 1 else None


def _poisson_rows(rng: np.random.Generator, plan: Plan, units: np.ndarray, members: np.ndarray | None) -> np.ndarray:
    """Draw each unit with the sampling rate, independently; return the rows of those drawn, members only."""
    drawn = (rng.random(plan.n) < plan.mechanism.sample_rate)[units]
    return np.flatnonzero(drawn if members is None else drawn & members)


def _log(plan: Plan) -> list[dict[str, float]]:
    """Return one row an epoch, of public numbers alone; an epoch is 1 / sample_rate steps."""
    steps, rate = plan.mechanism.steps, plan.mechanism.sample_rate
    ends = [min(steps, round(epoch / rate)) for epoch in range(1, max(1, round(steps * rate)) + 1)]
    return [{"epoch": epoch, "steps": end} for epoch, end in enumerate(ends, start=1)]
