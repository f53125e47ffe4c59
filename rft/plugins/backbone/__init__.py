"""Transferability of the pretrained features: how well the backbone fits the task bounds what fine-tuning can reach."""

from __future__ import annotations

from collections.abc import Mapping

from rft.config.schema import DataConfig
from rft.disclosure.withheld import NOTHING, Withheld
from rft.plugins import AuditedModel, CandidateBackbone, ExaminedData, Options, PlannedWork, Plugin
from rft.records import Section


class BackboneOptions(Options):
    """No options."""


class Backbone(Plugin[BackboneOptions]):
    """Always on: a linear probe of the frozen features against the majority class and against random weights."""

    name = "backbone"
    always_on = True
    options = BackboneOptions

    def list_findings(self, options: BackboneOptions, data: DataConfig) -> list[str]:
        """Return the ids that its findings may have."""
        from rft.plugins.backbone.audit import TITLES

        return [f"{self.name}.{name}" for name in TITLES]

    def compare_backbones(
        self, candidates: Mapping[str, CandidateBackbone], *, seed: int, withheld: Withheld = NOTHING
    ) -> Section:
        """Return which backbone carries furthest on these examples."""
        from rft.plugins.backbone.comparison import compare_candidates

        return compare_candidates(candidates, seed=seed, withheld=withheld)

    def count_work(self, options: BackboneOptions, examined: ExaminedData) -> PlannedWork | None:
        """Return the examples whose features are computed beside those of training."""
        from rft.features.pipeline import SAMPLE_SIZE

        if examined.core.external:
            return None
        sample, network = min(SAMPLE_SIZE, len(examined.splits["train"])), examined.core.network
        passes = (network.weights != "random") + (network.frozen != "all")
        return PlannedWork(embeddings=sample * passes)

    def audit(self, audited: AuditedModel, options: BackboneOptions) -> Section:
        """Return the section; needs the embeddings of training examples."""
        from rft.plugins.backbone.audit import audit

        return audit(audited)
