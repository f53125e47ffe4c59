"""The mitigated model beside the fine-tuned one: measured like it, and compared with it on the same people."""

from __future__ import annotations

import pandas as pd

from rft.plugins import AuditedModel, RunPair
from rft.plugins.chapter_content import ChapterContent, join_content
from rft.plugins.fairness import FairnessOptions
from rft.plugins.fairness.mitigation.mitigate import MitigationResult
from rft.plugins.fairness.paired.section import describe_changes
from rft.plugins.fairness.present.tables import SPLIT

NAMES = ("the fine-tuned model", "the mitigated one")


def mitigation_chapter(
    audited: AuditedModel, mitigated: MitigationResult, options: FairnessOptions, positive: str
) -> ChapterContent:
    """Return the chapter on mitigation; without a mitigated model it says why there is none."""
    if mitigated.predictions is None:
        return mitigated.chapter
    before, after = (_test_rows(frame) for frame in (audited.predictions, mitigated.predictions))
    runs = RunPair(before, after, audited.facts.classes, positive, NAMES, audited.seed, audited.withheld)
    paired = describe_changes(runs, options, verdicts=True)
    return join_content(mitigated.chapter.title, [mitigated.chapter, paired])


def _test_rows(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["split"] == SPLIT].reset_index(drop=True)
