"""The frontier: what every candidate does on the validation examples, as a table and a figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rft.plugins.fairness.measure.group_metrics import SampleSizeRules
from rft.plugins.fairness.mitigation.dataset import MitigationData
from rft.plugins.fairness.mitigation.measure import DecisionMetrics
from rft.plugins.fairness.mitigation.methods.candidates import Candidate
from rft.plugins.fairness.mitigation.options import MitigationOptions
from rft.records import Figure, Row, Table, lines_figure
from rft.stats.scores.classification import METRICS

TABLE = "mitigation_frontier"


@dataclass(frozen=True)
class EvaluatedCandidate:
    """A candidate, and what it does on the validation examples; None where it could not be fitted."""

    candidate: Candidate
    measured: DecisionMetrics | None

    @property
    def gap(self) -> float | None:
        """The gap on the validation examples."""
        return None if self.measured is None else self.measured.gap

    @property
    def left_out(self) -> str:
        """The groups that cannot be compared there, with the reasons, in words."""
        return (self.measured.why_left_out if self.measured else "") or "the others have no example"

    @property
    def accuracy(self) -> float:
        """The accuracy on the validation examples."""
        assert self.measured is not None, "asked of what was fitted"
        return self.measured.accuracy.value


def tabulate_frontier(tried: Sequence[EvaluatedCandidate], chosen: EvaluatedCandidate, split: str) -> Table:
    """Return the rows of ``mitigation_frontier``, one a candidate."""
    return [_row_of_candidate(evaluated, evaluated is chosen, split) for evaluated in tried]


def _row_of_candidate(tried: EvaluatedCandidate, chosen: bool, split: str) -> Row:
    candidate, measured = tried.candidate, tried.measured
    accuracy = measured.accuracy.confidence_interval() if measured else None
    gap = measured.gap_interval if measured else None
    worst = measured.worst_cell if measured else None
    method = candidate.method.replace("_", " ")
    return {
        "method": method,
        "constraint": candidate.constraint.replace("_", " ") or None,
        "setting": candidate.setting or None,
        "split": split,
        "accuracy": measured.accuracy.value if measured else None,
        "accuracy_low": accuracy.low if accuracy else None,
        "accuracy_high": accuracy.high if accuracy else None,
        "gap": tried.gap,
        "gap_low": gap.low if gap else None,
        "gap_high": gap.high if gap else None,
        "worst_group_accuracy": worst[1].value if worst else None,
        "chosen": "yes" if chosen else "no",
        "shown_as": f"chosen: {method}" if chosen else method,
        "status": candidate.reason or "ok",
    }


def caption_frontier(options: MitigationOptions, material: MitigationData, size_rules: SampleSizeRules) -> str:
    """Return the line above the table."""
    metric = METRICS[options.metric].label
    return (
        f"Candidates on the {len(material.choose)} examples of {material.chosen_on}; gap is the highest group by "
        f"{options.attribute} minus the lowest in {metric}. Accuracy has a Wilson interval, the gap that of all "
        "pairs of groups. The worst-group accuracy is the lowest among the groups within each class, where each has "
        f"{size_rules.min_reported_size} examples or persons. Rules that decide by chance are shown as they do on "
        "average."
    )


def draw_frontier(options: MitigationOptions, split: str) -> Figure:
    """Return the frontier: accuracy against gap, a mark for each candidate."""
    return lines_figure(
        id="fairness_mitigation",
        lead=True,
        table=TABLE,
        x="gap",
        y="accuracy",
        series="shown_as",
        where={"status": "ok"},
        joined=False,
        x_label=f"gap in {METRICS[options.metric].label} by {options.attribute}, on {split}; further left is more even",
        y_label="accuracy",
        title="What evenness costs: accuracy against gap",
        alt=f"Each candidate as a mark at its gap by {options.attribute} and its accuracy, the chosen one marked.",
    )
