"""A table of findings for spreadsheets: RFC 4180, UTF-8, a row a finding.

A text that a spreadsheet would take for a formula gets an apostrophe in front; numbers stay numbers, negative ones too.
"""

from __future__ import annotations

import csv
import io
import re

from rft.export.judgements import JudgedFinding, list_judged_findings
from rft.export.source import ExportSource
from rft.records import Cell, Finding
from rft.visible import visible

COLUMNS = (
    *("id", "title", "status", "value", "unit", "low", "high", "method", "n", "attribute", "group", "metric"),
    *("outcome", "bound", "because", "explanation", "reason"),
)
_FORMULA = re.compile(r"[=+\-@\t\r]")


def write_csv(source: ExportSource) -> str:
    """Return the table, with a line of headings; what rules name and the run does not have comes last.

    Of several rules about a finding, the outcome is the worst, and texts stand behind each other.
    """
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for judged in list_judged_findings(source.run):
        cells = {"id": judged.id, "status": judged.status} | _describe_finding(judged.finding) | _describe_rules(judged)
        writer.writerow([_neutralise(cells.get(column)) for column in COLUMNS])
    return stream.getvalue()


def _describe_finding(finding: Finding | None) -> dict[str, Cell]:
    if finding is None:
        return {}
    interval = finding.interval
    return {
        "title": finding.title,
        "status": finding.status,
        "value": finding.value,
        "unit": finding.unit,
        "low": interval.low if interval else None,
        "high": interval.high if interval else None,
        "method": interval.method if interval else None,
        "n": finding.n,
        "attribute": "; ".join(finding.about.attributes),
        "group": finding.about.group,
        "metric": finding.about.metric,
        "reason": finding.reason,
    }


def _describe_rules(judged: JudgedFinding) -> dict[str, Cell]:
    rules = [judgement.rule for judgement in judged.judgements]
    return {
        "outcome": judged.outcome,
        "bound": "; ".join(judgement.bound for judgement in judged.judgements if judgement.bound),
        "because": "; ".join(rule.because for rule in rules if rule.because),
        "explanation": "; ".join(rule.explanation for rule in rules),
    }


def _neutralise(cell: Cell) -> Cell:
    """Return a cell that no spreadsheet computes: a text that begins like a formula gets an apostrophe in front."""
    if not isinstance(cell, str):
        return cell
    shown = visible(cell)
    return f"'{shown}" if _FORMULA.match(cell) or _FORMULA.match(shown) else shown
