"""The question that a plugin answers in the overview of a report, whether or not a run asked it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from rft import number_format
from rft.records import Claim, ClaimState, Finding, Pillar, Section

NOT_ASKED = "Not requested in this run, so nothing is known."


@dataclass(frozen=True)
class ClaimDefinition:
    """One thing that a reviewer asks for, and the findings that answer it.

    Attributes:
        label: what is asked, in a few words.
        findings: ids, in which ``*`` stands for any text; the first that a run has answers it.
    """

    label: str
    findings: tuple[str, ...]


@dataclass(frozen=True)
class PillarDefinition:
    """A plugin's row in the overview.

    Attributes:
        label: a word or two: ``Privacy``.
        claims: what the answer is made of.
    """

    label: str
    claims: tuple[ClaimDefinition, ...]


def state_pillar(plugin: str, definition: PillarDefinition, section: Section | None, summary: str) -> Pillar:
    """Return a plugin's row in the overview of a run.

    Args:
        plugin: its name.
        definition: its question.
        section: what it found; None where it took no part.
        summary: the answer in a sentence or two.
    """
    findings = section.findings if section else ()
    claims = tuple(_state_claim(claim, findings) for claim in definition.claims)
    return Pillar(plugin=plugin, label=definition.label, summary=summary, claims=claims)


def _state_claim(claim: ClaimDefinition, findings: Sequence[Finding]) -> Claim:
    answers = [finding for finding in findings if any(fnmatchcase(finding.id, pattern) for pattern in claim.findings)]
    answers.sort(key=lambda finding: finding.value is None)  # a value first: of two attributes one may have too few
    if not answers:
        return Claim(label=claim.label, state="not_asked")
    return Claim(label=claim.label, state=_state_of_answer(answers[0]), finding=answers[0].id)


def _state_of_answer(finding: Finding) -> ClaimState:
    if finding.value is None:
        return finding.absence or "not_measured"
    return "declared" if finding.grade == "declared" else "measured"


def write_value(finding: Finding) -> str:
    """Return the value of a finding with its interval, as a report writes them: ``0.19 [0.13, 0.25]``."""
    assert finding.value is not None, f"{finding.id} was not measured"
    if finding.interval is None:
        return number_format.format_quantity(finding.value, finding.unit, rounding=finding.rounding)
    ends = (finding.interval.low, finding.interval.high)
    return f"{number_format.format_quantity(finding.value, finding.unit, ends)} {number_format.format_interval(*ends)}"


def find_measured(section: Section, id: str) -> Finding | None:
    """Return the finding with this id where it has a value; None where it has none, or there is no such finding."""
    return next((finding for finding in section.findings if finding.id == id and finding.value is not None), None)
