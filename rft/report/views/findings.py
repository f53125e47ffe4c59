"""A finding in words and rounded numbers."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from rft import number_format
from rft.records import Finding

STATUS_WORDS = {"warn": "Review", "fail": "Failed", "not_measured": "Not measured"}
ABSENCE_WORDS = {"not_asked": "Not requested", "not_applicable": "Does not apply"}
GRADE_WORDS = {"measured": "Measured", "declared": "Declared by the user", "unverified": "Not verified"}
WORTH_A_REVIEW = 2  # the rank of what no rule judges and somebody should look at
WITHOUT_REMARK = 3  # the rank from which on nothing asks for a look
SHARES = ("fraction", "probability")  # units that are understood without being named


NOTHING_JUDGED: Mapping[str, bool] = {}


@dataclass(frozen=True)
class FindingView:
    """A finding in words.

    Attributes:
        state: its status, for the mark; ``word`` says it.
        value: empty without one; ``unit``, ``interval``, ``n`` likewise.
        rank: 0 failed, 1 judged by a rule, 2 worth a review or a headline, 3 measured without remark, 4 not measured.
        headline: named first among those of one rank that are worth a review, and in a card in any case.
    """

    id: str
    anchor: str
    title: str
    state: str
    word: str
    value: str
    unit: str
    interval: str
    method: str
    n: str
    description: str
    caveats: str
    references: tuple[str, ...]
    reason: str
    remedy: str
    rank: int
    headline: bool = False

    @property
    def brief(self) -> str:
        """The value with its interval, in one line."""
        return " ".join(part for part in (self.value, self.unit, self.interval) if part) or "not measured"

    @property
    def short_reason(self) -> str:
        """The first clause of the reason; empty where it was measured."""
        return self.reason.split(": ")[0]


def view_finding(finding: Finding, judged: Mapping[str, bool] = NOTHING_JUDGED) -> FindingView:
    """Return a finding in words; an estimate is rounded by its interval.

    What to do is said of a finding that is worth a review, or whose rule does not hold: of any other it would be wrong.

    Args:
        finding: the finding.
        judged: findings that rules judge: id -> whether all of them hold.
    """
    ends = (finding.interval.low, finding.interval.high) if finding.interval else None
    return FindingView(
        id=finding.id,
        anchor=make_anchor(finding.id),
        title=finding.title,
        state=finding.absence or finding.status,
        word=_word_of_status(finding),
        value=""
        if finding.value is None
        else number_format.format_quantity(finding.value, finding.unit, ends, finding.rounding),
        unit="" if finding.unit in SHARES else finding.unit.replace("_", " "),
        interval=number_format.format_interval(*ends) if ends else "",
        method=finding.interval.method if finding.interval else "",
        n="" if finding.n is None else number_format.format_count(finding.n),
        description=finding.description,
        caveats=finding.caveats,
        references=finding.references,
        reason=finding.reason or "",
        remedy=finding.remedy if finding.status in ("warn", "fail") or not judged.get(finding.id, True) else "",
        rank=_rank_finding(finding, judged),
        headline=finding.headline,
    )


def make_anchor(id: str) -> str:
    """Return a name for links to a finding: its id, made unique by a hash where a link cannot hold the id."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", id)
    return plain if plain == id else f"{plain}-{hashlib.sha256(id.encode()).hexdigest()[:8]}"


def _word_of_status(finding: Finding) -> str:
    if finding.absence:
        return ABSENCE_WORDS[finding.absence]
    return STATUS_WORDS.get(finding.status, GRADE_WORDS[finding.grade])


def _rank_finding(finding: Finding, judged: Mapping[str, bool]) -> int:
    if finding.status == "fail":
        return 0
    if finding.id in judged:
        return 1
    if finding.value is None:
        return 4
    return 2 if finding.status == "warn" or finding.headline else 3
