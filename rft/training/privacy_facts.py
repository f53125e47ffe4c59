"""What is known of a private training: its public numbers, what they spend, and how its promises were tried out.

Plain values, so that whoever reports on a training needs no plugin to read them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rft.records import Table

if TYPE_CHECKING:
    from rft.features.batch_independence import BatchDependence


@dataclass(frozen=True)
class LedgerFacts:
    """Where the ledger of a population stands after a training, and what the population has spent in all.

    Attributes:
        population: whose ledger it is.
        entries, head: how many entries it has, and the sha256 of the last one.
        purpose: what this training was for: ``training``, ``frontier`` or ``canaries``.
        planned_steps, charged_steps: of this training; more are charged where it was interrupted.
        resumed_at: the step from which it went on after an interruption; 0 where it began anew.
        interruptions: how often it went back.
        units: how many different units, or examples where none are declared, all trainings on the population saw.
        overlaps: other populations whose spending counts as well.
        delta: at which everything is added up, in (0, 1).
        epsilon, accountant: what was spent in all, and by which accountant.
        budget, remaining: what may be spent in all, and what is left of it; None without a budget.
        elsewhere: in how many other folders a ledger of the population is remembered.
        seeded: how many of the trainings drew their noise from a seed, so that they protect nobody.
        trainings: one row a training.
    """

    population: str
    entries: int
    head: str
    purpose: str
    planned_steps: int
    charged_steps: int
    resumed_at: int
    interruptions: int
    units: int
    overlaps: tuple[str, ...]
    delta: float
    epsilon: float
    accountant: str
    budget: float | None
    remaining: float | None
    elsewhere: int
    seeded: int
    trainings: Table


@dataclass(frozen=True)
class EngineFacts:
    """How the gradients of single examples are computed.

    Attributes:
        name: how the report calls the way; ``least squares`` where there are no gradients.
        error: largest relative error of an example's gradient in the self-test; None before it has run.
        rejected: the ways that were tried before, each with the reason why it is not used.
        trained_parameters: how many numbers are trained.
        precision: what training computes in: ``float32`` or ``float64``.
        recipe_used: whether epochs, optimizer and batch size had a part in it.
    """

    name: str
    error: float | None
    rejected: Mapping[str, str]
    trained_parameters: int
    precision: str
    recipe_used: bool = True


@dataclass(frozen=True)
class PrivacyFacts:
    """The public numbers of a private training, and its results.

    Attributes:
        target_epsilon: what was asked for, > 0.
        epsilon, accountant: what all charged steps spend, and which accountant vouches for it.
        epsilon_rdp: the same by the Renyi accountant.
        delta: in (0, 1); ``delta_by_rule`` says whether it is min(1e-5, 1 / (10 n)) since nobody gave one.
        noise_multiplier: standard deviation of the noise over ``max_grad_norm``, > 0.
        sample_rate: probability that a unit takes part in a step, in (0, 1].
        steps: that were planned; ``charged_steps`` are more where some were taken again after an interruption.
        max_grad_norm: bound on the contribution of one unit to a step.
        divisor: what a noised sum is divided by.
        n: number of units.
        unit: ``example``, or ``unit`` where examples are grouped by whose they are.
        rows_per_unit_max: examples of the largest unit.
        randomness: ``secret`` or ``seeded``.
        accountant_versions: distribution -> version.
        neighbouring: which two data sets are hard to tell apart, in words.
        void: why the numbers promise nothing to anybody; None where they do.
        engine: how gradients were computed.
        self_test: one row a check, before the first step; empty before it has run.
        batch_dependence: what the other examples did to an example's features; None where no features were cached.
        ledger: where the ledger stood afterwards; None where nothing was recorded.
    """

    target_epsilon: float
    epsilon: float
    accountant: str
    epsilon_rdp: float
    delta: float
    delta_by_rule: bool
    noise_multiplier: float
    sample_rate: float
    steps: int
    charged_steps: int
    max_grad_norm: float
    divisor: float
    n: int
    unit: str
    rows_per_unit_max: int
    randomness: str
    accountant_versions: Mapping[str, str]
    neighbouring: str
    void: str | None
    engine: EngineFacts
    self_test: Table = field(default_factory=list)
    batch_dependence: BatchDependence | None = None
    ledger: LedgerFacts | None = None
