"""The rows of the section's tables. Their columns are names that other programs rely on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

from rft.plugins.fairness.measure.gaps import Gap
from rft.plugins.fairness.measure.group_metrics import GroupMetric
from rft.plugins.fairness.present.metric_labels import metric_label
from rft.predictions.crossing import CROSSING_SEPARATOR
from rft.predictions.table import Grouping
from rft.records import Row
from rft.stats.gaps.partial_identification import GapBounds
from rft.stats.scores.dispersion import Dispersion

SPLIT = "test"
CAPTIONS = {
    "by_group": "Metrics on test by group, with intervals at 95 %. Positives: the examples whose label is the class, "
    "or the units that have such examples where units repeat. TPR and FNR are shares of the "
    "positives, FPR of the negatives. Without a class: over all classes, or the mean of a metric over them",
    "gaps": "The highest group minus the lowest; finding: whether it is a finding too, which rules may name. p: of no "
    "difference. Least and most possible: what missing group values allow. Without a difference: up to the largest gap "
    "between these groups that chance explains at 95 %. The detectable gap is the smallest one of the smallest group "
    "that is told from none in 80 % of samples, at the rates beside it. p is corrected for the number of findings, in "
    "rows that are none for the number of all rows. One fact, such as the gaps in TPR and FNR, counts once",
    "intersections": "Every combination of two attributes with its members, of whom a rate may rest on few. With "
    "too few there is no value",
    "calibration": "Test examples of each group in bins of equal size by the probability that is given to the "
    "favourable class, and how often it is true, with intervals at 95 %",
    "dispersion": "How much groups vary in a metric: the observed variance, what of it is noise of the sample (a share "
    "above 1: less variance than noise alone makes on average), and the standard deviation that is left",
}


def row_of_group_metric(model: str, attribute: str | None, group_metric: GroupMetric) -> Row:
    """Return the row of a metric of a group; no attribute and no group mean all rows."""
    return {
        "model": model,
        "split": SPLIT,
        "attribute": attribute,
        "group": group_metric.group if attribute else None,
        "class": group_metric.target.name,
        "control": group_metric.control,
        "metric": group_metric.metric,
        "value": group_metric.value,
        "low": group_metric.interval.low if group_metric.interval else None,
        "high": group_metric.interval.high if group_metric.interval else None,
        "n": group_metric.n,
        "n_positive": group_metric.n_positive,
        "n_negative": group_metric.n_negative,
        "status": group_metric.status,
    }


def row_of_gap(gap: Gap, *, judged: bool, p_holm: float | None, bounds: GapBounds | None) -> Row:
    """Return the row of a gap.

    Args:
        gap: the gap.
        judged: whether it is a finding too, which rules may name.
        p_holm: its p-value corrected for how many are looked at.
        bounds: what rows without a group allow.
    """
    detectable = gap.minimum_detectable_effect
    return {
        "attribute": gap.attribute,
        "what": metric_label(gap),
        "class": gap.target.name,
        "control": gap.control,
        "metric": gap.metric.name,
        "groups": f"{gap.compared[-1].group} minus {gap.compared[0].group}" if gap.value is not None else None,
        "n_groups": len(gap.compared),
        "value": gap.value,
        "low": gap.interval.low if gap.interval else None,
        "high": gap.interval.high if gap.interval else None,
        "p": gap.p_value,
        "p_holm": p_holm,
        "null_low": None if gap.null_95th_percentile is None else 0.0,
        "null_95th_percentile": gap.null_95th_percentile,
        "minimum_detectable_effect": detectable.gap if detectable else None,
        "mde_group": gap.smallest.group if detectable else None,
        "mde_group_rate": detectable.group_rate if detectable else None,
        "mde_rest_rate": detectable.rest if detectable else None,
        "bound_low": bounds.low if bounds else None,
        "bound_high": bounds.high if bounds else None,
        "left_out": ", ".join(f"{group.group}: {group.status}" for group in gap.excluded) or None,
        "finding": judged,
        "status": gap.status,
    }


def rows_of_intersections(
    crossed: Grouping, attributes: Mapping[str, Grouping], measured: Sequence[GroupMetric]
) -> list[Row]:
    """Return a row for every combination of the groups of two attributes, those without any member too."""
    first, second = (attributes[part] for part in crossed.parts)
    metrics_by_cell = {
        (group_metric.metric, group_metric.target, group_metric.group): group_metric for group_metric in measured
    }
    rows = []
    for metric, target in dict.fromkeys((group_metric.metric, group_metric.target) for group_metric in measured):
        for a, b in product(first.names, second.names):
            group_metric = metrics_by_cell.get((metric, target, f"{a}{CROSSING_SEPARATOR}{b}"))
            rows.append(
                {
                    "attribute": crossed.attribute,
                    "group": f"{a}{CROSSING_SEPARATOR}{b}",
                    "metric": metric,
                    "class": target.name,
                    "first": a,
                    "second": b,
                    "value": group_metric.value if group_metric else None,
                    "n": group_metric.n if group_metric else 0,
                    "status": group_metric.status if group_metric else "undefined: no members",
                }
            )
    return rows


def rows_of_dispersions(dispersions: Sequence[tuple[Gap, Dispersion]]) -> list[Row]:
    """Return the rows of the table ``dispersion``."""
    return [
        {
            "attribute": gap.attribute,
            "class": gap.target.name,
            "metric": gap.metric.name,
            "n_groups": len(gap.compared),
            "variance": spread.observed,
            "noise_share": spread.noise_share,
            "deviation": spread.deviation,
        }
        for gap, spread in dispersions
    ]
