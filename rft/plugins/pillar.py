"""The question that a plugin answers in the overview of a report, whether or not a run asked it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from rft import number_format
from rft.records import Claim, ClaimState, Contrast, Finding, Pillar, Section, TaskName

NOT_ASKED = "Not requested in this run, so nothing is known."


@dataclass(frozen=True)
class ClaimDefinition:
    """One thing that a reviewer asks for, and the findings that answer it.

    Attributes:
        label: what is asked, in a few words.
        findings: ids, in which ``*`` stands for any text; the first that a run has answers it. What several claims of a
            pillar name belongs to the last of them, which is the narrowest.
        tasks: of which it can be asked.
    """

    label: str
    findings: tuple[str, ...]
    tasks: tuple[TaskName, ...] = ("classification",)

    def names(self, id: str) -> bool:
        """Return whether a finding is among those that answer the claim."""
        return any(fnmatchcase(id, pattern) for pattern in self.findings)


@dataclass(frozen=True)
class PillarDefinition:
    """A plugin's row in the overview.

    Attributes:
        label: a word or two: ``Privacy``.
        claims: what the answer is made of.
    """

    label: str
    claims: tuple[ClaimDefinition, ...]


def state_pillar(
    plugin: str,
    definition: PillarDefinition,
    section: Section | None,
    summary: str,
    contrasts: tuple[Contrast, ...] = (),
    *,
    task: TaskName = "classification",
) -> Pillar:
    """Return a plugin's row in the overview of a run.

    Args:
        plugin: its name.
        definition: its question.
        section: what it found; None where it took no part.
        summary: the answer in a sentence or two.
        contrasts: the largest gaps between groups.
        task: of what was audited.
    """
    findings = section.findings if section else ()
    asked = [claim for claim in definition.claims if task in claim.tasks]
    answers: dict[str, list[Finding]] = {claim.label: [] for claim in asked}
    for finding in findings:
        named = [claim.label for claim in asked if claim.names(finding.id)]
        if named:
            answers[named[-1]].append(finding)
    claims = tuple(stated for label, answering in answers.items() for stated in _state_claims(label, answering))
    return Pillar(plugin=plugin, label=definition.label, summary=summary, claims=claims, contrasts=contrasts)


def state_inapplicable(plugin: str, definition: PillarDefinition, reason: str) -> Pillar:
    """Return the row of a plugin that does not apply to what was audited, with the reason."""
    claims = tuple(Claim(label=claim.label, state="not_applicable") for claim in definition.claims)
    return Pillar(plugin=plugin, label=definition.label, summary=f"Does not apply: {reason}.", claims=claims)


def _state_claims(label: str, findings: Sequence[Finding]) -> list[Claim]:
    """Return a claim, and one for each attribute that could not be measured where others were."""
    answers = sorted(findings, key=lambda finding: finding.value is None)  # of two attributes one may have too few
    if not answers:
        return [Claim(label=label, state="not_asked")]
    first = Claim(label=label, state=_state_of_answer(answers[0]), finding=answers[0].id)
    if answers[0].value is None:
        return [first]
    measured = {name for finding in answers if finding.value is not None for name in finding.about.attributes}
    unmeasured: dict[str, Claim] = {}
    for finding in answers:
        for name in finding.about.attributes:
            if name not in measured:
                claim = Claim(label=f"{label} ({name})", state=_state_of_answer(finding), finding=finding.id)
                unmeasured.setdefault(name, claim)
    return [first, *unmeasured.values()]


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
