"""What the columns of the section's tables mean, in the order in which a reader wants them."""

from __future__ import annotations

from rft.records import Columns, list_columns
from rft.stats.scores.classification import ABBREVIATIONS

_METRICS = {"metric": ABBREVIATIONS}

COLUMNS: dict[str, Columns] = {
    "by_group": list_columns(
        {
            "split": "key",
            "model": "key",
            "attribute": "attribute",
            "group": "group",
            "class": "class",
            "control": "key",
            "metric": "metric",
            "value": "estimate",
            "low": "low",
            "high": "high",
            "n": "count",
            "n_positive": "count",
            "n_negative": "count",
            "status": "status",
        },
        labels={"n_positive": "positives", "n_negative": "negatives"},
        spellings=_METRICS,
    ),
    "gaps": list_columns(
        {
            "attribute": "attribute",
            "class": "class",
            "control": "key",
            "metric": "metric",
            "what": "key",
            "groups": "key",
            "value": "estimate",
            "low": "low",
            "high": "high",
            "null_low": "band_low",
            "null_95th_percentile": "band_high",
            "p": "p",
            "p_holm": "p",
            "minimum_detectable_effect": "number",
            "mde_group": "key",
            "mde_group_rate": "number",
            "mde_rest_rate": "number",
            "bound_low": "number",
            "bound_high": "number",
            "left_out": "note",
            "n_groups": "number",
            "finding": "note",
            "status": "status",
        },
        labels={
            "null_low": "without a difference",
            "p_holm": "p, corrected",
            "minimum_detectable_effect": "detectable gap",
            "mde_group": "detectable for",
            "mde_group_rate": "at a rate of",
            "mde_rest_rate": "others at",
            "bound_low": "least possible",
            "bound_high": "most possible",
        },
        spellings=_METRICS,
    ),
    "dispersion": list_columns(
        {
            "attribute": "attribute",
            "class": "class",
            "metric": "metric",
            "deviation": "number",
            "noise_share": "number",
            "variance": "number",
            "n_groups": "number",
        },
        spellings=_METRICS,
    ),
    "calibration": list_columns(
        {
            "attribute": "attribute",
            "group": "group",
            "bin": "key",
            "predicted": "number",
            "observed": "estimate",
            "low": "low",
            "high": "high",
            "n": "count",
        }
    ),
    "intersections": list_columns(
        {
            "attribute": "attribute",
            "group": "group",
            "first": "key",
            "second": "key",
            "class": "class",
            "metric": "metric",
            "value": "estimate",
            "n": "count",
            "status": "status",
        },
        spellings=_METRICS,
    ),
    "four_fifths": list_columns(
        {
            "attribute": "attribute",
            "group": "group",
            "reference": "key",
            "selection_rate": "number",
            "impact_ratio": "estimate",
            "low": "low",
            "high": "high",
            "p_equal": "p",
            "p_equal_all_pairs": "p",
            "p_four_fifths": "p",
            "p_four_fifths_all_pairs": "p",
            "n": "count",
            "n_selected": "count",
            "status": "status",
        }
    ),
    "ll144": list_columns(
        {
            "attribute": "attribute",
            "group": "group",
            "reference": "key",
            "selection_rate": "number",
            "scoring_rate": "number",
            "impact_ratio": "estimate",
            "low": "low",
            "high": "high",
            "share_of_data": "number",
            "n": "count",
            "n_selected": "count",
            "n_above_median": "count",
            "status": "status",
        }
    ),
    "mitigation_frontier": list_columns(
        {
            "split": "key",
            "method": "key",
            "constraint": "key",
            "setting": "key",
            "chosen": "note",
            "shown_as": "key",
            "accuracy": "number",
            "accuracy_low": "number",
            "accuracy_high": "number",
            "gap": "number",
            "gap_low": "number",
            "gap_high": "number",
            "worst_group_accuracy": "number",
            "status": "status",
        }
    ),
    "overall": list_columns(
        {"class": "class", "metric": "metric", "before": "number", "after": "number", "n": "count"},
        spellings=_METRICS,
    ),
    "changes": list_columns(
        {
            "attribute": "attribute",
            "class": "class",
            "metric": "metric",
            "groups": "key",
            "sides": "note",
            "before": "number",
            "after": "number",
            "change": "estimate",
            "low": "low",
            "high": "high",
            "p": "p",
            "n": "count",
        },
        spellings=_METRICS,
    ),
    "sides": list_columns(
        {
            "attribute": "attribute",
            "group": "group",
            "newly_given": "count",
            "no_longer_given": "count",
            "newly_right": "count",
            "newly_wrong": "count",
            "n": "count",
            "status": "status",
        }
    ),
}
