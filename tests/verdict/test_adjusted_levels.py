"""Every estimate that a rule can name has its intervals for verdicts over several rules, or leaves them uncertain."""

from __future__ import annotations

import pytest

import rft
from rft.records import AuditRun
from tests.runs.test_predictions_alone import CONFIG, make_scores, write
from tests.support.adjusted_levels import check_levels, check_that_more_rules_are_never_looser

pytest.importorskip("fairlearn")

FAIRNESS = """
[fairness]
metrics = [
    "accuracy", "selection_rate", "tpr", "fpr", "fnr", "precision", "balanced_accuracy", "roc_auc", "mean_score",
    "log_loss",
]
tables = ["four_fifths", "ll144"]

[fairness.ll144]
sex = "gender"
race = "ethnicity"

[privacy]
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> AuditRun:
    """Return the audit of predictions alone, with a third group that is large enough to be compared."""
    folder = tmp_path_factory.mktemp("levels")
    return rft.audit(write(folder, make_scores(900), CONFIG + FAIRNESS), folder / "run")


def test_every_estimate_of_predictions_alone_has_all_levels(run: AuditRun) -> None:
    ids = {finding.id for finding in check_levels(run)}
    performance = {
        f"performance.{name}" for name in ("accuracy", "balanced_accuracy", "macro_f1", "roc_auc", "log_loss")
    }
    legal = {"fairness.four_fifths.gender", "fairness.ll144.ethnicity", "fairness.selection_rate_ratio.gender"}
    assert performance | legal | {"performance.baseline_accuracy", "privacy.membership_auc"} <= ids


def test_more_rules_are_never_looser(run: AuditRun) -> None:
    check_that_more_rules_are_never_looser(run)
