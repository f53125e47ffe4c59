"""A table for spreadsheets: RFC 4180, UTF-8, a row a finding, and then a row for each metric of each group.

A text that a spreadsheet would take for a formula gets an apostrophe in front; numbers stay numbers, negative ones too.
"""

from __future__ import annotations

import csv
import io
import re

from rft.export.group_rates import GroupRate, list_group_rates
from rft.export.judgements import JudgedFinding, list_judged_findings
from rft.export.source import ExportSource
from rft.records import Cell, Finding
from rft.visible import visible

COLUMNS = (
    *("kind", "id", "title", "status", "value", "unit", "low", "high", "method", "n"),
    *("attribute", "group", "metric", "class", "further", "outcome", "bound", "because", "explanation", "reason"),
)
_FORMULA = re.compile(r"[=+\-@\t\r]")


def write_csv(source: ExportSource) -> str:
    """Return the table, with a line of headings: findings, what rules name and the run does not have, and group rates.

    Of several rules about a finding, the outcome is the worst, and texts stand behind each other.
    """
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for judged in list_judged_findings(source.run):
        named: dict[str, Cell] = {"kind": "finding", "id": judged.id, "status": judged.status}
        built_in = [judgement.rule.rule for judgement in judged.judgements if not judgement.bound]
        if judged.finding is None and built_in:
            named["title"] = built_in[0]
        cells = named | _describe_finding(judged.finding) | _describe_rules(judged)
        writer.writerow([_neutralise(cells.get(column)) for column in COLUMNS])
    for rate in list_group_rates(source.run):
        cells = _describe_group_rate(rate)
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


def _describe_group_rate(rate: GroupRate) -> dict[str, Cell]:
    """Return the cells of a metric of a group; ``id`` is the table that it stands in, which no rule can name."""
    return {
        "kind": "group rate",
        "id": rate.table,
        "status": "info" if rate.value is not None else "not_measured",
        "value": rate.value,
        "low": rate.low,
        "high": rate.high,
        "n": rate.n,
        "attribute": rate.attribute,
        "group": rate.group,
        "metric": rate.metric,
        "class": rate.label_class,
        "further": rate.further,
        "reason": rate.reason,
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
