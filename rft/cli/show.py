"""What commands print of runs, sections and tables."""

from __future__ import annotations

from rft.cli.app import out
from rft.number_format import format_count
from rft.records import AuditRun, Section, Table, Verdict


def show_run(run: AuditRun) -> None:
    """Print the verdict, its rules, headlines, and what needs a look."""
    _show_verdict("Verdict", run.verdict)
    for later in run.later_verdicts:
        _show_verdict(f"Later verdict by {later.file}", later.verdict)
    for section in run.sections:
        for finding in section.findings:
            if finding.headline and finding.status == "info":
                out.say(f"  measured   {finding.id} = {finding.value:.3g}  {finding.title}")
            elif finding.status == "warn":
                ends = f" [{finding.interval.low:.3g}, {finding.interval.high:.3g}]" if finding.interval else ""
                out.say(f"  look at    {finding.id} = {finding.value:.3g}{ends}  {finding.title}")
            elif finding.status == "not_measured" and finding.absence is None and section.plugin in run.run.config:
                out.say(f"  missing    {finding.id}: {finding.reason}")  # asked for with a table, and failed


def _show_verdict(label: str, verdict: Verdict) -> None:
    out.say(f"{label}: {verdict.status.replace('_', ' ')}", style="bold")
    for rule in verdict.rules:
        out.say(f"  {rule.outcome:9}  {rule.rule}: {rule.explanation}")


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
