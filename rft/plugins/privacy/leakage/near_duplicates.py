"""Near-duplicates among training examples of different units: whoever has one is protected less than epsilon says."""

from __future__ import annotations

import numpy as np

from rft.features.embeddings import Embeddings
from rft.plugins import AuditedModel
from rft.plugins.privacy.chapter import PrivacyChapter
from rft.records import Finding, FindingDefinition, MeasuredStatus
from rft.stats import multiplicity
from rft.stats.rates import Rate

MIN_COSINE = 0.99  # cosine of the features of two examples
DESCRIPTION = (
    "Share of training examples whose features have a cosine of at least 0.99 with those of an example of another "
    "{unit}. If both are of one person, or one copies the other, leaving one {unit} out still leaves the other in."
)
LIMITS = "Sees what the backbone sees: two people who look alike to it count, and a copy that looks different does not."


OVERLAP = FindingDefinition(
    "privacy.pretraining_overlap",
    "The same people in the backbone's own training data",
    "Whether people of this data were also in the data that the backbone was pretrained on: what it kept of them is in "
    "the released model too, and under no epsilon.",
)
OVERLAP_REASON = "the data that {name} ({weights}) was pretrained on is not available: ask those who made it"


def near_duplicates_chapter(audited: AuditedModel) -> PrivacyChapter:
    """Return what protects people less than epsilon says: near-duplicates of examples, and pretraining on them."""
    return PrivacyChapter(
        "Near-duplicates",
        findings=(_near_duplicates_finding(audited), *_pretraining_overlap_findings(audited)),
        computed_from="train",
    )


def _pretraining_overlap_findings(audited: AuditedModel) -> tuple[Finding, ...]:
    backbone = audited.facts.backbone
    if backbone is None or backbone.weights == "random":
        return ()
    reason = OVERLAP_REASON.format(name=backbone.name, weights=backbone.weights)
    return (OVERLAP.state_not_measured(reason),)


def _near_duplicates_finding(audited: AuditedModel) -> Finding:
    """Return the finding about a random sample of the training examples."""
    train = audited.splits.get("train")
    unit = audited.facts.name_unit(declared=train is not None and train.units is not None)
    definition = FindingDefinition(
        "privacy.near_duplicates",
        f"Examples with a near-duplicate of another {unit}",
        DESCRIPTION.format(unit=unit),
        unit="fraction",
        caveats=LIMITS,
        better="lower",
    )
    if audited.embeddings is None:
        reason = "the frozen features of the training examples are not available"
        return definition.state_not_measured(reason)
    embeddings = audited.embeddings()
    duplicates = _have_near_duplicates(embeddings)
    count = int(duplicates.sum())
    if audited.withheld.is_small(count):
        return definition.state_not_measured(audited.withheld.reason)
    rate = Rate.from_rows(duplicates, embeddings.units)
    status: MeasuredStatus = "warn" if count else "info"
    if embeddings.sampled_from <= len(duplicates):
        return definition.state_fact(rate.value, n=rate.sample.units, status=status)
    return definition.state_estimate(
        rate.value,
        interval=rate.confidence_interval(),
        adjusted=multiplicity.adjust_interval(rate.exact_interval),
        n=rate.sample.units,
        status=status,
        caveats="A sample finds only pairs that are both in it.",
    )


def _have_near_duplicates(embeddings: Embeddings) -> np.ndarray:
    """Return (n,) whether an example is almost the same as one of another unit; one without features is not."""
    lengths = np.linalg.norm(embeddings.pretrained, axis=1, keepdims=True)
    directions = embeddings.pretrained / np.maximum(lengths, np.finfo(np.float32).tiny)
    _, units = np.unique(
        np.arange(len(directions)) if embeddings.units is None else embeddings.units, return_inverse=True
    )
    has_duplicate: np.ndarray = ((directions @ directions.T >= MIN_COSINE) & (units[:, None] != units)).any(axis=1)
    return has_duplicate
