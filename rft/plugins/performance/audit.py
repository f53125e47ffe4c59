"""From predictions to the section: findings about ``test``, with ``train`` beside it in a table.

The values of train describe the examples that the model was fitted to. They carry no interval; they are there to make
overfitting visible.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from rft.disclosure.withheld import Withheld
from rft.errors import Unavailable
from rft.plugins import Subject
from rft.plugins.performance import measures as measured
from rft.plugins.performance import tables
from rft.plugins.performance.measures import Measure, Scored
from rft.records import Finding, Section, Table, not_measured
from rft.stats import intervals
from rft.stats.auc import DELONG, OBUCHOWSKI

BY_CLASS = ("balanced_accuracy", "macro_f1", "roc_auc", "baseline_accuracy")  # made of numbers of single classes
TIE = 1e-9  # by which a probability may lie below the highest and be as high


def audit(subject: Subject, *, bins: int) -> Section:
    """Return the section; raises ``Unavailable`` when there are no test rows or a row has no known class."""
    subject.withheld.require("test")
    test, train = _read(subject, "test", bins), _read(subject, "train", bins)
    if test is None:
        raise Unavailable("the predictions hold no rows of the split test")
    majority = measured.majority(train) if train else None
    measures = {
        name: _shown(_measure(rows, majority, subject.seed), subject.withheld, name)
        for name, rows in (("test", test), ("train", train))
        if rows and name not in subject.withheld.splits
    }
    return Section(
        plugin="performance",
        title="Performance",
        findings=(*_findings(measures["test"]), *_against_scores(subject, test)),
        tables={"metrics": _metrics_table(measures), **tables.of(test, subject.withheld)},
        captions=tables.CAPTIONS,
        figures=tables.figures(test),
    )


def _read(subject: Subject, split: str, bins: int) -> Scored | None:
    frame = subject.predictions[subject.predictions["split"] == split]
    if frame.empty:
        return None
    classes, positive = subject.facts.classes, subject.facts.positive
    labels, predictions = (_codes(frame[column], classes) for column in ("label", "prediction"))
    if unknown := int(np.sum((labels < 0) | (predictions < 0))):
        raise Unavailable(f"{unknown} of {len(frame)} {split} rows have no label or prediction among the classes")
    scores, no_scores = _scores(frame, classes)
    return Scored(
        classes=classes,
        positive=classes.index(positive) if positive is not None else len(classes) - 1,
        labels=labels,
        predictions=predictions,
        scores=scores,
        no_scores=no_scores,
        units=_units(frame),
        bins=bins,
        least_in_bin=subject.withheld.below,
    )


def _shown(measures: Mapping[str, Measure], withheld: Withheld, split: str) -> dict[str, Measure]:
    """Return the measures without those that are made of numbers of single classes, where some of these are withheld.

    A mean over classes, the totals and the other classes would give the numbers of a withheld class.
    """
    hidden = bool(withheld.classes_of(split))
    return {
        name: Measure(None, own.n, reason=withheld.reason) if hidden and name in BY_CLASS else own
        for name, own in measures.items()
    }


def _codes(column: pd.Series, classes: tuple[str, ...]) -> np.ndarray:
    """Return (N,) indices into the classes, -1 for anything else."""
    return pd.Categorical(column, categories=list(classes)).codes.astype(np.int64)


def _units(frame: pd.DataFrame) -> np.ndarray | None:
    """Return codes of units, or None when no unit has two rows; a row without a unit stands for itself."""
    known = frame["unit"].notna().to_numpy()
    if not known.any():
        return None
    owners = frame["unit"] if known.all() else frame["unit"].where(known, frame["id"])
    codes, names = pd.factorize(owners)
    return codes if len(names) < len(codes) else None


def _scores(frame: pd.DataFrame, classes: tuple[str, ...]) -> tuple[np.ndarray | None, str]:
    columns = [f"score_{name}" for name in classes]
    if absent := [column for column in columns if column not in frame]:
        return None, f"the predictions have no column {absent[0]}"
    scores = frame[columns].to_numpy(np.float64)
    if bad := int(np.sum(~np.isfinite(scores).all(axis=1))):
        return None, f"{bad} of {len(frame)} rows have a probability that is not a number"
    return scores, ""


@dataclass(frozen=True)
class Metric:
    """What a metric is called and how it is explained."""

    title: str
    meaning: str
    measure: Callable[[Scored, np.random.Generator], Measure] | None  # None: needs more than the rows
    unit: str = "fraction"
    limits: str = ""
    references: tuple[str, ...] = ()


_RESAMPLED = ("Korn and Graubard 1998, Surv. Methodol. 24:193",)
METRICS: Mapping[str, Metric] = {
    "accuracy": Metric(
        "Accuracy",
        "The share of test examples that got the right class.",
        measured.accuracy,
        limits="Says little when one class is much more frequent than the others.",
        references=(intervals.WILSON,),
    ),
    "balanced_accuracy": Metric(
        "Balanced accuracy",
        "The share of test examples that got the right class, each class counting the same.",
        measured.balanced_accuracy,
        references=_RESAMPLED,
    ),
    "macro_f1": Metric(
        "Macro F1",
        "The harmonic mean of precision and recall of each class, averaged over the classes.",
        measured.macro_f1,
        references=_RESAMPLED,
    ),
    "roc_auc": Metric(
        "ROC AUC",
        "How often the score of a class is higher for an example of that class than for one of another; 0.5 is chance.",
        measured.roc_auc,
        references=(DELONG, OBUCHOWSKI),
    ),
    "log_loss": Metric(
        "Log loss",
        "The mean of minus the logarithm of the probability given to the right class; 0 is best.",
        measured.log_loss,
        unit="nats",
        limits="A few confident mistakes dominate it; its interval is then too short.",
    ),
    "calibration_error": Metric(
        "Calibration error",
        "How far the confidence in the predicted class lies from the share of predictions that are right, on average.",
        measured.calibration_error,
        limits="It is above 0 for every finite sample and has no interval, because resampling it is biased upward.",
        references=("Guo et al. 2017, ICML", "Bröcker and Smith 2007, Weather Forecast. 22:651"),
    ),
    "baseline_accuracy": Metric(
        "Accuracy of the majority class",
        "The share of test examples that are right when every one is given the most frequent class of train.",
        None,
        references=(intervals.WILSON,),
    ),
}


def _measure(rows: Scored, majority: int | None, seed: int) -> dict[str, Measure]:
    rng = np.random.default_rng(seed)
    measures = {name: metric.measure(rows, rng) for name, metric in METRICS.items() if metric.measure}
    return measures | {"baseline_accuracy": measured.baseline(rows, majority)}


def _findings(measures: Mapping[str, Measure]) -> tuple[Finding, ...]:
    accuracy, baseline = measures["accuracy"], measures["baseline_accuracy"].value
    if baseline is not None and accuracy.interval is not None and accuracy.interval.low <= baseline:
        remark = f"Its interval does not lie above {baseline:.3f}, the accuracy of always giving one class."
        measures = {**measures, "accuracy": replace(accuracy, warn=True, remark=remark)}
    return tuple(_finding(name, measure) for name, measure in measures.items())


def _finding(name: str, measure: Measure) -> Finding:
    metric, id = METRICS[name], f"performance.{name}"
    if measure.value is None:
        return not_measured(id, metric.title, measure.reason or "", metric.meaning, n=measure.n)
    return Finding(
        id=id,
        title=metric.title,
        status="warn" if measure.warn else "info",
        value=measure.value,
        unit=metric.unit,
        interval=measure.interval,
        adjusted=measure.adjusted,
        by_class=name in BY_CLASS or (name == "accuracy" and bool(measure.remark)),  # which names the baseline
        n=measure.n,
        meaning=f"{metric.meaning} {measure.remark}".rstrip(),
        limits=metric.limits,
        references=metric.references,
    )


def _against_scores(subject: Subject, rows: Scored) -> Iterator[Finding]:
    """Give the count of decisions for a class that is not the most probable, where decisions came from elsewhere."""
    if subject.model is not None or rows.scores is None:
        return
    own = rows.scores[np.arange(len(rows.labels)), rows.predictions]
    against, n = int(np.count_nonzero(own < rows.scores.max(axis=1) - TIE)), len(rows.labels)
    yield Finding(
        id="performance.decisions_against_scores",
        title="Decisions against the scores",
        status="warn" if against else "info",
        value=against,
        unit="examples",
        exact=True,
        n=n,
        meaning=f"{against} of {n} test examples were given a class that is not the most probable by their scores."
        + (" A threshold other than one half does so, and so do columns that were mixed up." if against else ""),
        limits="Accuracy and its relatives are of the decisions; ROC AUC, log loss and calibration are of the scores.",
    )


def _metrics_table(measures: Mapping[str, Mapping[str, Measure]]) -> Table:
    return [
        {
            "split": split,
            "metric": name,
            "unit": METRICS[name].unit,
            "value": measure.value,
            "low": measure.interval.low if measure.interval and split == "test" else None,
            "high": measure.interval.high if measure.interval and split == "test" else None,
            "n": measure.n,
        }
        for split, own in measures.items()
        for name, measure in own.items()
    ]
