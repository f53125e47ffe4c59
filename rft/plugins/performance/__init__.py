"""How well the model predicts: the usual measures of a classifier with intervals, beside a trivial baseline."""

from __future__ import annotations

from typing import Annotated

from rft.config.applicability import Applies
from rft.config.schema import DataConfig
from rft.config.tables.base import Count
from rft.plugins import AuditedModel, Options, Plugin, RunPair
from rft.plugins.performance.overview import PILLAR, summarize_performance
from rft.records import ModelFacts, Section


class PerformanceOptions(Options):
    """``[performance]``: how well the model predicts; always on."""

    bins: Annotated[
        Count, Applies(lambda run, _: run.scores, "calibration is that of probabilities, and none are given")
    ] = 10
    """Largest number of bins of the calibration error."""


class Performance(Plugin[PerformanceOptions]):
    """Always on: accuracy and its relatives, calibration and confusion, with intervals."""

    name = "performance"
    reads_predictions_alone = True
    always_on = True
    options = PerformanceOptions
    pillar = PILLAR

    def summarize(self, section: Section | None, model: ModelFacts) -> str:
        """Return how often the model is right, beside a baseline."""
        return summarize_performance(section, model)

    def list_findings(self, options: PerformanceOptions, data: DataConfig) -> list[str]:
        """Return the ids that its findings may have."""
        from rft.plugins.performance.audit import METRICS

        return [f"{self.name}.{name}" for name in (*METRICS, "decisions_against_scores")]

    def audit(self, audited: AuditedModel, options: PerformanceOptions) -> Section:
        """Return the section; needs nothing but the audited model's predictions and classes."""
        from rft.plugins.performance.audit import audit

        return audit(audited, bins=options.bins)

    def compare_runs(self, pair: RunPair) -> Section:
        """Return how accuracy and its relatives changed from one run to the other."""
        from rft.plugins.performance.change import compare_performance

        return compare_performance(pair)
