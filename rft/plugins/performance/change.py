"""How the measures of a classifier differ between two runs on the same test examples."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rft.plugins import RunPair
from rft.plugins.performance.audit import CLASS_BASED_METRICS, METRICS
from rft.predictions.row_values import row_values
from rft.predictions.table import PredictionArrays
from rft.records import CHANGE, About, Finding, FindingDefinition, Row, Section, list_columns
from rft.references import BONETT_PRICE, DELONG
from rft.stats import multiplicity
from rft.stats.paired import (
    PairedDifference,
    paired_auc_difference,
    paired_mean_difference,
    paired_share_difference,
)

CHANGED_METRICS = ("accuracy", "balanced_accuracy", "roc_auc", "log_loss")
FEW_OF_A_CLASS = "a class has fewer than 10 of the shared test examples, or fewer than 10 are of others"
COLUMNS = list_columns({"before": "key", "after": "key", "n": "count"})


def compare_performance(pair: RunPair) -> Section:
    """Return the change of each measure with a paired interval, and how many predictions became right and wrong."""
    before, after = (PredictionArrays.from_frame(frame, pair.classes) for frame in (pair.before, pair.after))
    return Section(
        plugin="performance",
        title="Performance on the same test examples",
        findings=tuple(_state_changes(before, after, pair)),
        tables={"right_and_wrong": _count_right_and_wrong(before, after)},
        columns={"right_and_wrong": COLUMNS},
        captions={"right_and_wrong": "Test examples by whether either model is right"},
    )


def _state_changes(before: PredictionArrays, after: PredictionArrays, pair: RunPair) -> Iterator[Finding]:
    hidden = bool(pair.withheld.classes_of("test"))
    for name in CHANGED_METRICS:
        by_class = name in CLASS_BASED_METRICS
        definition = FindingDefinition(
            f"{CHANGE}performance.{name}",
            f"{METRICS[name].title}: change",
            f"{METRICS[name].title} of {pair.names[1]} minus that of {pair.names[0]}, on the same test examples.",
            unit=METRICS[name].unit,
            about=About(metric=name, classes="all" if by_class else ()),
            references=(DELONG,) if name == "roc_auc" else () if name == "log_loss" else (BONETT_PRICE,),
            better=METRICS[name].better,
            cases="none",
        )
        difference = pair.withheld.reason if hidden and by_class else _measure_difference(name, before, after, pair)
        if isinstance(difference, str):
            yield definition.state_not_measured(difference)
            continue
        yield definition.state_estimate(
            difference.value,
            interval=difference.confidence_interval(),
            adjusted=multiplicity.adjust_where_defined(difference.confidence_interval),
            n=before.n,
        )


def _measure_difference(
    name: str, before: PredictionArrays, after: PredictionArrays, pair: RunPair
) -> PairedDifference | str:
    """Return the difference of a measure, or why there is none."""
    if name in ("accuracy", "balanced_accuracy"):
        return _measure_difference_of_shares(name, before, after)
    if before.scores is None or after.scores is None:
        return before.no_scores or after.no_scores
    if name == "log_loss":
        return paired_mean_difference(row_values(name, before, None), row_values(name, after, None), before.units)
    columns = _list_judged_classes(pair)
    labels = before.labels[:, None] == np.array(columns)
    scores = before.scores[:, columns], after.scores[:, columns]
    return paired_auc_difference(*scores, labels, before.units) or FEW_OF_A_CLASS


def _measure_difference_of_shares(
    name: str, before: PredictionArrays, after: PredictionArrays
) -> PairedDifference | str:
    if name == "accuracy":
        strata = np.zeros_like(before.labels)
    elif before.confusion.sum(axis=1).all():
        strata = before.labels
    else:
        return "a class has no shared test examples"
    was_right, is_right = (rows.predictions == rows.labels for rows in (before, after))
    return paired_share_difference(was_right, is_right, strata, before.units)


def _list_judged_classes(pair: RunPair) -> list[int]:
    """Return the class whose area is meant where there are two, all otherwise: as in the audit of each run."""
    if len(pair.classes) > 2:
        return list(range(len(pair.classes)))
    return [len(pair.classes) - 1 if pair.positive is None else pair.classes.index(pair.positive)]


def _count_right_and_wrong(before: PredictionArrays, after: PredictionArrays) -> list[Row]:
    first, second = (rows.predictions == rows.labels for rows in (before, after))
    words = {True: "right", False: "wrong"}
    return [
        {"before": words[was], "after": words[now], "n": int(np.count_nonzero((first == was) & (second == now)))}
        for was in (True, False)
        for now in (True, False)
    ]
