"""How right and how even decisions are, on examples that they were not fitted to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rft.disclosure.withheld import MISSING, NOTHING, Withheld
from rft.plugins.fairness.measure.gaps import Gap
from rft.plugins.fairness.measure.group_metrics import DEFAULT_SIZE_RULES, SampleSizeRules
from rft.plugins.fairness.measure.small_groups import GroupRate, worst_rate_interval
from rft.plugins.fairness.mitigation.dataset import MitigationExamples
from rft.records import Interval
from rft.stats.gaps.pairwise import PairwiseGap
from rft.stats.rates import Rate
from rft.stats.scores.classification import METRICS, Ratios


@dataclass(frozen=True)
class DecisionMetrics:
    """What was found of one way to decide.

    Attributes:
        accuracy: over all examples, with or without a group.
        groups: the rate of each group that has one, by name, lowest first.
        left_out: the groups without one, with the reason.
        cells: the accuracy of each group in each class that has enough examples, lowest first.
        few_cells: how many groups in a class have examples, but too few.
        compared: on test, the groups compared as elsewhere in the section; None on validation, where one candidate is
            set against another.
    """

    accuracy: Rate
    groups: dict[str, Rate]
    left_out: dict[str, str]
    cells: dict[str, Rate]
    few_cells: int
    compared: Gap | None = None

    @property
    def gap(self) -> float | None:
        """The highest group minus the lowest; None where fewer than two have a rate."""
        if self.compared is not None:
            return self.compared.value
        rates = list(self.groups.values())
        return rates[-1].value - rates[0].value if len(rates) > 1 else None

    @property
    def gap_interval(self) -> Interval | None:
        """The interval of the gap: on test as elsewhere in the section, on validation that of all pairs."""
        if self.compared is not None:
            return self.compared.interval
        if len(self.groups) < 2:
            return None
        return PairwiseGap(
            tuple((rate.numerator, rate.sample.effective_n) for rate in self.groups.values())
        ).confidence_interval()

    def worst_interval(self, level: float) -> Interval:
        """Return the interval of the lowest true accuracy among the cells, exact and corrected for their number."""
        shares = [GroupRate(rate.numerator, rate.sample.effective_n) for rate in self.cells.values()]
        return worst_rate_interval(shares, lowest=True, level=level)

    @property
    def why_left_out(self) -> str:
        """The groups without a rate and the reasons, in words."""
        return ", ".join(f"{name} is {reason}" for name, reason in self.left_out.items())

    @property
    def worst_cell(self) -> tuple[str, Rate] | None:
        """The group in a class with the lowest accuracy; None unless all that have examples have enough of them."""
        return next(iter(self.cells.items())) if self.cells and not self.few_cells else None


def measure_decisions(
    decisions: np.ndarray,
    part: MitigationExamples,
    metric: str,
    classes: tuple[str, ...],
    positive: int,
    size_rules: SampleSizeRules = DEFAULT_SIZE_RULES,
    withheld: Withheld = NOTHING,
) -> DecisionMetrics:
    """Return what is found of decisions, of groups in which enough units have a case of the metric.

    Args:
        decisions: (N, K) the probability of each decision; one and zeros where it is certain or was drawn.
        part: N examples, N above 0.
        metric: one of ``METRICS_OF_FIXED_CASES``.
        classes: the K class names.
        positive: index of the favourable class.
        size_rules: how many units are too few for a rate to be looked at.
        withheld: what may not leave the machine: these examples may be few, where those of the split are not.
    """
    right = decisions[np.arange(len(part)), part.labels]
    outcome, counted = _outcomes_of_metric(decisions, part.labels, metric, classes, positive)
    groups: dict[str, Rate] = {}
    left_out: dict[str, str] = {}
    cells: dict[str, Rate] = {}
    few_cells = 0
    hidden = withheld.find_small_groups(
        *_count_by_group(part, counted),
        *(in_group for k in range(len(classes)) for in_group in _count_by_group(part, part.labels == k)),
    )
    for name in sorted({name for name in part.rows.groups if name is not None}):
        in_group = part.rows.groups == name
        if name in hidden:
            left_out[name] = withheld.reason
            few_cells += 1
            continue
        cases = _count_units(in_group & counted, part)
        if not cases:
            left_out[name] = f"without an example that counts for {metric} (n = {_count_units(in_group, part)})"
        elif cases < size_rules.min_reported_size:
            left_out[name] = f"too few (n = {cases})"
        else:
            groups[name] = _estimate_rate(outcome, in_group & counted, part)
        for label, title in enumerate(classes):
            cell = in_group & (part.labels == label)
            few_cells += 0 < _count_units(cell, part) < size_rules.min_reported_size
            if _count_units(cell, part) >= size_rules.min_reported_size:
                cells[f"{name}, {title}"] = _estimate_rate(right, cell, part)
    accuracy = Rate.from_rows(right, part.units)
    return DecisionMetrics(accuracy, _lowest_first(groups), left_out, _lowest_first(cells), few_cells)


def _count_by_group(part: MitigationExamples, counted: np.ndarray) -> Iterator[dict[str, int]]:
    """Yield how many examples each group has, and units: of all, and of those in a (N,) mask."""
    groups = np.array([MISSING if name is None else str(name) for name in part.rows.groups])
    for mask in (np.ones(len(part), dtype=bool), counted):
        for values in (groups[mask], np.unique(np.stack([groups[mask], part.units[mask]]), axis=1)[0]):
            yield {str(name): int(np.sum(values == name)) for name in np.unique(groups)}


def one_hot_decisions(indices: np.ndarray, classes: int) -> np.ndarray:
    """Return (N, K) decisions, one and zeros, from (N,) class indices."""
    return np.asarray(np.eye(classes)[indices])


def _outcomes_of_metric(
    decisions: np.ndarray, labels: np.ndarray, metric: str, classes: tuple[str, ...], positive: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return (N,) outcomes whose mean is the metric, and a (N,) mask of the examples that it is a mean over.

    Args:
        decisions: (N, K) the probability of each decision.
        labels: (N,) class indices.
        metric: one of ``METRICS_OF_FIXED_CASES``: decisions do not change which examples it is a mean over.
        classes: the K class names.
        positive: index of the favourable class.
    """
    ratios = Ratios.from_metric(METRICS[metric], classes, positive if METRICS[metric].of_class else None)
    numerator, denominator = ratios.numerators[0], ratios.denominators[0]
    return (decisions * numerator[labels]).sum(axis=1), denominator[labels, 0]


def _count_units(mask: np.ndarray, part: MitigationExamples) -> int:
    """Return how many units have an example in a (N,) mask."""
    return len(np.unique(part.units[mask]))


def _estimate_rate(outcome: np.ndarray, mask: np.ndarray, part: MitigationExamples) -> Rate:
    return Rate.from_rows(outcome[mask], part.units[mask])


def _lowest_first(rates: dict[str, Rate]) -> dict[str, Rate]:
    return dict(sorted(rates.items(), key=lambda item: (item[1].value, item[0])))
