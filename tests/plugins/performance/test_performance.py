"""The performance plugin: scikit-learn wherever it is defined, and reasons where it is not."""

from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sklearn

from rft.errors import Unavailable
from rft.plugins import AuditedModel, Plugin
from rft.plugins.performance import Performance, PerformanceOptions
from rft.plugins.performance.measures import approximate_errors, simulated_errors
from rft.records import ModelFacts, Section, Training
from rft.stats import intervals
from rft.stats.scores.calibration import equal_mass_bins, expected_calibration_error

NAMES = ("accuracy", "balanced_accuracy", "macro_f1", "roc_auc", "log_loss", "ece", "baseline_accuracy")


def predictions(labels, scores: np.ndarray, classes, *, split: str = "test", units=None) -> pd.DataFrame:
    """Return a table of predictions from class indices and (N, K) probabilities."""
    names = np.array(list(classes), dtype=object)
    columns = {
        "split": split,
        "id": [f"{split}-{row}" for row in range(len(labels))],
        "unit": units,
        "label": names[np.asarray(labels)],
        "prediction": names[scores.argmax(axis=1)],
    }
    return pd.DataFrame(columns | {f"score_{name}": scores[:, index] for index, name in enumerate(classes)})


def audit(*frames: pd.DataFrame, classes, positive: str | None = None, **options) -> Section:
    facts = ModelFacts(
        name="toy", modality="image", classes=tuple(classes), positive=positive, training=Training(mode="external")
    )
    table = pd.concat(frames, ignore_index=True)
    audited = AuditedModel(facts=facts, seed=0, splits={}, predictions=table)
    return Performance().audit(audited, PerformanceOptions(**options))


def made_up(n: int, k: int, seed: int, *, signal: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    """Return labels that the probabilities predict, and the probabilities; they are calibrated."""
    rng = np.random.default_rng(seed)
    logits = signal * rng.normal(size=(n, k))
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (rng.random((n, 1)) > scores.cumsum(axis=1)).sum(axis=1)
    return labels, scores


def section_of(k: int, seed: int = 0, n: int = 200, **options) -> tuple[Section, np.ndarray, np.ndarray]:
    classes = "abcdef"[:k]
    labels, scores = made_up(n, k, seed)
    train = predictions(*made_up(300, k, seed + 1000), classes, split="train")
    return audit(train, predictions(labels, scores, classes), classes=classes, **options), labels, scores


def test_it_follows_the_protocol() -> None:
    assert isinstance(Performance(), Plugin)
    assert Performance().always_on


def test_importing_it_is_light() -> None:
    code = "import rft.plugins.performance, sys; print([m for m in ('torch', 'sklearn', 'scipy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("k", [2, 4])
def test_values_are_those_of_scikit_learn(k: int) -> None:
    section, labels, scores = section_of(k)
    predicted = scores.argmax(axis=1)
    one_hot = labels[:, None] == np.arange(k)
    expected = {
        "accuracy": sklearn.accuracy_score(labels, predicted),
        "balanced_accuracy": sklearn.balanced_accuracy_score(labels, predicted),
        "macro_f1": sklearn.f1_score(labels, predicted, average="macro"),
        "log_loss": sklearn.log_loss(labels, scores),
        "roc_auc": sklearn.roc_auc_score(one_hot[:, 1:] if k == 2 else one_hot, scores[:, 1:] if k == 2 else scores),
    }
    for name, value in expected.items():
        assert section.finding(f"performance.{name}").value == pytest.approx(value), name


def test_by_class_and_confusion_are_those_of_scikit_learn() -> None:
    section, labels, scores = section_of(4)
    predicted = scores.argmax(axis=1)
    precision, recall, f1, n = sklearn.precision_recall_fscore_support(labels, predicted)
    for index, row in enumerate(section.tables["by_class"]):
        expected = (precision[index], recall[index], f1[index], n[index])
        assert (row["precision"], row["recall"], row["f1"], row["n"]) == pytest.approx(expected)
    counts = np.array([row["n"] for row in section.tables["confusion"]]).reshape(4, 4)
    assert (counts == sklearn.confusion_matrix(labels, predicted)).all()


def test_ties_count_one_half() -> None:
    labels, scores = made_up(100, 2, 3)
    scores = np.round(scores, 1)
    section = audit(predictions(labels, scores, "ab"), classes="ab")
    assert section.finding("performance.roc_auc").value == pytest.approx(sklearn.roc_auc_score(labels, scores[:, 1]))


@pytest.mark.parametrize(("positive", "named"), [(None, "b"), ("a", "a"), ("b", "b")])
def test_the_roc_curve_says_whose_it_is(positive: str | None, named: str) -> None:
    section, labels, scores = section_of(2, positive=positive)
    finding = section.finding("performance.roc_auc")
    index = "ab".index(named)
    assert finding.value == pytest.approx(sklearn.roc_auc_score(labels == index, scores[:, index]))
    assert finding.description.endswith(f"It is the area for the class {named}.")


@pytest.mark.parametrize("k", [2, 4])
def test_every_interval_holds_its_value(k: int) -> None:
    section, _, _ = section_of(k)
    for name in NAMES:
        finding = section.finding(f"performance.{name}")
        assert finding.n == 200
        if name != "ece":
            assert finding.interval is not None
            assert finding.interval.low < finding.value < finding.interval.high
    assert section.finding("performance.ece").interval is None


def test_a_perfect_model_keeps_its_intervals() -> None:
    labels = np.array([0, 1] * 20)
    scores = np.where(labels[:, None] == np.arange(2), 0.99, 0.01)
    section = audit(predictions(labels, scores, "ab"), classes="ab")
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "roc_auc"):
        finding = section.finding(f"performance.{name}")
        assert finding.value == 1
        assert finding.interval is not None
        assert 0.83 < finding.interval.low < 0.96


def test_averages_over_classes_with_too_few_rows_have_a_value_and_no_interval() -> None:
    classes = list("abcdefgh")
    labels, scores = np.tile(np.arange(8), 2), np.tile(np.eye(8), (2, 1)) * 0.9 + 0.1 / 8
    section = audit(predictions(labels, scores, classes), classes=classes)
    for name in ("balanced_accuracy", "macro_f1"):
        finding = section.finding(f"performance.{name}")
        assert (finding.value, finding.interval, finding.adjusted) == (1.0, None, ())
        assert "fewer than 3 independent cases each" in finding.description
    assert section.finding("performance.accuracy").interval is not None


def test_a_class_without_rows_is_undefined_where_it_matters() -> None:
    """scikit-learn gives 0.0 for the F1 of such a class and leaves it out of balanced accuracy."""
    labels, scores = made_up(60, 3, 0)
    labels, scores = labels % 2, scores * np.array([1, 1, 1e-6])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        section = audit(predictions(labels, scores, "abc"), classes="abc")
    for name in ("balanced_accuracy", "macro_f1", "roc_auc"):
        finding = section.finding(f"performance.{name}")
        assert (finding.status, finding.value, finding.n) == ("not_measured", None, 60)
        assert finding.reason.startswith("undefined: the class c has no rows")
    assert section.tables["by_class"][2] == {"class": "c", "precision": None, "recall": None, "f1": None, "n": 0}
    assert section.finding("performance.accuracy").value is not None


def test_a_class_that_is_never_predicted_has_an_f1_of_zero_and_no_precision() -> None:
    labels = np.array([0, 1] * 20)
    scores = np.tile([0.9, 0.1], (40, 1))
    section = audit(predictions(labels, scores, "ab"), classes="ab")
    assert section.tables["by_class"][1] == {"class": "b", "precision": None, "recall": 0.0, "f1": 0.0, "n": 20}
    assert section.finding("performance.macro_f1").value == pytest.approx(1 / 3)


def test_the_baseline_is_the_most_frequent_class_of_train() -> None:
    train = predictions([0] * 5 + [1] * 9, np.tile([0.6, 0.4], (14, 1)), "ab", split="train")
    test = predictions([0] * 30 + [1] * 10, np.tile([0.6, 0.4], (40, 1)), "ab")
    section = audit(train, test, classes="ab")
    baseline = section.finding("performance.baseline_accuracy")
    expected = intervals.wilson_interval(10, 40)
    assert baseline.value == 0.25
    assert baseline.interval == expected
    assert baseline.description.endswith("The most frequent class is b.")


def test_accuracy_warns_when_it_is_not_above_the_baseline() -> None:
    labels = np.array([0] * 30 + [1] * 10)
    good, lazy = np.where(labels[:, None] == np.arange(2), 0.9, 0.1), np.tile([0.9, 0.1], (40, 1))
    train = predictions(labels, good, "ab", split="train")
    statuses = [
        audit(train, predictions(labels, scores, "ab"), classes="ab").finding("performance.accuracy").status
        for scores in (good, lazy)
    ]
    assert statuses == ["info", "warn"]


def test_without_train_there_is_no_baseline() -> None:
    labels, scores = made_up(50, 2, 0)
    section = audit(predictions(labels, scores, "ab"), classes="ab")
    assert section.finding("performance.baseline_accuracy").status == "not_measured"
    assert {row["split"] for row in section.tables["metrics"]} == {"test"}


def test_train_stands_beside_test_without_intervals() -> None:
    section, _, _ = section_of(3)
    train = [row for row in section.tables["metrics"] if row["split"] == "train"]
    assert [row["metric"] for row in train] == list(NAMES)
    assert all(row["low"] is None and row["high"] is None and row["n"] == 300 for row in train)


def naive_calibration_error(confidence: np.ndarray, correct: np.ndarray, bins: int) -> float:
    """Sorted rows cut into equal parts, as the text-books say."""
    parts = np.array_split(np.argsort(confidence), bins)
    gaps = [len(part) * abs(confidence[part].mean() - correct[part].mean()) for part in parts]
    return sum(gaps) / len(confidence)


def test_the_calibration_error_is_the_text_books() -> None:
    section, labels, scores = section_of(3)
    expected = naive_calibration_error(scores.max(axis=1), scores.argmax(axis=1) == labels, 10)
    assert section.finding("performance.ece").value == pytest.approx(expected)
    assert [row["n"] for row in section.tables["calibration"]] == [20] * 10


def test_equal_confidences_share_a_bin_in_any_order() -> None:
    confidence = np.array([0.5] * 70 + [0.9] * 30)
    bins = equal_mass_bins(confidence, 10, min_rows=10)
    assert bins.tolist() == [0] * 70 + [1] * 30
    correct = np.arange(100) % 2 == 0
    order = np.random.default_rng(0).permutation(100)
    shuffled = expected_calibration_error(
        confidence[order], correct[order], equal_mass_bins(confidence[order], 10, min_rows=10)
    )
    assert shuffled == pytest.approx(expected_calibration_error(confidence, correct, bins))


def test_few_rows_get_few_bins() -> None:
    assert equal_mass_bins(np.linspace(0.5, 1, 25), 10, min_rows=10).max() == 1
    assert equal_mass_bins(np.array([0.7]), 10, min_rows=10).tolist() == [0]


def test_a_calibrated_model_is_rarely_warned_about_and_an_overconfident_one_is() -> None:
    warned = {1.0: 0, 3.0: 0}
    for seed in range(40):
        labels, scores = made_up(150, 2, seed, signal=1.0)
        for sharpness in warned:
            sharp = scores**sharpness / (scores**sharpness).sum(axis=1, keepdims=True)
            section = audit(predictions(labels, sharp, "ab"), classes="ab")
            warned[sharpness] += section.finding("performance.ece").status == "warn"
    assert warned[1.0] <= 4  # nominally 2.5 %
    assert warned[3.0] >= 36


def test_a_calibration_error_that_is_certain_and_small_is_told_and_not_to_review() -> None:
    """By hand: 90 % is said of all rows, and 91.5 % or 93 % are right: errors of 0.015 and 0.03, far beyond chance."""
    labels = np.zeros(20_000, dtype=int)
    scores = np.tile([0.9, 0.1], (20_000, 1))
    for wrong, status in ((1_700, "info"), (1_400, "warn")):
        frame = predictions(np.where(np.arange(20_000) < wrong, 1, labels), scores, "ab")
        finding = audit(frame, classes="ab").finding("performance.ece")
        assert finding.value == pytest.approx(0.1 - wrong / 20_000)
        assert finding.status == status
        assert ("More than chance explains, and small" in finding.description) == (status == "info")


def test_rows_of_one_person_do_not_make_intervals_shorter() -> None:
    labels, scores = made_up(60, 2, 0)
    people = np.array([f"p{row}" for row in range(60)])
    once = audit(predictions(labels, scores, "ab", units=people), classes="ab")
    copies = predictions(np.tile(labels, 3), np.tile(scores, (3, 1)), "ab", units=np.tile(people, 3))
    thrice = audit(copies, classes="ab")
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "roc_auc", "log_loss"):
        first, three = (section.finding(f"performance.{name}") for section in (once, thrice))
        assert three.n == 60
        assert "60 units" in three.interval.method
        assert three.value == pytest.approx(first.value)
        widths = [finding.interval.high - finding.interval.low for finding in (first, three)]
        assert widths[1] == pytest.approx(widths[0], rel=0.1), name


def test_a_probability_of_zero_is_counted_and_said() -> None:
    labels, scores = np.array([0, 1, 0, 1]), np.array([[1.0, 0], [0, 1], [0, 1], [0, 1]])
    finding = audit(predictions(labels, scores, "ab"), classes="ab").finding("performance.log_loss")
    assert finding.value == pytest.approx(sklearn.log_loss(labels, scores))
    assert "1 probabilities of 0 were counted as 2.2e-16." in finding.description


def test_predictions_without_scores_are_measured_as_far_as_they_go() -> None:
    labels, scores = made_up(50, 2, 0)
    frame = predictions(labels, scores, "ab")
    section = audit(frame.drop(columns="score_b"), classes="ab")
    for name in ("roc_auc", "log_loss", "ece"):
        assert section.finding(f"performance.{name}").reason == "the predictions have no column score_b"
    assert section.finding("performance.accuracy").value is not None
    assert "calibration" not in section.tables
    frame.loc[2, "score_a"] = np.nan
    reason = audit(frame, classes="ab").finding("performance.log_loss").reason
    assert reason == "1 of 50 rows have a probability that is not a number"


def test_missing_predictions_and_an_absent_test_split_are_refused() -> None:
    labels, scores = made_up(50, 2, 0)
    frame = predictions(labels, scores, "ab")
    with pytest.raises(Unavailable, match="no rows of the split test"):
        audit(frame.assign(split="train"), classes="ab")
    frame.loc[3, "prediction"] = None
    with pytest.raises(Unavailable, match="1 of 50 rows have no label or no prediction among the classes"):
        audit(frame, classes="ab")


def test_the_same_seed_gives_the_same_section() -> None:
    assert section_of(3)[0] == section_of(3)[0]


def test_names_and_order_of_rows_do_not_matter() -> None:
    labels, scores = made_up(120, 3, 5)
    order = np.random.default_rng(1).permutation(120)
    before = audit(predictions(labels, scores, "abc"), classes="abc")
    after = audit(predictions(labels[order], scores[order], "xyz"), classes="xyz")
    for name in NAMES[:-1]:
        first, second = (section.finding(f"performance.{name}") for section in (before, after))
        assert second.value == pytest.approx(first.value), name


def test_every_figure_has_rows() -> None:
    section, _, _ = section_of(3)
    assert [figure.kind for figure in section.figures] == ["dots", "lines", "heatmap"]
    for figure in section.figures:
        table = section.tables[figure.table]
        assert [row for row in table if all(row[key] == value for key, value in figure.where.items())]


@pytest.mark.parametrize("rows_a_unit", [1, 4])
def test_the_normal_approximation_of_calibrated_models_is_what_is_simulated(rows_a_unit: int) -> None:
    """For a million rows nothing is drawn row by row; here are few enough to do both."""
    rng = np.random.default_rng(3)
    confidence = np.sort(rng.uniform(0.5, 1, 8000))  # rows of a unit are alike, and right or wrong together
    bins = equal_mass_bins(confidence, 10, min_rows=10)
    units = None if rows_a_unit == 1 else np.arange(8000) // rows_a_unit
    simulated = simulated_errors(confidence, bins, units, np.random.default_rng(0))
    approximate = approximate_errors(confidence, bins, units, np.random.default_rng(1))
    for share in (0.025, 0.5, 0.975):
        assert np.quantile(approximate, share) == pytest.approx(np.quantile(simulated, share), rel=0.06)
    alone = approximate_errors(confidence, bins, None, np.random.default_rng(1))
    assert np.median(approximate) == pytest.approx(np.sqrt(rows_a_unit) * np.median(alone), rel=0.1)


def test_a_unit_a_row_is_no_unit_at_all() -> None:
    labels, scores = made_up(60, 2, 1)
    frame = predictions(labels, scores, "ab")
    by_row, by_unit = (audit(frame.assign(unit=units), classes="ab") for units in (None, [f"u{i}" for i in range(60)]))
    assert by_row == by_unit
