"""Findings say which classes they rest on, and a model card leaves out what would tell of a class with few examples."""

from __future__ import annotations

import numpy as np
import pytest

from rft.disclosure.release import restrict_for_card
from rft.records import DataFacts, Section, SplitFacts
from tests.support import fairness_cases

CLASSES = ("rare", "some", "usual")
COUNTS = {"rare": 8, "some": 200, "usual": 392}


@pytest.fixture(scope="module")
def section() -> Section:
    """An audit of 600 examples, of which 8 have the class ``rare``, by a group that they are spread over."""
    rng = np.random.default_rng(0)
    labels = np.repeat(list(COUNTS), list(COUNTS.values())).astype(object)
    predicted = np.where(rng.random(600) < 0.7, labels, rng.choice(CLASSES, 600)).astype(object)
    frame = fairness_cases.predictions(labels, predicted, site=np.array(["x", "y"], dtype=object)[np.arange(600) % 2])
    metrics = ["accuracy", "selection_rate", "tpr", "balanced_accuracy"]
    return fairness_cases.audit(
        frame, classes=CLASSES, positive="usual", metrics=metrics, min_group_size=2, min_reported_size=1
    )


def test_findings_name_the_classes_that_their_value_is_made_of(section: Section) -> None:
    classes = {finding.id: finding.about.classes for finding in section.findings}
    assert classes["fairness.accuracy_gap.site"] == ()
    assert classes["fairness.selection_rate_gap.site"] == ()
    assert classes["fairness.tpr_gap.site"] == ("usual",)
    assert classes["fairness.worst_tpr.site"] == ("usual",)
    assert classes["fairness.macro_tpr_gap.site"] == "all"
    assert classes["fairness.balanced_accuracy_gap.site"] == "all"


def test_a_card_leaves_out_means_that_a_rare_class_has_a_part_in(section: Section) -> None:
    facts = DataFacts(
        splits={"test": SplitFacts(n=600, n_units=None, labels=COUNTS, groups={"site": {"x": 300, "y": 300}})}
    )
    (shown,), _ = restrict_for_card([section], facts, 10)
    values = {finding.id: finding.value for finding in shown.findings}
    assert values["fairness.macro_tpr_gap.site"] is None
    assert values["fairness.balanced_accuracy_gap.site"] is None
    assert values["fairness.tpr_gap.site"] is not None
    assert values["fairness.accuracy_gap.site"] is not None
