"""What predictions rest on: influence equals refits without each unit, and its agreement with training is measured."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.linear_model import Ridge

import rft
from rft.disclosure.withheld import Withheld
from rft.errors import ConfigError, Unavailable
from rft.pipeline.plan import read_plan
from rft.pipeline.stages import check_plan
from rft.plugins.influence import Influence, InfluenceOptions
from rft.plugins.influence.agreement import Retrained, measure_agreement
from rft.plugins.influence.refit import Contrast, RidgeRefit
from rft.plugins.influence.tables import TracedPredictions, group_table, nearest_table, traced_table
from rft.plugins.training_vectors import LabelledExamples
from tests.conftest import write_images

CLASSES = ("cat", "dog", "fox")


def some_examples(n: int = 60, *, dimension: int = 6, per_unit: int = 1, strength: float = 0.7) -> LabelledExamples:
    """Three classes, ``strength`` standard deviations apart; with ``per_unit`` the rows of a unit lie apart."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, n)
    features = (rng.normal(size=(n, dimension)) + strength * rng.normal(size=(3, dimension))[labels]).astype(np.float32)
    units = None if per_unit == 1 else np.array([f"p{row % (n // per_unit)}" for row in range(n)], dtype=object)
    ids = np.array([f"photo-{row}" for row in range(n)], dtype=object)
    return LabelledExamples(features, labels, ids, units, {}, n, np.arange(n))


def some_points(count: int = 25, dimension: int = 6) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(count, dimension)).astype(np.float32)


def refit_scores(examples: LabelledExamples, kept: np.ndarray, points: np.ndarray, penalty: float) -> np.ndarray:
    """Fit scikit-learn's ridge regression to some rows, on the scale of all, and return its (T, K) scores."""
    features = examples.features.astype(np.float64)
    length = np.sqrt(((features - features.mean(axis=0)) ** 2).sum(axis=1).mean())
    fitted = Ridge(alpha=penalty, solver="cholesky").fit(features[kept] / length, np.eye(3)[examples.labels[kept]])
    return np.asarray(fitted.predict(points.astype(np.float64) / length))


@pytest.mark.parametrize("dimension", [6, 80], ids=["fewer features than examples", "more"])
@pytest.mark.parametrize("per_unit", [1, 3])
def test_influence_is_the_difference_of_two_fits(dimension: int, per_unit: int) -> None:
    examples, points = some_examples(dimension=dimension, per_unit=per_unit), some_points(dimension=dimension)
    refit = RidgeRefit(examples, 3)
    whole = refit_scores(examples, np.ones(60, dtype=bool), points, refit.penalty)
    np.testing.assert_allclose(refit.score(points), whole, atol=1e-8)
    contrast = Contrast.from_logits(whole)
    influence, deciding = refit.trace_margins(points, contrast), refit.count_deciding_units(points)
    assert influence.shape == (25, 60 // per_unit)
    changed = np.zeros(25, dtype=int)
    for unit in range(refit.units):
        without = refit_scores(examples, refit.unit_codes != unit, points, refit.penalty)
        lost = contrast.margins(whole) - contrast.margins(without)
        np.testing.assert_allclose(influence[:, unit], lost, atol=1e-8)
        changed += without.argmax(axis=1) != whole.argmax(axis=1)
    assert deciding.tolist() == changed.tolist()
    assert 0 < (deciding > 0).sum() < 25


def test_the_contrast_is_between_the_first_and_the_second_class() -> None:
    contrast = Contrast.from_logits(np.array([[1.0, 3.0, 2.0], [0.0, -1.0, -0.5]]))
    assert contrast.classes.tolist() == [1, 0]
    assert contrast.rivals.tolist() == [2, 2]
    assert contrast.margins(np.array([[5.0, 7.0, 4.0], [1.0, 1.0, 3.0]])).tolist() == [3.0, -2.0]


def some_heads(rho: float, *, heads: int, predictions: int, rng: np.random.Generator) -> tuple[Retrained, np.ndarray]:
    """Margins that correlate by ``rho`` with what influences say; half of what they do not say is common to all."""
    influence = rng.normal(size=(predictions, 40))
    kept = rng.random((heads, 40)).argsort(axis=1) < 20
    predicted = kept @ influence.T
    noise = rng.normal(size=(heads, 1)) + rng.normal(size=(heads, predictions))
    noise *= predicted.std() / np.sqrt(2)
    return Retrained(kept, rho * predicted + np.sqrt(1 - rho**2) * noise), influence


def test_agreement_is_the_mean_rank_correlation_over_heads() -> None:
    retrained, influence = some_heads(0.6, heads=24, predictions=30, rng=np.random.default_rng(3))
    agreement = measure_agreement(retrained, influence)
    assert agreement is not None
    predicted = retrained.kept @ influence.T
    expected = np.mean([spearmanr(predicted[:, row], retrained.margins[:, row]).statistic for row in range(30)])
    assert agreement.value == pytest.approx(expected, abs=1e-12)
    assert agreement.interval.low < agreement.value < agreement.interval.high
    assert measure_agreement(Retrained(retrained.kept, np.zeros((24, 30))), influence) is None


@pytest.mark.slow
@pytest.mark.parametrize("rho", [0.0, 0.3, 0.8])
def test_the_interval_of_the_agreement_covers_it(rho: float) -> None:
    """The truth is that of 20,000 heads; 16 heads and 32 heads, 400 times each."""
    rng = np.random.default_rng(5)
    large, influence = some_heads(rho, heads=20_000, predictions=20, rng=rng)
    predicted = large.kept @ influence.T
    truth = np.mean([spearmanr(predicted[:, row], large.margins[:, row]).statistic for row in range(20)])
    for heads in (16, 32):
        covered = 0
        for _ in range(400):
            chosen = rng.choice(20_000, heads, replace=False)
            agreement = measure_agreement(Retrained(large.kept[chosen], large.margins[chosen]), influence)
            assert agreement is not None
            covered += agreement.interval.low <= truth <= agreement.interval.high
        assert 0.92 <= covered / 400 <= 0.985, (heads, covered / 400)


def test_traced_predictions_name_what_speaks_for_and_against_them() -> None:
    examples, points = some_examples(), some_points(2)
    refit = RidgeRefit(examples, 3)
    contrast = Contrast.from_logits(refit.score(points))
    traced = TracedPredictions(np.array(["a", "b"], dtype=object), np.array([0, 1]), points, contrast)
    rows = [row for row in traced_table(traced, refit, examples, CLASSES) if row["example"] == "b"]
    effects = refit.trace_margins(points, contrast)[1]
    speaking = [row["training_example"] for row in rows if row["side"] == "for"]
    assert speaking == [f"photo-{row}" for row in np.argsort(-effects)[:5]]
    assert [row["effect"] for row in rows if row["side"] == "against"] == pytest.approx(sorted(effects)[:5])
    assert {row["prediction"] for row in rows} == {CLASSES[contrast.classes[1]]}
    assert rows[0]["training_label"] == CLASSES[examples.labels[int(speaking[0].removeprefix("photo-"))]]


def test_a_unit_is_named_with_every_label_that_it_has() -> None:
    examples, points = some_examples(per_unit=3), some_points(1)
    refit = RidgeRefit(examples, 3)
    traced = TracedPredictions(
        np.array(["a"], dtype=object), np.array([0]), points, Contrast.from_logits(refit.score(points))
    )
    rows = traced_table(traced, refit, examples, CLASSES)
    assert len(rows) == 10
    for row in rows:
        unit = int(row["training_example"].removeprefix("photo-"))
        labels = examples.labels[[unit, unit + 20, unit + 40]]
        assert row["training_label"] == ", ".join(CLASSES[label] for label in sorted(set(labels.tolist())))


def test_the_nearest_examples_are_those_of_the_largest_cosine() -> None:
    examples = some_examples()
    points = examples.features[[7, 9]] + 0.01
    contrast = Contrast(np.array([0, 0]), np.array([1, 1]))
    traced = TracedPredictions(np.array(["a", "b"], dtype=object), np.array([0, 1]), points, contrast)
    rows = nearest_table(traced, examples, CLASSES)
    assert [row["training_example"] for row in rows[::5]] == ["photo-7", "photo-9"]
    mean = examples.features.mean(axis=0)
    point, other = points[0] - mean, examples.features[int(rows[1]["training_example"].removeprefix("photo-"))] - mean
    cosine = point @ other / np.linalg.norm(point) / np.linalg.norm(other)
    assert rows[1]["similarity"] == pytest.approx(cosine, abs=1e-6)


def test_groups_are_counted_and_small_ones_withheld() -> None:
    resting = np.arange(60) % 4 == 0
    groups = {"tone": np.array(["blue"] * 40 + ["red"] * 12 + ["green"] * 5 + [None] * 3, dtype=object)}
    rows = {row["group"]: row for row in group_table(resting, groups, None, Withheld(below=0))}
    assert rows.keys() == {"blue", "red", "green"}
    blue = rows["blue"]
    assert (blue["resting"], blue["n"], blue["share"], blue["status"]) == (10, 40, 0.25, "ok")
    assert blue["low"] < 0.25 < blue["high"]
    assert rows["green"]["share"] is None
    assert "too few" in rows["green"]["status"]
    hidden = group_table(resting, groups, None, Withheld(below=20))
    assert all(row["share"] is None and row["resting"] is None for row in hidden)


def test_an_audit_says_what_it_can_and_shows_ids_only_where_examples_may_be(tiny: Path) -> None:
    write_images(tiny.parent / "data", n=120)
    config = f"{tiny.read_text(encoding='utf-8')}\n[influence]\nretrained_heads = 12\nexamples = 2\n"
    tiny.write_text(config, encoding="utf-8")
    hidden = next(section for section in rft.audit(tiny).sections if section.plugin == "influence")
    agreement, resting = hidden.findings
    assert agreement.id == "influence.agreement"
    assert -1 <= agreement.value <= 1
    assert agreement.n == 12
    assert resting.value == 0  # red and blue lie far apart
    assert hidden.tables.keys() <= {"by_group"}
    assert "show_examples" in hidden.notes[-1]
    tiny.write_text(f"{config}\n[report]\nshow_examples = true\n", encoding="utf-8")
    shown = next(section for section in rft.audit(tiny).sections if section.plugin == "influence")
    assert (agreement.interval.low > 0) == ("traced" in shown.tables) == ("nearest" in shown.tables)


def test_influence_holds_for_a_head_that_is_nearly_the_refit(tiny: Path) -> None:
    """What the refit foresees of heads, by refits in their place: near 1."""
    examples, points = some_examples(120), some_points()
    refit = RidgeRefit(examples, 3)
    contrast = Contrast.from_logits(refit.score(points))
    kept = np.random.default_rng(0).random((20, 120)).argsort(axis=1) < 60
    margins = np.stack([contrast.margins(refit_scores(examples, chosen, points, refit.penalty)) for chosen in kept])
    agreement = measure_agreement(Retrained(kept, margins), refit.trace_margins(points, contrast))
    assert agreement is not None
    assert agreement.value > 0.8
    shuffled = measure_agreement(Retrained(kept[::-1], margins), refit.trace_margins(points, contrast))
    assert shuffled is not None
    assert shuffled.interval.low < 0.3


def test_it_is_refused_beside_a_promise_of_privacy(tiny: Path) -> None:
    config = tiny.read_text(encoding="utf-8").replace("[data]", '[data]\nclasses = ["red", "blue"]')
    tiny.write_text(f"{config}\n[influence]\n[privacy]\nepsilon = 3.0\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"\[influence\].*fits to the training data"):
        check_plan(read_plan(tiny, []))


def test_nothing_is_said_of_a_test_split_that_is_withheld() -> None:
    audited: Any = SimpleNamespace(withheld=Withheld(below=1000, splits=frozenset({"test"})))
    with pytest.raises(Unavailable, match="suppressed"):
        Influence().audit(audited, InfluenceOptions())


def test_a_unit_is_named_by_one_of_its_examples() -> None:
    examples = some_examples(per_unit=3)
    refit = RidgeRefit(examples, 3)
    assert refit.units == 20
    points = some_points(1)
    contrast = Contrast.from_logits(refit.score(points))
    traced = TracedPredictions(np.array(["a"], dtype=object), np.array([0]), points, contrast)
    effects = refit.trace_margins(points, contrast)[0]
    first = traced_table(traced, refit, examples, CLASSES)[0]
    assert examples.units is not None
    named = examples.units[int(str(first["training_example"]).removeprefix("photo-"))]
    assert np.unique(examples.units)[effects.argmax()] == named
