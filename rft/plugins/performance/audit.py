"""From predictions to the section: findings about ``test``, with ``train`` beside it in a table.

The values of train describe the examples that the model was fitted to. They carry no interval; they are there to make
overfitting visible.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from rft.disclosure.withheld import Withheld
from rft.errors import Unavailable
from rft.number_format import format_fixed
from rft.plugins import AuditedModel
from rft.plugins.performance import measures as measured
from rft.plugins.performance import tables
from rft.plugins.performance.measures import Measure, Split
from rft.predictions.table import PredictionArrays
from rft.records import About, Better, Finding, FindingDefinition, Section, Table, TrainingMode
from rft.references import BROECKER_SMITH, DELONG, GUO, KISH_KORN_GRAUBARD, OBUCHOWSKI, WILSON
from rft.stats.scores.calibration import SMALL_CALIBRATION_ERROR

CLASS_BASED_METRICS = (
    "balanced_accuracy",
    "macro_f1",
    "roc_auc",
    "baseline_accuracy",
)  # made of numbers of single classes
TIE_TOLERANCE = 1e-9  # by which a probability may lie below the highest and be as high


def audit(audited: AuditedModel, *, bins: int) -> Section:
    """Return the section; raises ``Unavailable`` when there are no test rows or a row has no known class."""
    audited.withheld.require_split("test")
    test, train = _read_split(audited, "test", bins), _read_split(audited, "train", bins)
    if test is None:
        raise Unavailable("the predictions hold no rows of the split test")
    majority = measured.majority_class(train.rows.labels) if train else None
    measures = {
        name: _withhold_by_class(_measure_split(split, majority, audited.seed), audited.withheld, name)
        for name, split in (("test", test), ("train", train))
        if split and name not in audited.withheld.splits
    }
    repeats = any(split and split.rows.units is not None for split in (test, train))
    counted = audited.facts.name_units(declared=repeats)
    findings = (
        *_all_findings(measures["test"], audited.facts.training.mode),
        *_against_scores(audited, test.rows),
    )
    test_tables = tables.test_tables(test, audited.withheld)
    return Section(
        plugin="performance",
        title="Performance",
        findings=findings,
        tables={"metrics": _metrics_table(measures), **test_tables},
        computed_from={
            **dict.fromkeys([*(finding.id for finding in findings), *test_tables], "test"),
            "metrics": "by_split",
        },
        columns=tables.declare_columns({name: metric.title for name, metric in METRICS.items()}, counted),
        captions=tables.CAPTIONS | ({"metrics": tables.WITH_TRAIN} if "train" in measures else {}),
        figures=tables.test_figures(test.rows),
    )


def _read_split(audited: AuditedModel, name: str, bins: int) -> Split | None:
    frame = audited.predictions[audited.predictions["split"] == name]
    if frame.empty:
        return None
    classes, positive = audited.facts.classes, audited.facts.positive
    index = classes.index(positive) if positive is not None else len(classes) - 1
    return Split(PredictionArrays.from_frame(frame, classes), index, bins, least_in_bin=audited.withheld.below)


def _withhold_by_class(measures: Mapping[str, Measure], withheld: Withheld, split: str) -> dict[str, Measure]:
    """Return the measures without those that are made of numbers of single classes, where some of these are withheld.

    A mean over classes, the totals and the other classes would give the numbers of a withheld class.
    """
    hidden = bool(withheld.classes_of(split))
    return {
        name: Measure(None, measure.n, reason=withheld.reason) if hidden and name in CLASS_BASED_METRICS else measure
        for name, measure in measures.items()
    }


@dataclass(frozen=True)
class Metric:
    """What a metric is called and how it is explained."""

    title: str
    description: str
    measure: Callable[[Split, np.random.Generator], Measure] | None  # None: needs more than the rows
    unit: str = "fraction"
    caveats: str = ""
    references: tuple[str, ...] = ()
    better: Better | None = None
    card_metric: str = ""  # as in ``Finding``


METRICS: Mapping[str, Metric] = {
    "accuracy": Metric(
        "Accuracy",
        "The share of test examples that got the right class.",
        measured.measure_accuracy,
        caveats="Says little when one class is much more frequent than the others.",
        references=(WILSON,),
        better="higher",
        card_metric="accuracy",
    ),
    "balanced_accuracy": Metric(
        "Balanced accuracy",
        "The share of test examples that got the right class, each class counting the same.",
        measured.measure_balanced_accuracy,
        references=(KISH_KORN_GRAUBARD,),
        better="higher",
        card_metric="balanced_accuracy",
    ),
    "macro_f1": Metric(
        "Macro F1",
        "The harmonic mean of precision and recall of each class, averaged over the classes.",
        measured.measure_macro_f1,
        references=(KISH_KORN_GRAUBARD,),
        better="higher",
        card_metric="f1",
    ),
    "roc_auc": Metric(
        "ROC AUC",
        "How often the score of a class is higher for an example of that class than for one of another; 0.5 is chance.",
        measured.measure_roc_auc,
        references=(DELONG, OBUCHOWSKI),
        better="higher",
        card_metric="roc_auc",
    ),
    "log_loss": Metric(
        "Log loss",
        "The mean of minus the logarithm of the probability given to the right class; 0 is best.",
        measured.measure_log_loss,
        unit="nats",
        caveats="A few confident mistakes dominate it; its interval is then too short.",
        better="lower",
        card_metric="log_loss",
    ),
    "ece": Metric(
        "Expected calibration error",
        "How far the confidence in the predicted class lies from the share of predictions that are right, on average.",
        measured.measure_ece,
        caveats="It is above 0 for every finite sample and has no interval, because resampling it is biased upward.",
        references=(GUO, BROECKER_SMITH),
        better="lower",
    ),
    "baseline_accuracy": Metric(
        "Accuracy of the majority class",
        "The share of test examples that are right when every one is given the most frequent class of train.",
        None,
        references=(WILSON,),
    ),
}


ACCURACY_REMEDY = "Have the model trained longer, with more layers unfrozen or from another backbone, and audit again."
EXTERNAL_REMEDY = "Have whoever trained the model train it further or otherwise, and audit again."  # unknown how it was
PRIVATE_REMEDY = (  # where training longer asks for more noise
    "Have the model trained on more examples, with a larger epsilon or with settings that suit noise "
    "(docs/privacy.md), and audit again."
)
REMEDIES: Mapping[TrainingMode, str] = {
    "standard": ACCURACY_REMEDY,
    "private": PRIVATE_REMEDY,
    "external": EXTERNAL_REMEDY,
}
CALIBRATION_REMEDY = (
    f"The probabilities that it gives are off by {SMALL_CALIBRATION_ERROR:g} or more on average: have them calibrated "
    "before anybody reads them as probabilities."
)


def _measure_split(split: Split, majority: int | None, seed: int) -> dict[str, Measure]:
    rng = np.random.default_rng(seed)
    measures = {name: metric.measure(split, rng) for name, metric in METRICS.items() if metric.measure}
    return measures | {"baseline_accuracy": measured.measure_baseline(split.rows, majority)}


def _all_findings(measures: Mapping[str, Measure], mode: TrainingMode) -> tuple[Finding, ...]:
    accuracy, baseline = measures["accuracy"], measures["baseline_accuracy"].value
    if baseline is not None and accuracy.interval is not None and accuracy.interval.low <= baseline:
        reached = format_fixed(baseline, 3)
        remark = f"Its interval does not lie above {reached}, the accuracy of always giving one class."
        measures = {**measures, "accuracy": replace(accuracy, warn=True, remark=remark)}
    remedy = REMEDIES[mode]
    return tuple(_build_finding(name, measure, remedy) for name, measure in measures.items())


def _about_metric(name: str, measure: Measure) -> About:
    by_class = name in CLASS_BASED_METRICS or (name == "accuracy" and bool(measure.remark))  # which names the baseline
    return About(metric=name, classes="all" if by_class else ())


def _build_finding(name: str, measure: Measure, remedy: str) -> Finding:
    metric = METRICS[name]
    definition = FindingDefinition(
        f"performance.{name}",
        metric.title,
        metric.description,
        unit=metric.unit,
        caveats=metric.caveats,
        references=metric.references,
        better=metric.better,
        headline=name == "accuracy",
        remedy=CALIBRATION_REMEDY if name == "ece" else remedy,
        card_metric=metric.card_metric,
    )
    if measure.value is None:
        return definition.state_not_measured(measure.reason or "", n=measure.n)
    return definition.state_estimate(
        measure.value,
        interval=measure.interval,
        adjusted=measure.adjusted,
        n=measure.n,
        status="warn" if measure.warn else "info",
        description=f"{metric.description} {measure.remark}".rstrip(),
        about=_about_metric(name, measure),
    )


def _against_scores(audited: AuditedModel, rows: PredictionArrays) -> Iterator[Finding]:
    """Give the count of decisions for a class that is not the most probable, where decisions came from elsewhere."""
    if audited.model is not None or rows.scores is None:
        return
    decided_scores = rows.scores[np.arange(len(rows.labels)), rows.predictions]
    against, n = int(np.count_nonzero(decided_scores < rows.scores.max(axis=1) - TIE_TOLERANCE)), len(rows.labels)
    definition = FindingDefinition(
        "performance.decisions_against_scores",
        "Decisions against the scores",
        f"{against} of {n} test examples were given a class that is not the most probable by their scores."
        + (" A threshold other than one half does so, and so do columns that were mixed up." if against else ""),
        unit="examples",
        caveats="Accuracy and its relatives are of the decisions; ROC AUC, log loss and calibration are of the scores.",
    )
    yield definition.state_count(against, n=n, status="warn" if against else "info")


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
        for split, measures_of_split in measures.items()
        for name, measure in measures_of_split.items()
    ]
