"""The mitigated model beside the fine-tuned one: measured like it, and compared with it on the same people."""

from __future__ import annotations

import pandas as pd

from rft.plugins import Subject
from rft.plugins.fairness import FairnessOptions
from rft.plugins.fairness.mitigation.mitigate import Mitigated
from rft.plugins.fairness.paired.section import section
from rft.plugins.fairness.present.chapters import Part
from rft.plugins.fairness.present.tables import SPLIT

NAMES = ("the fine-tuned model", "the mitigated one")


def part(subject: Subject, found: Mitigated, options: FairnessOptions, positive: str) -> Part:
    """Return the chapter on mitigation; without a mitigated model it says why there is none."""
    if found.predictions is None:
        return Part("Mitigation", found.findings, found.tables, found.captions, found.figures, found.notes)
    before, after = (_test_rows(frame) for frame in (subject.predictions, found.predictions))
    paired = section(
        before,
        after,
        classes=subject.facts.classes,
        positive=positive,
        names=NAMES,
        seed=subject.seed,
        options=options,
        withheld=subject.withheld,
        verdicts=True,
    )
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
