"""Every metric against an independent implementation of it. A metric without one is refused here."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rft.plugins.fairness.measure.group_metrics import SampleSizeRules, measure_groups
from rft.predictions.grouped import ClassTarget, GroupedPredictions
from rft.predictions.table import Grouping, PredictionArrays
from rft.stats.scores.classification import METRICS, Metric
from tests.support import ROOT

PeerFunction = Callable[[np.ndarray, np.ndarray], float]
NO_LIMITS = SampleSizeRules(1, 1)


def loop_over_calibration_bins(truth: np.ndarray, scores: np.ndarray) -> float:
    """Return the debiased root-mean-square calibration error of (N,) scores without ties, row by row.

    Source: Kumar, Liang and Ma 2019, NeurIPS, section 4.1: 15 bins of equal numbers of rows, of 10 rows or more.
    """
    ranked = sorted(zip(scores.tolist(), truth.tolist(), strict=True))
    n_bins = min(15, len(ranked) // 10)
    edges = [int(number * len(ranked) / n_bins) for number in range(n_bins + 1)]
    squared = 0.0
    for start, end in pairwise(edges):
        size = end - start
        rate = sum(outcome for _, outcome in ranked[start:end]) / size
        score = sum(score for score, _ in ranked[start:end]) / size
        squared += size / len(ranked) * ((rate - score) ** 2 - rate * (1 - rate) / (size - 1))
    return float(max(squared, 0.0) ** 0.5)


WRITTEN_OUT: dict[str, PeerFunction] = {"Kumar, Liang and Ma 2019, section 4.1": loop_over_calibration_bins}


def peer_of(metric: Metric) -> PeerFunction:
    """Return the function that a metric is held against; fails where the metric names none, or rft's own."""
    if metric.peer.function in WRITTEN_OUT:
        return WRITTEN_OUT[metric.peer.function]
    module, _, name = metric.peer.function.rpartition(".")
    assert module, f"{metric.name} has no peer: name a function of scikit-learn or Fairlearn, or write one out here"
    assert module.partition(".")[0] != "rft", f"{metric.name} is no peer of itself"
    function = getattr(
        pytest.importorskip(module) if module.startswith("fairlearn") else importlib.import_module(module), name
    )
    return partial(function, **metric.peer.arguments)


def random_predictions(seed: int, k: int, n: int = 900) -> tuple[PredictionArrays, Grouping]:
    """Return N rows of K classes with scores, right more often than not, in three groups of unequal size."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, k, n)
    logits = rng.standard_normal((n, k)) + 1.2 * np.eye(k)[labels]
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    rows = PredictionArrays(tuple("abcdefgh"[:k]), labels, scores.argmax(axis=1), scores)
    return rows, Grouping.from_values("place", pd.Series(rng.choice(list("xyz"), n, p=(0.5, 0.3, 0.2))))


def values_of(rows: PredictionArrays, groups: Grouping, metric: Metric, target: ClassTarget) -> list[float | None]:
    grouped = GroupedPredictions(rows, groups)
    return [group.value for group in measure_groups(grouped, metric.name, target, size_rules=NO_LIMITS, positive=0)]


def expected_of(rows: PredictionArrays, groups: Grouping, metric: Metric, positive: int | None) -> list[float]:
    """Return the peer's value of each group: of one class against the rest, or of all classes."""
    assert rows.scores is not None
    truth = rows.labels if positive is None else (rows.labels == positive).astype(int)
    if metric.needs_scores:
        predicted = rows.scores if positive is None else rows.scores[:, positive]
    else:
        predicted = rows.predictions if positive is None else (rows.predictions == positive).astype(int)
    masks = [groups.codes == group for group in range(len(groups.names))]
    return [float(peer_of(metric)(truth[mask], predicted[mask])) for mask in masks]


@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
def test_each_metric_is_what_its_peer_says(metric: Metric, k: int) -> None:
    rows, groups = random_predictions(k, k)
    if not metric.of_class:
        expected = expected_of(rows, groups, metric, None)
        assert values_of(rows, groups, metric, ClassTarget(None, None)) == pytest.approx(expected)
        return
    by_class = []
    for index, name in enumerate(rows.classes):
        by_class.append(expected_of(rows, groups, metric, index))
        assert values_of(rows, groups, metric, ClassTarget(index, name)) == pytest.approx(by_class[-1])
    if metric.has_macro:
        mean = np.mean(by_class, axis=0)
        assert values_of(rows, groups, metric, ClassTarget(None, None)) == pytest.approx(mean)


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
def test_each_record_is_whole(metric: Metric) -> None:
    assert metric.label
    assert metric.definition[0].islower()
    assert ("{c}" in metric.definition) == metric.of_class
    parts = {"ratio": metric.share or metric.average_of, "mean": metric.row_value}
    assert parts.get(metric.kind, True), "what it is computed from"
    assert not (metric.has_macro and not metric.of_class)


@pytest.mark.parametrize(
    ("name", "positive", "of_two", "of_three"),
    [
        ("accuracy", None, (), ()),
        ("selection_rate", 0, (), ()),
        ("mean_score", 0, (), ()),
        ("tpr", 0, ("a",), ("a",)),
        ("fnr", 0, ("a",), ("a",)),
        ("fpr", 0, ("b",), ()),
        ("precision", 0, ("a", "b"), ("a",)),
        ("roc_auc", 0, ("a", "b"), ("a",)),
        ("tpr", None, "all", "all"),
        ("balanced_accuracy", None, "all", "all"),
    ],
)
def test_a_metric_says_which_classes_it_rests_on(name: str, positive: int | None, of_two: Any, of_three: Any) -> None:
    assert METRICS[name].list_single_classes(("a", "b"), positive) == of_two
    assert METRICS[name].list_single_classes(("a", "b", "c"), positive) == of_three


def test_the_docs_list_every_metric_as_its_record_has_it() -> None:
    page = (ROOT / "docs" / "fairness.md").read_text(encoding="utf-8")
    listed = [line.split(" | ") for line in page.splitlines() if "| `" in line and line.startswith("| ")]
    of_metrics = {cells[1].strip("`"): cells for cells in listed if cells[1].strip("`") in METRICS}
    assert list(of_metrics) == list(METRICS)
    for name, metric in METRICS.items():
        heading, definition = of_metrics[name][0].removeprefix("| "), of_metrics[name][2]
        assert heading == (metric.abbreviation or metric.label)
        assert definition == metric.definition.format(c="the class")


def test_a_record_without_a_peer_is_refused() -> None:
    from rft.stats.scores.classification import Peer

    for function in ("", "accuracy", "rft.stats.rates.Rate"):
        nobody = Metric("sensitivity", "sensitivity", "the share that is given {c}", Peer(function))
        with pytest.raises(AssertionError, match="peer"):
            peer_of(nobody)
