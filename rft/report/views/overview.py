"""Below the verdict: one sentence for each question, what is open, what to do next, and what was claimed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rft.records import AuditRun, Claim
from rft.report.format.words import count_of, end_sentence, join_names
from rft.report.views.findings import make_anchor

CLAIM_WORDS = {
    "measured": "measured",
    "declared": "declared by the user",
    "not_measured": "not measured",
    "not_applicable": "does not apply",
    "not_asked": "not asked for",
}
MAX_REMEDIES = 2


@dataclass(frozen=True)
class ClaimView:
    """A claim with its mark. ``anchor`` leads to the finding that answers it; empty where there is none."""

    label: str
    state: str
    word: str
    anchor: str


@dataclass(frozen=True)
class PillarView:
    """A question with its answer. ``anchor`` leads to its section; empty where it took no part."""

    label: str
    summary: str
    anchor: str
    claims: tuple[ClaimView, ...]


@dataclass(frozen=True)
class OverviewView:
    """All questions, what is open after them, and what to do next."""

    pillars: tuple[PillarView, ...]
    open: str
    next: str


def view_overview(run: AuditRun) -> OverviewView:
    """Return the overview of a run."""
    present = {section.plugin for section in run.sections}
    pillars = tuple(
        PillarView(
            pillar.label,
            pillar.summary,
            make_anchor(f"section-{pillar.plugin}") if pillar.plugin in present else "",
            tuple(map(_view_claim, pillar.claims)),
        )
        for pillar in run.pillars
    )
    return OverviewView(pillars, _say_what_is_open(run), _say_what_is_next(run))


def _view_claim(claim: Claim) -> ClaimView:
    return ClaimView(
        claim.label, claim.state, CLAIM_WORDS[claim.state], make_anchor(claim.finding) if claim.finding else ""
    )


def _say_what_is_open(run: AuditRun) -> str:
    claims = [claim for pillar in run.pillars for claim in pillar.claims]
    unsettled = sum(rule.outcome == "uncertain" for rule in run.verdict.rules)
    missing = [_uncapitalize(claim.label) for claim in claims if claim.state == "not_measured"]
    sentences = (
        f"{count_of(unsettled, 'rule')} cannot be settled." * bool(unsettled),
        f"Asked for and not measured: {join_names(missing)}." * bool(missing),
    )
    return " ".join(filter(None, sentences)) or _say_what_was_not_asked(claims)


def _say_what_was_not_asked(claims: Sequence[Claim]) -> str:
    if any(claim.state == "not_asked" for claim in claims):
        return "Nothing that was asked for is missing. What was not asked for is marked beside the answers."
    return "All that this report knows to ask was measured."


def _say_what_is_next(run: AuditRun) -> str:
    """Return what to do: against what is broken, about what is unsettled, or to get a verdict at all."""
    if run.verdict.status == "no_rules":
        return (
            "Write down the bounds that this use can bear as rules in a TOML file, and judge this run by them: "
            "rft report RUN --policy FILE."
        )
    findings = {finding.id: finding for section in run.sections for finding in section.findings}
    remedies = []
    for outcome in ("fail", "uncertain"):
        for rule in run.verdict.rules:
            if rule.outcome != outcome:
                continue
            finding = findings.get(rule.finding)
            if outcome == "fail" and finding is not None and finding.remedy:
                remedies.append(finding.remedy)
            elif outcome == "uncertain":
                reason = rule.reason or rule.explanation
                remedies.append(_say_how_to_settle(finding.title if finding else rule.finding, reason))
    if remedies:
        return " ".join(list(dict.fromkeys(remedies))[:MAX_REMEDIES])
    if run.verdict.status == "fail":
        return "Do not release it before the broken rules are explained: see the findings they link to."
    return "Look at the findings that no rule judges; keep the run and its hash; audit again when data or model change."


def _uncapitalize(label: str) -> str:
    """Return a label as it stands in a sentence; abbreviations keep their capitals."""
    return label if label[1:2].isupper() else label[:1].lower() + label[1:]


def _say_how_to_settle(title: str, reason: str) -> str:
    """Return a sentence about a rule that cannot be settled: ``<where the interval lies>; <what would settle it>``."""
    needed = reason.partition("; ")[2] or reason
    return end_sentence(f"{title}: {needed}")
