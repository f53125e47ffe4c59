"""How performance differs between two runs on the same test examples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score, log_loss, roc_auc_score

from rft.disclosure.withheld import Withheld
from rft.plugins import RunPair
from rft.plugins.performance.audit import METRICS
from rft.plugins.performance.change import compare_performance
from rft.stats.scores import classification

CLASSES = ("a", "b", "c")


def pair_of(n: int = 300, classes: tuple[str, ...] = CLASSES) -> RunPair:
    """Return two models of which the second is the better one."""
    rng = np.random.default_rng(0)
    labels = rng.integers(len(classes), size=n)
    frames = []
    for skill in (0.5, 2.0):
        scores = np.exp(rng.normal(size=(n, len(classes))) + skill * np.eye(len(classes))[labels])
        scores /= scores.sum(axis=1, keepdims=True)
        frame = {"label": np.array(classes)[labels], "prediction": np.array(classes)[scores.argmax(axis=1)]}
        columns = {f"score_{name}": scores[:, index] for index, name in enumerate(classes)}
        frames.append(pd.DataFrame({**frame, **columns, "unit": [f"u{row}" for row in range(n)]}))
    return RunPair(frames[0], frames[1], classes, None, ("first", "second"), 0)


def test_changes_are_those_of_scikit_learn() -> None:
    pair = pair_of()
    section = compare_performance(pair)
    values: dict[str, float] = {}
    for frame, sign in ((pair.before, -1), (pair.after, 1)):
        scores = frame[[f"score_{name}" for name in CLASSES]].to_numpy()
        measured = {
            "accuracy": float((frame["label"] == frame["prediction"]).mean()),
            "balanced_accuracy": balanced_accuracy_score(frame["label"], frame["prediction"]),
            "roc_auc": roc_auc_score(frame["label"], scores, multi_class="ovr"),
            "log_loss": log_loss(frame["label"], scores, labels=list(CLASSES)),
        }
        values = {name: values.get(name, 0.0) + sign * value for name, value in measured.items()}
    for name, value in values.items():
        finding = section.finding(f"change.performance.{name}")
        assert finding.value == pytest.approx(value)
        assert finding.interval is not None
        assert finding.interval.low < value < finding.interval.high
        assert finding.adjusted


def test_right_and_wrong_are_counted_once() -> None:
    pair = pair_of()
    table = compare_performance(pair).tables["right_and_wrong"]
    assert sum(int(row["n"] or 0) for row in table) == 300
    right = (pair.before["label"] == pair.before["prediction"]).sum()
    assert sum(int(row["n"] or 0) for row in table if row["before"] == "right") == right


def test_decisions_alone_have_no_change_of_scores() -> None:
    pair = pair_of()
    bare = pair.after.drop(columns="score_b")
    section = compare_performance(replace(pair, after=bare))
    assert section.finding("change.performance.roc_auc").reason == "the predictions have no column score_b"
    assert section.finding("change.performance.accuracy").value is not None


def test_a_class_without_examples_leaves_balanced_accuracy_open() -> None:
    pair = pair_of(classes=("a", "b"))
    section = compare_performance(replace(pair, classes=CLASSES))
    assert section.finding("change.performance.balanced_accuracy").reason == "a class has no shared test examples"


def test_withheld_classes_withhold_what_is_made_of_them() -> None:
    withheld = Withheld(10, classes={"test": frozenset({"a", "b"})})
    section = compare_performance(replace(pair_of(), withheld=withheld))
    for name, shown in (("accuracy", True), ("balanced_accuracy", False), ("roc_auc", False), ("log_loss", True)):
        assert (section.finding(f"change.performance.{name}").value is not None) == shown


def test_the_better_side_is_that_of_the_metrics_of_groups() -> None:
    shared = METRICS.keys() & classification.METRICS.keys()
    assert {"accuracy", "balanced_accuracy", "roc_auc", "log_loss"} <= shared
    for name in shared:
        assert METRICS[name].better == classification.METRICS[name].direction
