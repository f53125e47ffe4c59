"""What a run says, laid flat: each rule with its finding, each finding with its rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rft.records import AuditRun, Finding, Outcome, RuleOutcome, Status
from rft.verdict.policy import judge_without_rules

SEVERITY: tuple[Outcome, ...] = ("pass", "uncertain", "fail")  # the worst last


@dataclass(frozen=True)
class Judgement:
    """What a rule says of a finding; ``finding`` is None where the run has none of this name."""

    rule: RuleOutcome
    finding: Finding | None

    @property
    def bound(self) -> str:
        """The bounds in words, such as ``at least 0.8``; empty for what is judged without a rule of the user."""
        prefix = f"{self.rule.finding} is "
        return self.rule.rule.removeprefix(prefix) if self.rule.rule.startswith(prefix) else ""


@dataclass(frozen=True)
class JudgedFinding:
    """A finding and what rules say of it; ``finding`` is None where rules name one that the run does not have."""

    id: str
    finding: Finding | None
    judgements: tuple[Judgement, ...]

    @property
    def status(self) -> Status | Literal["absent"]:
        """The status of the finding."""
        return self.finding.status if self.finding is not None else "absent"

    @property
    def outcome(self) -> Outcome | None:
        """The worst outcome of its rules; None where no rule is about it."""
        outcomes = {judgement.rule.outcome for judgement in self.judgements}
        return max(outcomes, key=SEVERITY.index, default=None)


def list_judgements(run: AuditRun) -> tuple[Judgement, ...]:
    """Return what the latest verdict says, rule by rule.

    Broken integrity and missing audits are there even where the verdict does not name them.
    """
    findings = {finding.id: finding for section in run.sections for finding in section.findings}
    named = {(outcome.rule, outcome.finding) for outcome in run.latest_verdict.rules}
    unnamed = [outcome for outcome in judge_without_rules(run.sections) if (outcome.rule, outcome.finding) not in named]
    stated = [*unnamed, *run.latest_verdict.rules]
    return tuple(Judgement(outcome, findings.get(outcome.finding)) for outcome in stated)


def list_judged_findings(run: AuditRun) -> tuple[JudgedFinding, ...]:
    """Return all findings with their rules, and then what rules name and the run does not have."""
    findings: dict[str, Finding | None] = {
        finding.id: finding for section in run.sections for finding in section.findings
    }
    judgements = list_judgements(run)
    absent = {judgement.rule.finding: None for judgement in judgements if judgement.rule.finding not in findings}
    return tuple(
        JudgedFinding(id, finding, tuple(judgement for judgement in judgements if judgement.rule.finding == id))
        for id, finding in (findings | absent).items()
    )
