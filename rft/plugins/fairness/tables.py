"""The rows of the section's tables. Their columns are names that other programs rely on."""

from __future__ import annotations

from collections.abc import Sequence

from rft.plugins.fairness.dispersion import Dispersion
from rft.plugins.fairness.gaps import Gap
from rft.plugins.fairness.group_metrics import GroupMetric
from rft.plugins.fairness.missing import GapBounds
from rft.records import Row

SPLIT = "test"
CAPTIONS = {
    "by_group": "Metrics on test by group, with intervals at 95 %; n counts the rows of the group, n_positive those "
    "whose label is the class. TPR and FNR are shares of n_positive, FPR of n_negative. Without a class: over all "
    "classes, or the mean of a metric over them",
    "gaps": "The highest group minus the lowest. null_high is what the largest gap stays below in 95 % of samples "
    "when groups do not differ; detectable is the smallest gap that is told from none in 80 % of samples; p_holm is "
    "corrected for all rows of this table, for exploring it, and no verdict rests on it",
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


def gap(each: Gap, p_holm: float | None, bounds: GapBounds | None) -> Row:
    """Return the row of a gap; ``bounds`` are what rows without a group allow."""
    return {
        "attribute": each.attribute,
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
        "null_high": each.null_high,
        "detectable": each.detectable,
        "least": bounds.low if bounds else None,
        "most": bounds.high if bounds else None,
        "left_out": ", ".join(f"{group.group} ({group.status})" for group in each.unscored) or None,
        "status": each.status,
    }


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
