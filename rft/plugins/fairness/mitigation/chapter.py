"""The mitigated model beside the fine-tuned one: measured like it, and compared with it on the same people."""

from __future__ import annotations

import pandas as pd

from rft.plugins import AuditedModel, RunPair
from rft.plugins.fairness import FairnessOptions
from rft.plugins.fairness.mitigation.mitigate import Mitigated
from rft.plugins.fairness.paired.section import section
from rft.plugins.fairness.present.chapters import Part
from rft.plugins.fairness.present.tables import SPLIT

NAMES = ("the fine-tuned model", "the mitigated one")


def part(audited: AuditedModel, found: Mitigated, options: FairnessOptions, positive: str) -> Part:
    """Return the chapter on mitigation; without a mitigated model it says why there is none."""
    if found.predictions is None:
        return Part("Mitigation", found.findings, found.tables, found.captions, found.figures, found.notes)
    before, after = (_test_rows(frame) for frame in (audited.predictions, found.predictions))
    runs = RunPair(before, after, audited.facts.classes, positive, NAMES, audited.seed, audited.withheld)
    paired = section(runs, options, verdicts=True)
    return Part(
        "Mitigation",
        (*found.findings, *paired.findings),
        found.tables | paired.tables,
        found.captions | paired.captions,
        (*found.figures, *paired.figures),
        (*found.notes, *paired.notes),
    )


def _test_rows(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["split"] == SPLIT].reset_index(drop=True)
