"""The probe for groups, against scikit-learn, planted groups, and the trap of people on both sides of a fold."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score

from rft.features.embeddings import Embeddings
from rft.plugins import AuditedModel
from rft.plugins.privacy.chapter import PrivacyChapter
from rft.plugins.privacy.leakage import attribute_inference
from rft.plugins.privacy.leakage.attribute_inference import (
    SHUFFLES,
    AttributeProbe,
    attribute_inference_chapter,
    exchange_units,
    probe_attribute,
)
from rft.records import ModelFacts, NotMeasured, Section, Training
from rft.report.charts import draw
from rft.stats.cross_validation import Folds


def person_features(
    strength: float, *, people: int = 120, photos: int = 2, share: float = 0.5, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features that know their person well and the person's group by ``strength``; groups; people."""
    rng = np.random.default_rng(seed)
    group = (np.arange(people) < share * people).astype(int)
    person = np.repeat(rng.permutation(people), photos)
    features = rng.normal(size=(people, 30))[person] + 0.3 * rng.normal(size=(people * photos, 30))
    features[:, 0] += strength * group[person]
    return features.astype(np.float32), np.array(["a", "b"], dtype=object)[group[person]], person.astype(str)


def probe_groups(features: np.ndarray, groups: np.ndarray, people: np.ndarray | None) -> AttributeProbe:
    probe = probe_attribute(features, groups, people, seed=0)
    assert isinstance(probe, AttributeProbe)
    return probe


def probe_chapter(
    features: np.ndarray, groups: dict[str, np.ndarray], units: np.ndarray | None, mode: str = "standard"
) -> PrivacyChapter:
    labels = np.zeros(len(features), dtype=np.int64)
    about = ModelFacts(name="made", modality="image", classes=("no", "yes"), training=Training(mode=mode))
    embeddings = Embeddings(features, None, labels, units, groups, len(labels))
    return attribute_inference_chapter(AuditedModel(about, 0, {}, pd.DataFrame(), embeddings=lambda: embeddings))


def test_a_planted_group_is_read_and_the_control_is_not() -> None:
    features, groups, people = person_features(3.0)
    probe = probe_groups(features, groups, people)
    assert probe.predictions.balanced_accuracy.value > 0.85
    assert probe.shuffled.shape == (SHUFFLES, 3)
    assert probe.shuffled[:, 0].mean() == pytest.approx(0.5, abs=0.05)
    assert probe.p_value == 1 / (1 + SHUFFLES)


def test_the_probe_is_logistic_regression_that_weighs_groups_alike() -> None:
    features, groups, people = person_features(2.0, share=0.15)
    labels = (groups == "b").astype(int)
    folds = Folds.draw_stratified(labels, people, seed=0)
    assert isinstance(folds, Folds)
    scaled, predictions = features.astype(np.float64), np.empty_like(labels)
    scaled = (scaled - scaled.mean()) / scaled.std()
    for seen, held_out in folds:
        weights = np.where(labels[seen] == 1, 0.5 / labels[seen].mean(), 0.5 / (1 - labels[seen].mean()))
        model = LogisticRegression(C=0.1, tol=1e-3).fit(scaled[seen], labels[seen], sample_weight=weights)
        predictions[held_out] = model.predict(scaled[held_out])
    probe = probe_groups(features, groups, people)
    assert np.mean(probe.predictions.predictions == predictions) > 0.995
    assert probe.predictions.balanced_accuracy.value == pytest.approx(
        balanced_accuracy_score(labels, predictions), abs=0.01
    )


def test_knowing_the_person_is_not_knowing_the_group() -> None:
    features, groups, people = person_features(0.0, people=60, photos=5)
    by_row, by_person = probe_groups(features, groups, None), probe_groups(features, groups, people)
    assert by_row.predictions.balanced_accuracy.value > 0.8  # photos of one person lie on both sides
    assert by_person.predictions.balanced_accuracy.value < 0.65
    assert by_person.p_value > 1 / (1 + SHUFFLES)


def test_a_large_group_is_no_leak() -> None:
    features, groups, people = person_features(0.0, people=200, share=0.9)
    probe = probe_groups(features, groups, people)
    assert 0.35 < probe.predictions.balanced_accuracy.value < 0.65  # guessing the large group would be right in 90 %


def test_units_exchange_their_rows_as_a_whole() -> None:
    rng = np.random.default_rng(0)
    units = np.repeat(np.arange(50), rng.integers(1, 6, 50))
    order = exchange_units(units, rng)
    donors = [set(units[order[units == unit]]) for unit in range(50)]
    assert all(len(donor) == 1 for donor in donors)
    assert set().union(*donors) == set(range(50))  # nobody twice: nobody's features on both sides of a fold
    assert sum(donor != {unit} for unit, donor in enumerate(donors)) > 40
    alone = np.arange(30)
    assert sorted(exchange_units(alone, rng)) == alone.tolist()


@pytest.mark.slow
def test_without_a_leak_few_probes_are_worth_a_look() -> None:
    warned = 0
    for seed in range(12):
        features, groups, people = person_features(0.0, people=60, photos=1, seed=seed)
        warned += probe_chapter(features, {"site": groups}, people).findings[0].status == "warn"
    assert warned <= 2


def test_the_section_tells_what_was_read() -> None:
    features, groups, people = person_features(3.0)
    groups[:4] = None
    groups[10] = "c"
    probe = probe_chapter(features, {"site": groups, "same": np.full(len(groups), "x", object)}, people, mode="private")
    section = Section(plugin="privacy", findings=probe.findings, tables=dict(probe.tables), figures=probe.figures)
    finding = section.finding("privacy.attribute_probe.site")
    assert finding.status == "warn"
    assert finding.interval is not None
    assert 0.5 < finding.interval.low <= finding.value <= finding.interval.high
    assert "4 examples without a value" in finding.caveats
    assert "c (n = 1)" in finding.caveats
    assert "not covered by epsilon" in finding.caveats
    same = section.finding("privacy.attribute_probe.same")
    assert (same.status, same.reason) == ("not_measured", "1 of the 1 groups have at least 5 units: two are needed")
    rows = section.tables["attribute_probe"]
    assert [(row["group"], row["labels"]) for row in rows] == [
        (group, labels)
        for group in (None, "a", "b")
        for labels in (attribute_inference.TRUE, attribute_inference.SHUFFLED)
    ]
    assert rows[0]["value"] == pytest.approx((rows[2]["value"] + rows[4]["value"]) / 2)
    assert "<svg" in draw.draw_figure(section.figures[0], rows, id="x")


def test_what_cannot_be_probed_says_why() -> None:
    features, groups, people = person_features(1.0)
    features[3, 0] = np.nan
    broken = probe_attribute(features, groups, people, seed=0)
    assert isinstance(broken, NotMeasured)
    assert "not finite" in broken.reason
    about = ModelFacts(name="made", modality="image", classes=("no", "yes"), training=Training(mode="external"))
    table = pd.DataFrame({"group_site": ["a", None]})
    elsewhere = attribute_inference_chapter(AuditedModel(about, 0, {}, table)).findings
    assert [(finding.id, finding.status) for finding in elsewhere] == [("privacy.attribute_probe.site", "not_measured")]
    assert probe_chapter(features, {}, None).is_empty
