"""Labels that look wrong: planted errors come first, as fits without each unit say; and what is not said of whom."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import RidgeCV

import rft
from rft.backbones import classifier
from rft.disclosure.withheld import NOTHING, Withheld
from rft.errors import ConfigError, Unavailable
from rft.features import Dense
from rft.pipeline.plan import read_plan
from rft.pipeline.stages import check_plan
from rft.plugins.label_errors import LabelErrors, LabelErrorsOptions
from rft.plugins.label_errors.ranking import PLANTED_SHARE, PLANTINGS, LabelRanker
from rft.plugins.training_vectors import LabelledExamples
from rft.records import Section, Split
from rft.stats.ridge import PENALTIES
from rft.training import Recipe, Task
from tests.conftest import write_images

CLASSES = ("cat", "dog", "fox")


def some_examples(n: int = 300, *, strength: float = 1.0, per_unit: int = 1) -> LabelledExamples:
    """Three classes in 20 dimensions, ``strength`` standard deviations apart; half of the groups are blue."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, n // per_unit).repeat(per_unit)
    features = rng.normal(size=(n, 20)) + strength * rng.normal(size=(3, 20))[labels]
    if per_unit > 1:  # the rows of a unit are nearly the same
        features = features[::per_unit].repeat(per_unit, axis=0) + 0.01 * rng.normal(size=(n, 20))
    units = None if per_unit == 1 else np.arange(n // per_unit).repeat(per_unit).astype(str).astype(object)
    ids = np.array([f"photo-{row}" for row in range(n)], dtype=object)
    groups = {"tone": np.array(["blue", "red"] * (n // 2), dtype=object)}
    return LabelledExamples(features.astype(np.float32), labels, ids, units, groups, n, np.arange(n))


def audit_labels(
    examples: LabelledExamples, *, share: float = 0.05, shown: bool = False, withheld: Withheld = NOTHING
) -> Section:
    """Audit a stand-in for a model that has nothing but what the plugin is to look at."""
    split = Split("train", examples.ids, [], examples.labels, examples.groups, examples.units)
    features, labels = Dense(torch.from_numpy(examples.features)), torch.from_numpy(examples.labels)
    recipe = Recipe(1, "sgd", 0.1, 0.0, 0.0, 8)
    new_head = partial(classifier.new_head, features.tensor.shape[1], len(CLASSES), False)
    audited: Any = SimpleNamespace(
        facts=SimpleNamespace(classes=CLASSES),
        seed=0,
        splits={"train": split},
        require_features=lambda: {"train": features},
        require_task=lambda: Task(features, labels, examples.units, new_head, recipe),
        show_examples=shown,
        withheld=withheld,
    )
    return LabelErrors().audit(audited, LabelErrorsOptions(review_share=share))


def with_labels(examples: LabelledExamples, labels: np.ndarray) -> LabelledExamples:
    return replace(examples, labels=labels)


def test_margins_are_those_of_fits_without_the_example() -> None:
    examples = some_examples(90)
    centred = examples.features.astype(np.float64) - examples.features.mean(axis=0, dtype=np.float64)
    scaled, targets = centred / np.sqrt((centred**2).sum(axis=1).mean()), np.eye(3)[examples.labels]
    penalty = RidgeCV(alphas=PENALTIES).fit(scaled, targets).alpha_  # by the same errors
    margins, rivals = np.empty(90), np.empty(90, dtype=int)
    for row in range(90):
        others = np.arange(90) != row
        fitted = RidgeCV(alphas=[penalty], cv=None).fit(scaled[others], targets[others])
        scores = fitted.predict(scaled[row : row + 1])[0]
        label = examples.labels[row]
        rivals[row] = max((index for index in range(3) if index != label), key=lambda index: scores[index])
        margins[row] = scores[label] - scores[rivals[row]]
    ranking = LabelRanker(examples, 3, 0.1).rank()
    np.testing.assert_allclose(ranking.margins, margins, atol=1e-6)
    assert (ranking.rivals == rivals).all()
    assert ranking.reviewed.tolist() == np.argsort(margins, kind="stable")[:9].tolist()


def test_labels_that_were_made_wrong_come_first_and_as_often_as_promised() -> None:
    """The promise is made from labels that hold no error; errors drawn anew are then found as often."""
    examples = some_examples(400, strength=0.6)
    finding = audit_labels(examples).findings[0]
    assert finding.id == "label_errors.planted_recall"
    rng, shares = np.random.default_rng(7), []
    for _ in range(40):
        wrong = rng.choice(400, round(PLANTED_SHARE * 400), replace=False)
        labels = examples.labels.copy()
        labels[wrong] = (labels[wrong] + rng.integers(1, 3, len(wrong))) % 3
        reviewed = LabelRanker(with_labels(examples, labels), 3, 0.05).rank().reviewed
        shares.append(np.isin(wrong, reviewed).mean())
    assert 0.3 < finding.value < 0.95  # a task in which something is missed
    assert finding.value == pytest.approx(np.mean(shares), abs=0.06)
    assert finding.interval.low < finding.value < finding.interval.high
    assert finding.n == PLANTINGS * round(PLANTED_SHARE * 400)


def test_features_that_say_nothing_of_the_class_give_a_list_of_no_use() -> None:
    recall, contradicted = audit_labels(some_examples(strength=0.0)).findings
    assert recall.value < 0.15
    assert recall.status == "warn"
    assert "no use here" in recall.description
    assert contradicted.value > 150
    assert audit_labels(some_examples(strength=2.0)).findings[0].status == "info"


def test_the_other_rows_of_a_unit_do_not_vouch_for_a_wrong_label() -> None:
    """All three photos of a person have the same wrong label, and are nearly the same photo."""
    examples = some_examples(300, strength=1.5, per_unit=3)
    labels = examples.labels.copy()
    labels[30:33] = (labels[30:33] + 1) % 3
    by_unit = LabelRanker(with_labels(examples, labels), 3, 0.05).rank()
    assert {30, 31, 32} <= set(by_unit.reviewed.tolist())
    vouched = replace(examples, labels=labels, units=None)
    assert LabelRanker(vouched, 3, 0.05).rank().margins[30] > by_unit.margins[30] + 0.1


def test_groups_are_counted_as_they_are() -> None:
    examples = some_examples(400, strength=0.8)
    labels = examples.labels.copy()
    wrong = np.arange(0, 40, 2)  # all of them blue
    labels[wrong] = (labels[wrong] + 1) % 3
    section = audit_labels(with_labels(examples, labels))
    rows = {row["group"]: row for row in section.tables["by_group"]}
    reviewed = LabelRanker(with_labels(examples, labels), 3, 0.05).rank().reviewed
    assert rows["blue"]["listed"] == int((reviewed % 2 == 0).sum()) > rows["red"]["listed"]
    assert rows["blue"]["listed"] + rows["red"]["listed"] == 20
    assert rows["blue"]["n"] == rows["red"]["n"] == 200
    for row in rows.values():
        low, recall, high = (float(str(row[name])) for name in ("low", "recall", "high"))
        assert low < recall < high
    assert sum(int(str(row["n"])) for row in section.tables["pairs"]) == 20


def test_ids_are_shown_only_where_examples_may_be() -> None:
    examples = some_examples()
    hidden, shown = audit_labels(examples), audit_labels(examples, shown=True)
    assert "photo-" not in hidden.model_dump_json()
    assert "show_examples" in hidden.notes[-1]
    listed = shown.tables["review"]
    assert [row["place"] for row in listed] == list(range(1, 16))
    worst = LabelRanker(examples, 3, 0.05).rank().reviewed[0]
    assert listed[0]["id"] == f"photo-{worst}"
    assert listed[0]["label"] == CLASSES[examples.labels[worst]] != listed[0]["looks_like"]


def test_small_counts_stay_where_they_are() -> None:
    examples = some_examples(400, strength=0.8)
    section = audit_labels(examples, withheld=Withheld(below=30))  # about ten of either group are listed
    assert "pairs" not in section.tables
    assert [row["status"] for row in section.tables["by_group"]] == ["suppressed: fewer than 30"] * 2
    assert all(row["listed"] is None and row["recall"] is None for row in section.tables["by_group"])


def test_a_training_split_that_is_withheld_is_not_ranked() -> None:
    with pytest.raises(Unavailable, match="suppressed"):
        audit_labels(some_examples(), withheld=Withheld(below=1000, splits=frozenset({"train"})))


@pytest.mark.parametrize(
    ("examples", "reason"),
    [
        (some_examples(30), "30 training examples are fewer than 50"),
        (with_labels(some_examples(60), np.ones(60, dtype=np.int64)), "the same label"),
        (some_examples(60, per_unit=60), "of one unit"),
    ],
)
def test_what_cannot_be_ranked_says_why(examples: LabelledExamples, reason: str) -> None:
    if reason == "of one unit":
        examples = with_labels(examples, np.arange(60) % 3)
    with pytest.raises(Unavailable, match=reason):
        audit_labels(examples)


def test_an_audit_ranks_its_training_labels(tiny: Path) -> None:
    write_images(tiny.parent / "data", n=120)
    tiny.write_text(f"{tiny.read_text(encoding='utf-8')}\n[label_errors]\nreview_share = 0.1\n", encoding="utf-8")
    run = rft.audit(tiny, tiny.parent / "run")
    assert run.finding("label_errors.planted_recall").value > 0.9  # red and blue are told apart
    assert run.finding("label_errors.contradicted").value == 0
    page = (tiny.parent / "run" / "report.html").read_text(encoding="utf-8")
    assert "Labels that look wrong" in page


@pytest.mark.slow
def test_more_than_a_head_is_not_ranked_and_says_so(tiny: Path) -> None:
    write_images(tiny.parent / "data", n=120)
    config = tiny.read_text(encoding="utf-8").replace("[model]", '[model]\nfreeze = "layer4"')
    tiny.write_text(f"{config.replace('epochs = 5', 'epochs = 1')}\n[label_errors]\n", encoding="utf-8")
    section = next(section for section in rft.audit(tiny).sections if section.plugin == "label_errors")
    assert "no single vector" in section.model_dump_json()


def test_it_is_refused_beside_a_promise_of_privacy(tiny: Path) -> None:
    config = tiny.read_text(encoding="utf-8").replace("[data]", '[data]\nclasses = ["red", "blue"]')
    tiny.write_text(f"{config}\n[label_errors]\n[privacy]\nepsilon = 3.0\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"\[label_errors\].*fits to the training data"):
        check_plan(read_plan(tiny, []))
