"""What commands print of runs, sections and tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rft.cli.app import out
from rft.number_format import format_count

if TYPE_CHECKING:
    from rft.records import AuditRun, Finding, RuleOutcome, Section, Table, Verdict

VERDICT_STYLES = {"pass": "bold green", "fail": "bold red", "uncertain": "bold yellow", "no_rules": "bold"}


def show_run(run: AuditRun) -> None:
    """Print the verdict, a line for each question, and how much is to be reviewed or was not measured."""
    from rft.report.views.page import count_unjudged

    findings = {finding.id: finding for section in run.sections for finding in section.findings}
    if run.verdict.status != "no_rules" or not run.later_verdicts:
        show_verdict("Verdict", run.verdict, findings)
    for later in run.later_verdicts:
        show_verdict(f"Later verdict by {later.file}", later.verdict, findings)
    if run.verdict.status == "no_rules" and run.later_verdicts:
        out.say("The run itself has no rules.")
    to_review = sum(count for _, count in count_unjudged(run))
    facts = [(pillar.label, pillar.summary) for pillar in run.pillars]
    facts += _list_other_headlines(run)
    facts.append(("To review", f"{to_review} {'finding' if to_review == 1 else 'findings'} that no rule judges"))
    facts.append(("Not measured", _count_not_measured(run)))
    out.facts(facts)


def show_verdict(label: str, verdict: Verdict, findings: Mapping[str, Finding] | None = None) -> None:
    """Print a verdict, how many of its rules have which outcome, and each that does not hold or asks for little.

    ``findings`` of the run by id say which rules ask for no more than always guessing reaches.
    """
    from rft.report.views.verdict import compare_with_guessing

    out.say(f"{label}: {verdict.status.replace('_', ' ')}", style=VERDICT_STYLES[verdict.status])
    unmet = [(f"  {rule.outcome}", _explain_outcome(rule)) for rule in _list_unmet(verdict)]
    compared = [(rule.rule, compare_with_guessing(rule, findings or {})) for rule in verdict.rules]
    easy = [("  note", f"{rule}: {remark}") for rule, remark in compared if remark]
    out.facts([("Rules", _count_outcomes(verdict)), *unmet, *easy])


def write_decisive(verdict: Verdict) -> tuple[str, ...]:
    """Return a verdict and each of its rules that does not hold, a line each, for a log."""
    unmet = [f"{rule.outcome}: {_explain_outcome(rule)}" for rule in _list_unmet(verdict)]
    return (f"verdict: {verdict.status.replace('_', ' ')} (rules: {_count_outcomes(verdict)})", *unmet)


def _list_unmet(verdict: Verdict) -> list[RuleOutcome]:
    """Return the rules that are broken, then those that cannot be settled."""
    from rft.report.views.verdict import WORST_FIRST

    unmet = [rule for rule in verdict.rules if rule.outcome != "pass"]
    return sorted(unmet, key=lambda rule: WORST_FIRST.index(rule.outcome))


def _explain_outcome(rule: RuleOutcome) -> str:
    return f"{rule.rule}: {rule.explanation}{f' ({rule.because})' if rule.because else ''}"


def _count_outcomes(verdict: Verdict) -> str:
    from rft.report.views.verdict import PARTS

    counts = {word: sum(rule.outcome == outcome for rule in verdict.rules) for outcome, word in PARTS.items()}
    return ", ".join(f"{count} {word}" for word, count in counts.items() if count) or "none"


def _list_other_headlines(run: AuditRun) -> list[tuple[str, str]]:
    """Return the headlines of plugins that ask none of the questions."""
    asked = {pillar.plugin for pillar in run.pillars}
    return [
        (section.title or section.plugin, f"{finding.title}: {finding.value:.3g}")
        for section in run.sections
        if section.plugin not in asked
        for finding in section.findings
        if finding.headline and finding.value is not None and finding.status == "info"
    ]


def _count_not_measured(run: AuditRun) -> str:
    """Return how many findings have no value: first of what the config asks for, by a table of the plugin."""
    absent = [
        section.plugin in run.run.config and finding.absence is None
        for section in run.sections
        for finding in section.findings
        if finding.status == "not_measured"
    ]
    asked, rest = sum(absent), len(absent) - sum(absent)
    return f"{asked} of what the config asks for (the report says why), {rest} of what it does not, or does not apply"


def summarize_run(run: AuditRun) -> dict[str, object]:
    """Return what stands in ``--json`` of a run: which it is, its verdicts, and the ids of what is to be looked at."""
    later = [
        {"file": verdict.file, "verdict": verdict.verdict.model_dump(mode="json")} for verdict in run.later_verdicts
    ]
    findings = [finding for section in run.sections for finding in section.findings]
    return {
        "run": run.run.volatile.id,
        "name": run.run.name,
        "verdict": run.verdict.model_dump(mode="json"),
        "later_verdicts": later,
        "to_review": [finding.id for finding in findings if finding.status == "warn"],
        "not_measured": [finding.id for finding in findings if finding.status == "not_measured"],
    }


def show_findings(section: Section) -> None:
    """Print each finding with its interval and the number of its cases, or why it is missing."""
    for finding in section.findings:
        if finding.value is None:
            out.say(f"  missing    {finding.id}: {finding.reason}")
        else:
            ends = f" [{finding.interval.low:+.3f}, {finding.interval.high:+.3f}]" if finding.interval else ""
            cases = "" if finding.n is None else f", n = {format_count(finding.n)}"
            out.say(f"  {finding.value:+.3f}{ends}{cases}  {finding.description}")


def show_table(rows: Table) -> None:
    """Print a table of a section."""
    shown = [
        ["" if cell is None else f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in row.values()]
        for row in rows
    ]
    out.table(list(rows[0]), shown, numeric=[not isinstance(cell, str) for cell in rows[0].values()])
