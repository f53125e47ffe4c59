"""All that is fixed before the first step of a private training, as public numbers, and what these numbers spend.

Nothing here depends on the data but n, the number of units, which is declared public.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from rft.errors import ConfigError, IntegrityError
from rft.plugins.privacy.accounting import accountants
from rft.plugins.privacy.accounting.accountant_cross_check import cross_check_accountants
from rft.plugins.privacy.accounting.accountants import Mechanism
from rft.plugins.privacy.training.randomness import Randomness
from rft.plugins.privacy.training.settings import DPSettings
from rft.records import Row
from rft.training import Recipe
from rft.training.privacy_facts import EngineFacts, LedgerFacts, PrivacyFacts

if TYPE_CHECKING:
    from rft.features.batch_independence import BatchDependence

SEEDED = (
    'samples and noise followed from the run\'s seed (privacy.randomness = "seeded"), which stands in this report: '
    "whoever knows it can subtract the noise"
)
NEIGHBOURS = "zero-out: one unit's contribution replaced by nothing, at a fixed public number of units"


@dataclass(frozen=True)
class MechanismParameters:
    """The public numbers of a private training.

    Attributes:
        target_epsilon: what was asked for.
        delta: in (0, 1).
        delta_by_rule: whether it is min(1e-5, 1 / (10 n)) since nobody gave one.
        mechanism: noise, sampling rate and steps.
        max_grad_norm: what a unit's contribution is clipped to.
        divisor: what a noised sum is divided by: the expected number of units in a step.
        n: number of units.
        unit: ``example``, or ``unit`` where examples are grouped by whose they are.
        rows_per_unit_max: how many examples the largest unit has; nothing in training depends on it.
        randomness: where samples and noise come from.
    """

    target_epsilon: float
    delta: float
    delta_by_rule: bool
    mechanism: Mechanism
    max_grad_norm: float
    divisor: float
    n: int
    unit: str
    rows_per_unit_max: int
    randomness: Randomness

    @property
    def void(self) -> str | None:
        """Why the numbers promise nothing to anybody; None where they do."""
        return SEEDED if self.randomness == "seeded" else None

    def describe(
        self,
        engine: EngineFacts,
        *,
        self_test: Sequence[Row] = (),
        batch_dependence: BatchDependence | None = None,
        ledger: LedgerFacts | None = None,
    ) -> PrivacyFacts:
        """Return the numbers and what they spend by both accountants, with all that is known of the training.

        Args:
            engine: how gradients are computed.
            self_test: the checks, one row each.
            batch_dependence: what the other examples did to an example's features.
            ledger: where the ledger stood afterwards. All steps that it was charged count: after an interruption some
                were taken twice.
        """
        steps = self.mechanism.steps if ledger is None else ledger.charged_steps
        charged = replace(self.mechanism, steps=steps)
        spent, epsilon_rdp = _spending_by_both_accountants(charged, self.delta)
        numbers = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "mechanism"}
        return PrivacyFacts(
            **numbers,
            **asdict(self.mechanism),
            charged_steps=steps,
            epsilon=spent.epsilon,
            accountant=spent.accountant,
            epsilon_rdp=epsilon_rdp,
            accountant_versions=accountants.accountant_versions(),
            neighbouring=NEIGHBOURS,
            void=self.void,
            engine=engine,
            self_test=list(self_test),
            batch_dependence=batch_dependence,
            ledger=ledger,
        )


@lru_cache(maxsize=64)  # thousands of heads of an audit share one mechanism, and a Renyi epsilon takes 50 ms
def _spending_by_both_accountants(mechanism: Mechanism, delta: float) -> tuple[accountants.Spending, float]:
    return accountants.tightest_spending(mechanism, delta), accountants.epsilon_rdp(mechanism, delta)


def choose_mechanism_parameters(
    settings: DPSettings, recipe: Recipe, units: np.ndarray, *, declared: bool
) -> MechanismParameters:
    """Return the numbers of a training: those of the settings, and defaults for what it leaves open.

    Args:
        settings: what was asked for.
        recipe: gives the expected batch size and the epochs.
        units: (N,) number of the unit of each example.
        declared: whether units were declared, or each example is one.

    Raises:
        ConfigError: epsilon cannot be reached, the noise that was asked for spends more, or delta is 1 / n or more.
        IntegrityError: accountants of two libraries contradict each other.
    """
    rows_per_unit = np.bincount(units)
    n = len(rows_per_unit)
    rate = 1.0 if settings.method == "least_squares" else settings.sample_rate or min(1.0, recipe.batch_size / n)
    steps = 1 if settings.method == "least_squares" else settings.steps or max(1, round(recipe.epochs / rate))
    delta = settings.delta or min(1e-5, 1 / (10 * n))
    if not settings.repeats:
        accountants.refuse_large_delta(delta, n, "units of the training data")
    noise = settings.noise_multiplier or accountants.calibrate_noise_multiplier(
        settings.epsilon, delta, sample_rate=rate, steps=steps
    )
    mechanism = Mechanism(noise, rate, steps)
    if settings.noise_multiplier is not None and settings.charged:
        _check_noise_suffices(mechanism, delta, settings.epsilon)
    if problems := cross_check_accountants(mechanism, delta).problems:
        raise IntegrityError("; ".join(problems), where="[privacy]", remedy="Nothing was trained: no epsilon stands.")
    return MechanismParameters(
        target_epsilon=settings.epsilon,
        delta=delta,
        delta_by_rule=settings.delta is None,
        mechanism=mechanism,
        max_grad_norm=settings.max_grad_norm,
        divisor=settings.divisor or rate * n,
        n=n,
        unit="unit" if declared else "example",
        rows_per_unit_max=int(rows_per_unit.max()),
        randomness=settings.randomness,
    )


def _check_noise_suffices(mechanism: Mechanism, delta: float, epsilon: float) -> None:
    spent = accountants.tightest_spending(mechanism, delta).epsilon
    if spent > epsilon:
        raise ConfigError(
            f"{mechanism.noise_multiplier:g} spends an epsilon of {spent:.4g} in {mechanism.steps} steps at a sampling "
            f"rate of {mechanism.sample_rate:.3g}, more than the {epsilon:g} of privacy.epsilon",
            where="privacy.noise_multiplier",
            remedy="Leave it out to have it calibrated, or give a larger epsilon.",
        )
