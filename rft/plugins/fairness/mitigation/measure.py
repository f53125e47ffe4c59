"""How right and how even decisions are, on examples that they were not fitted to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rft.disclosure.withheld import MISSING, NOTHING, Withheld
from rft.plugins.fairness.gaps import DRAWS_FOR_VERDICTS
from rft.plugins.fairness.mitigation.material import Part
from rft.plugins.fairness.small_groups import Share, gap_with_small_groups, worst_share
from rft.records import Interval
from rft.stats import multiplicity
from rft.stats.intervals import LEVEL, Rate, Sample
from rft.stats.max_t import LargestGap, largest_gap
from rft.stats.rate_difference import TwoRates
from rft.stats.resampling import rates

FEWEST = 10  # examples of a group, or of a group in a class, for its rate to be looked at


@dataclass(frozen=True)
class Measured:
    """What was found of one way to decide.

    Attributes:
        accuracy: over all examples, with or without a group.
        groups: the rate of each group that has one, by name, lowest first.
        left_out: the groups without one, with the reason.
        small: what those of them have that are too small, and not withheld.
        cells: the accuracy of each group in each class that has enough examples, lowest first.
        few_cells: how many groups in a class have examples, but too few.
    """

    accuracy: Rate
    groups: dict[str, Rate]
    left_out: dict[str, str]
    small: dict[str, Share]
    cells: dict[str, Rate]
    few_cells: int

    @property
    def gap(self) -> float | None:
        """The highest group minus the lowest; None where fewer than two have a rate."""
        rates = list(self.groups.values())
        return rates[-1].value - rates[0].value if len(rates) > 1 else None

    @property
    def gap_interval(self) -> Interval | None:
        """The interval of the gap at 95 %; None where there is no gap."""
        return self._gap_interval(LEVEL) if len(self.groups) > 1 else None

    @cached_property
    def gap_intervals(self) -> tuple[Interval, ...]:
        """The intervals of the gap at each of ``multiplicity.LEVELS``; empty where there is none."""
        return tuple(map(self._gap_interval, multiplicity.LEVELS)) if len(self.groups) > 1 else ()

    @property
    def judging_intervals(self) -> tuple[Interval, ...]:
        """The same of all groups, those that are too small to be compared included: what rules are judged by."""
        if not self.small:
            return self.gap_intervals
        shares, small = [share_of(rate) for rate in self.groups.values()], list(self.small.values())
        return tuple(
            gap_with_small_groups(
                self._gap_interval(1 - (1 - level) / 2) if len(shares) > 1 else None, shares, small, level
            )
            for level in multiplicity.LEVELS
        )

    def _gap_interval(self, level: float) -> Interval:
        """Return the interval of two groups' shares by themselves, else that of the largest gap of all pairs."""
        if len(self.groups) > 2:
            return self._largest.interval(level)
        low, high = map(share_of, self.groups.values())
        return TwoRates(high.successes, high.cases, low.successes, low.cases).gap(level)

    @cached_property
    def _largest(self) -> LargestGap:
        shares = [share_of(rate) for rate in self.groups.values()]
        cases = np.array([max(round(share.cases), 1) for share in shares])
        hits = np.array([round(rate.value * n) for rate, n in zip(self.groups.values(), cases, strict=True)])
        return largest_gap(rates(hits, cases, np.random.default_rng(0), draws=DRAWS_FOR_VERDICTS))

    def worst_interval(self, level: float) -> Interval:
        """Return the interval of the lowest true accuracy among the cells, exact and corrected for their number."""
        return worst_share([share_of(rate) for rate in self.cells.values()], lowest=True, level=level)

    @property
    def why_left_out(self) -> str:
        """The groups without a rate and the reasons, in words."""
        return ", ".join(f"{name} is {reason}" for name, reason in self.left_out.items())

    @property
    def worst_cell(self) -> tuple[str, Rate] | None:
        """The group in a class with the lowest accuracy; None unless all that have examples have enough of them."""
        return next(iter(self.cells.items())) if self.cells and not self.few_cells else None


def measure(
    decisions: np.ndarray,
    part: Part,
    metric: str,
    classes: tuple[str, ...],
    positive: int,
    withheld: Withheld = NOTHING,
) -> Measured:
    """Return what is found of decisions.

    Args:
        decisions: (N, K) the probability of each decision; one and zeros where it is certain or was drawn.
        part: N examples, N above 0.
        metric: ``accuracy``, ``selection_rate``, ``tpr``, ``fpr`` or ``fnr``.
        classes: the K class names.
        positive: index of the favourable class.
        withheld: what may not leave the machine: these examples may be few, where those of the split are not.
    """
    right = decisions[np.arange(len(part)), part.labels]
    outcome, counted = _outcome(decisions, right, part.labels, metric, positive)
    groups: dict[str, Rate] = {}
    left_out: dict[str, str] = {}
    small: dict[str, Share] = {}
    cells: dict[str, Rate] = {}
    few_cells = 0
    hidden = withheld.among(
        *_counts(part, counted), *(own for k in range(len(classes)) for own in _counts(part, part.labels == k))
    )
    for name in sorted({name for name in part.rows.groups if name is not None}):
        own = part.rows.groups == name
        if name in hidden:
            left_out[name] = withheld.reason
            few_cells += 1
            continue
        if own.sum() < FEWEST:
            left_out[name] = f"too few (n = {own.sum()})"
        elif not (own & counted).any():
            left_out[name] = f"without an example that counts for {metric} (n = {own.sum()})"
        else:
            groups[name] = _rate(outcome, own & counted, part)
        if name in left_out:
            enters = own & counted
            small[name] = share_of(_rate(outcome, enters, part)) if enters.any() else Share(0.0, 0.0)
        for label, title in enumerate(classes):
            cell = own & (part.labels == label)
            few_cells += 0 < cell.sum() < FEWEST
            if cell.sum() >= FEWEST:
                cells[f"{name}, {title}"] = _rate(right, cell, part)
    accuracy = Rate(float(right.mean()), Sample.of(part.units))
    return Measured(accuracy, _lowest_first(groups), left_out, small, _lowest_first(cells), few_cells)


def _counts(part: Part, counted: np.ndarray) -> Iterator[dict[str, int]]:
    """Yield how many examples each group has, and units: of all, and of those that count."""
    groups = np.array([MISSING if name is None else str(name) for name in part.rows.groups])
    for mask in (np.ones(len(part), dtype=bool), counted):
        for values in (groups[mask], np.unique(np.stack([groups[mask], part.units[mask]]), axis=1)[0]):
            yield {str(name): int(np.sum(values == name)) for name in np.unique(groups)}


def share_of(rate: Rate) -> Share:
    """Return a rate as a share of the effective number of cases."""
    worth = rate.sample.effective_n
    return Share(rate.value * worth, worth)


def certain(indices: np.ndarray, classes: int) -> np.ndarray:
    """Return (N, K) decisions, one and zeros, from (N,) class indices."""
    return np.eye(classes)[indices]


def _outcome(
    decisions: np.ndarray, right: np.ndarray, labels: np.ndarray, metric: str, positive: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return (N,) outcomes whose mean is the metric, and a (N,) mask of the examples that it is a mean over."""
    favourable, of_class = decisions[:, positive], labels == positive
    everyone = np.ones(len(labels), dtype=bool)
    kinds = {
        "accuracy": (right, everyone),
        "selection_rate": (favourable, everyone),
        "tpr": (favourable, of_class),
        "fpr": (favourable, ~of_class),
        "fnr": (1 - favourable, of_class),
    }
    return kinds[metric]


def _rate(outcome: np.ndarray, mask: np.ndarray, part: Part) -> Rate:
    return Rate(float(np.clip(outcome[mask].mean(), 0, 1)), Sample.of(part.units[mask]))


def _lowest_first(rates: dict[str, Rate]) -> dict[str, Rate]:
    return dict(sorted(rates.items(), key=lambda item: (item[1].value, item[0])))
