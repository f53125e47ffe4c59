"""The rows of the section's tables. Their columns are names that other programs rely on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

from rft.plugins.fairness.measure.gaps import Gap
from rft.plugins.fairness.measure.group_metrics import GroupMetric
from rft.plugins.fairness.present.metric_labels import words_of
from rft.predictions.table import CROSSING_SEPARATOR, Grouping
from rft.records import Row
from rft.stats.gaps.partial_identification import GapBounds
from rft.stats.scores.dispersion import Dispersion

SPLIT = "test"
CAPTIONS = {
    "by_group": "Metrics on test by group, with intervals at 95 %; n counts the examples of the group, n_positive "
    "those whose label is the class, or the units that have such examples where units repeat. TPR and FNR are shares "
    "of n_positive, FPR of n_negative. Without a class: over all classes, or the mean of a metric over them",
    "gaps": "The highest group minus the lowest; finding: whether it is a finding too, which rules may name. p: of no "
    "difference. least and most: what missing group values allow. null_high is the largest gap between these groups "
    "that chance explains at 95 %; detectable is the smallest gap of the smallest group that is told from none in 80 % "
    "of samples, at the rates beside it; p_holm is corrected for the number of findings, in rows that are none for the "
    "number of all rows. One fact, such as the gaps in TPR and FNR, counts once",
    "intersections": "Every combination of two attributes; n counts its members, of whom a rate may rest on few. With "
    "too few there is no value",
    "calibration": "Test examples of each group in bins of equal size by the probability that is given to the "
    "favourable class, and how often it is true, with intervals at 95 %",
    "dispersion": "How much groups vary in a metric: the observed variance, what of it is noise of the sample (a share "
    "above 1: less variance than noise alone makes on average), and the standard deviation that is left",
}


def by_group(model: str, attribute: str | None, each: GroupMetric) -> Row:
    """Return the row of a metric of a group; no attribute and no group mean all rows."""
    return {
        "model": model,
        "split": SPLIT,
        "attribute": attribute,
        "group": each.group if attribute else None,
        "class": each.target.name,
        "control": each.control,
        "metric": each.metric,
        "value": each.value,
        "low": each.interval.low if each.interval else None,
        "high": each.interval.high if each.interval else None,
        "n": each.n,
        "n_positive": each.n_positive,
        "n_negative": each.n_negative,
        "status": each.status,
    }


def gap(each: Gap, *, judged: bool, p_holm: float | None, bounds: GapBounds | None) -> Row:
    """Return the row of a gap.

    Args:
        each: the gap.
        judged: whether it is a finding too, which rules may name.
        p_holm: its p-value corrected for how many are looked at.
        bounds: what rows without a group allow.
    """
    detectable = each.detectable
    return {
        "attribute": each.attribute,
        "what": words_of(each),
        "class": each.target.name,
        "control": each.control,
        "metric": each.metric.name,
        "groups": f"{each.scored[-1].group} minus {each.scored[0].group}" if each.value is not None else None,
        "n_groups": len(each.scored),
        "value": each.value,
        "low": each.interval.low if each.interval else None,
        "high": each.interval.high if each.interval else None,
        "p": each.p_value,
        "p_holm": p_holm,
        "null_low": None if each.null_high is None else 0.0,
        "null_high": each.null_high,
        "detectable": detectable.gap if detectable else None,
        "detectable_group": each.smallest.group if detectable else None,
        "detectable_group_rate": detectable.group_rate if detectable else None,
        "detectable_rest_rate": detectable.rest if detectable else None,
        "least": bounds.low if bounds else None,
        "most": bounds.high if bounds else None,
        "left_out": ", ".join(f"{group.group} ({group.status})" for group in each.unscored) or None,
        "finding": judged,
        "status": each.status,
    }


def intersections(crossed: Grouping, attributes: Mapping[str, Grouping], measured: Sequence[GroupMetric]) -> list[Row]:
    """Return a row for every combination of the groups of two attributes, those without any member too."""
    first, other = (attributes[part] for part in crossed.parts)
    found = {(each.metric, each.target, each.group): each for each in measured}
    rows = []
    for metric, target in dict.fromkeys((each.metric, each.target) for each in measured):
        for a, b in product(first.names, other.names):
            each = found.get((metric, target, f"{a}{CROSSING_SEPARATOR}{b}"))
            rows.append(
                {
                    "attribute": crossed.attribute,
                    "group": f"{a}{CROSSING_SEPARATOR}{b}",
                    "metric": metric,
                    "class": target.name,
                    "first": a,
                    "second": b,
                    "value": each.value if each else None,
                    "n": each.n if each else 0,
                    "status": each.status if each else "undefined: no members",
                }
            )
    return rows


def dispersions(found: Sequence[tuple[Gap, Dispersion]]) -> list[Row]:
    """Return the rows of the table ``dispersion``."""
    return [
        {
            "attribute": each.attribute,
            "class": each.target.name,
            "metric": each.metric.name,
            "n_groups": len(each.scored),
            "variance": spread.observed,
            "noise_share": spread.noise_share,
            "deviation": spread.deviation,
        }
        for each, spread in found
    ]
