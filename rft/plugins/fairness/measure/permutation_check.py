"""The audit audits itself: an attribute that is shuffled among the units can show no gap, but by chance.

One shuffle proves nothing, since at eight tests one honest audit in three accuses some shuffled attribute. Here the
attribute is shuffled 200 times, and the share of shuffles in which a gap is found is compared with the error rate that
the method promises.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.stats import binom

from rft.plugins.fairness.measure.gaps import detects_gap, indices_of_compared
from rft.plugins.fairness.measure.group_metrics import GroupMetric, SampleSizeRules, measure_groups
from rft.predictions.grouped import ClassTarget, GroupedPredictions
from rft.predictions.table import Grouping
from rft.records import About, Finding, FindingDefinition

ACCURACY, ALL_CLASSES = "accuracy", ClassTarget(None, None)
PERMUTATIONS = 200
MAX_ERROR_RATE = 0.06  # the error rate of a largest gap in small groups, by simulation; its nominal level is 0.05
MIN_P_VALUE = 1e-4  # a share of findings that is less likely than this at the allowed rate breaks the audit
MAX_UNITS_PERMUTED = 20_000  # of which shuffles are made: more would show nothing else and take minutes


def check_by_permutation(
    grouped: GroupedPredictions, size_rules: SampleSizeRules, *, positive: int, seed: int
) -> Finding:
    """Return the finding ``fairness.permutation_check.<attribute>``: how often a permuted attribute shows a gap."""
    attribute = grouped.grouping.attribute
    definition = FindingDefinition(
        f"fairness.permutation_check.{attribute}",
        f"Permutation check: {attribute}",
        f"How often the audit finds a gap in accuracy when {attribute} is randomly permuted.",
        unit="fraction",
        caveats="Shows that the method invents no gaps on these data, not that it finds the ones that exist.",
    )
    compared = indices_of_compared(_measure_accuracy(grouped, size_rules, positive, seed))
    if len(compared) < 2:
        return definition.state_not_measured("fewer than two groups can be compared")
    rng = np.random.default_rng([seed, PERMUTATIONS])
    detections = []
    for shuffled in _permute_groups(_sample_units(grouped, compared, rng), rng):
        measured = _measure_accuracy(shuffled, size_rules, positive, seed)
        if len(indices_of_compared(measured)) < 2:
            reason = "people are in several groups, and with one group each fewer than two are large enough"
            return definition.state_not_measured(reason)
        detections.append(detects_gap(shuffled, measured, ACCURACY, ALL_CLASSES, rng))
    n_detected = sum(map(bool, detections))
    broken = bool(binom.sf(n_detected - 1, PERMUTATIONS, MAX_ERROR_RATE) < MIN_P_VALUE)
    verdict = (
        "more often than the method promises: the gaps of this audit cannot be believed"
        if broken
        else "compatible with the 5 % that the method promises"
    )
    return definition.state_fact(
        n_detected / PERMUTATIONS,
        n=PERMUTATIONS,
        status="fail" if broken else "info",
        description=f"With {attribute} randomly permuted among the people, {n_detected} of {PERMUTATIONS} times a gap "
        f"in accuracy was found: {verdict}.",
        about=About(attributes=(attribute,)),
    )


def _measure_accuracy(
    grouped: GroupedPredictions, size_rules: SampleSizeRules, positive: int, seed: int
) -> list[GroupMetric]:
    return measure_groups(grouped, ACCURACY, ALL_CLASSES, size_rules=size_rules, positive=positive)


def _sample_units(grouped: GroupedPredictions, compared: Sequence[int], rng: np.random.Generator) -> GroupedPredictions:
    """Return the rows of the groups that are compared, of so many units as are shuffled."""
    mask = np.isin(grouped.grouping.codes, compared)
    units = np.flatnonzero(mask) if grouped.rows.units is None else grouped.rows.units
    known = np.unique(units[mask] if grouped.rows.units is not None else units)
    if len(known) > MAX_UNITS_PERMUTED:
        taken = rng.choice(known, MAX_UNITS_PERMUTED, replace=False)
        mask &= np.isin(np.arange(len(mask)) if grouped.rows.units is None else units, taken)
    return GroupedPredictions(grouped.rows.select_rows(mask), grouped.grouping.select_rows(mask))


def _permute_groups(grouped: GroupedPredictions, rng: np.random.Generator) -> Iterator[GroupedPredictions]:
    """Yield the rows with the groups of their units dealt anew; a unit in several groups counts for its first."""
    codes, units = grouped.grouping.codes, grouped.rows.units
    unit_codes = np.arange(len(codes)) if units is None else np.unique(units, return_inverse=True)[1]
    first = np.empty(unit_codes.max() + 1, dtype=codes.dtype)
    first[unit_codes[::-1]] = codes[::-1]  # the last write is that of the first row
    for _ in range(PERMUTATIONS):
        permuted = rng.permutation(first)[unit_codes]
        yield GroupedPredictions(
            grouped.rows, Grouping(grouped.grouping.attribute, grouped.names, permuted, grouped.grouping.parts)
        )
