"""How well the model predicts: the usual measures of a classifier with intervals, beside a trivial baseline."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from rft.config.applicability import CLASSES, Applies
from rft.config.schema import DataConfig
from rft.config.tables.base import Count
from rft.plugins import AuditedModel, ExaminedData, Options, Plugin, RunPair
from rft.plugins.performance.overview import PILLAR, summarize_performance
from rft.records import TASKS, ModelFacts, Section, TaskName


class PerformanceOptions(Options):
    """``[performance]``: how well the model predicts; always on."""

    bins: Annotated[
        Count, CLASSES, Applies(lambda run, _: run.scores, "calibration is that of probabilities, and none are given")
    ] = 10
    """Largest number of bins of the calibration error."""


class Performance(Plugin[PerformanceOptions]):
    """Always on: accuracy and its relatives, calibration and confusion, with intervals."""

    name = "performance"
    reads_predictions_alone = True
    always_on = True
    tasks = tuple(TASKS)
    options = PerformanceOptions
    pillar = PILLAR

    def summarize(self, section: Section | None, model: ModelFacts) -> str:
        """Return how often the model is right, beside a baseline."""
        return summarize_performance(section, model)

    def list_findings(self, options: PerformanceOptions, data: DataConfig) -> list[str]:
        """Return the ids that its findings may have."""
        from rft.plugins.performance.audit import METRICS

        return [f"{self.name}.{name}" for name in (*METRICS, "decisions_against_scores")]

    def list_findings_for(self, task: TaskName, options: PerformanceOptions, data: DataConfig) -> list[str]:
        """Return the ids that its findings may have, of an audit of this task."""
        from rft.stats.scores.error_rates import ERROR_RATES

        if task == "recognition":
            names = [*ERROR_RATES, *(["all_blank_outputs"] if data.transcript is not None else [])]
            return [f"{self.name}.{name}" for name in names]
        return self.list_findings(options, data)

    def audit(self, audited: AuditedModel, options: PerformanceOptions) -> Section:
        """Return the section; needs nothing but the audited model's predictions and classes."""
        from rft.plugins.performance.audit import audit
        from rft.plugins.performance.recognition.audit import audit_transcripts

        if audited.facts.task == "recognition":
            return audit_transcripts(audited)

        return audit(audited, bins=options.bins)

    def examine_data(self, options: PerformanceOptions, examined: ExaminedData) -> Iterable[str]:
        """Return which rules on accuracy are met by always guessing, too."""
        from rft.plugins.performance.preview import question_accuracy_rules

        return question_accuracy_rules(examined) if examined.core.task == "classification" else ()

    def compare_runs(self, pair: RunPair) -> Section:
        """Return how accuracy and its relatives changed from one run to the other."""
        from rft.plugins.performance.change import compare_performance
        from rft.plugins.performance.recognition.change import compare_transcripts

        if pair.task == "recognition":
            return compare_transcripts(pair)
        return compare_performance(pair)
