"""The heads of a frontier and the test examples that they are judged on. Predictions only: nothing is trained here."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rft.disclosure.withheld import NOTHING, Withheld
from rft.plugins.privacy.accounting.accountants import Mechanism
from rft.plugins.privacy.frontier import replicates
from rft.plugins.privacy.frontier.replicates import Estimate
from rft.stats.intervals import CONFIDENCE_LEVEL

if TYPE_CHECKING:
    from rft.training.privacy_facts import LedgerFacts

MIN_EXAMPLES_FOR_RATE = 10  # examples of a group, or of its positives or negatives, that a rate is given for
WITHOUT, SGD, LEAST_SQUARES = "without privacy", "DP-SGD", "DP least squares"
METHODS = {"sgd": SGD, "least_squares": LEAST_SQUARES}


@dataclass(frozen=True)
class HeadCondition:
    """R heads that were trained alike.

    Attributes:
        method: ``WITHOUT``, ``SGD`` or ``LEAST_SQUARES``.
        epsilon, spent: what was asked for, and what the noise spends; None without privacy, the latter also where the
            noise follows from a seed and promises nothing.
        predictions: (R, n) class indices on test.
        mechanisms: what each head released of the training data; none without privacy.
        ledger: where the ledger stood when they were trained.
    """

    method: str
    epsilon: float | None
    spent: float | None
    predictions: np.ndarray
    mechanisms: tuple[Mechanism, ...] = ()
    ledger: LedgerFacts | None = None


@dataclass(frozen=True)
class JudgedHeads:
    """The heads and the test examples they are judged on.

    Attributes:
        conditions: first those without privacy, then those of the run's own method by ascending epsilon, then others.
        labels: (n,) class indices.
        units: (n,) whose each example is.
        groups: attribute -> (n,) names, None where missing.
        positive: index of the favourable class, or None.
        withheld: what may not leave the machine; the values of its groups are missing in ``groups``.
    """

    conditions: Sequence[HeadCondition]
    labels: np.ndarray
    units: np.ndarray
    groups: Mapping[str, np.ndarray]
    positive: int | None
    withheld: Withheld = NOTHING

    @property
    def without(self) -> HeadCondition:
        """The heads without privacy."""
        return self.conditions[0]

    @property
    def private(self) -> Sequence[HeadCondition]:
        """All others."""
        return self.conditions[1:]

    def nearest_condition(self, epsilon: float) -> HeadCondition:
        """Return the heads of the run's own method whose epsilon has the ratio nearest to 1 with this one."""
        same_method = [arm for arm in self.private if arm.method == self.private[0].method]
        return min(same_method, key=lambda arm: abs(math.log((arm.epsilon or math.inf) / epsilon)))

    def group_masks(self) -> Iterator[tuple[str | None, str | None, np.ndarray]]:
        """Yield attribute, group and (n,) mask: of all examples, then of each group of each attribute."""
        yield None, None, np.ones(len(self.labels), dtype=bool)
        for attribute in self.groups:
            for group, mask in self.attribute_masks(attribute):
                yield attribute, group, mask

    def attribute_masks(self, attribute: str) -> list[tuple[str, np.ndarray]]:
        """Return each group of an attribute with its (n,) mask."""
        values = self.groups[attribute]
        return [(name, values == name) for name in sorted({value for value in values if value is not None})]

    def correct_predictions(self, arm: HeadCondition) -> np.ndarray:
        """Return (R, n) whether each head is right."""
        correct: np.ndarray = arm.predictions == self.labels
        return correct

    def metric_counts(self, arm: HeadCondition) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return each metric as (R, n) hits and the (n,) mask of the examples it is a share of."""
        everyone = np.ones(len(self.labels), dtype=bool)
        counts = {"accuracy": (self.correct_predictions(arm), everyone)}
        if self.positive is None:
            return counts
        chosen, favourable = arm.predictions == self.positive, self.labels == self.positive
        rates = {"selection_rate": everyone, "tpr": favourable, "fpr": ~favourable}
        return counts | {name: (chosen, base) for name, base in rates.items()}

    def accuracy_cost(self, arm: HeadCondition, mask: np.ndarray, *, level: float = CONFIDENCE_LEVEL) -> Estimate:
        """Return what accuracy is lost on some of the examples, a (n,) mask."""
        pair = (self.correct_predictions(self.without)[:, mask], self.correct_predictions(arm)[:, mask])
        return replicates.rate_difference(*pair, self.units[mask], level=level)
