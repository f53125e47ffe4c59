"""The history of runs as a section: a chart for each finding that is judged or a headline, the rest as a table."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from rft.config.rule_kinds import RULE_KINDS
from rft.number_format import format_date
from rft.pipeline.history import FindingHistory, HistoryValue, NamedHistory
from rft.records import Figure, Row, Section, lines_figure, list_columns

RUNS, TREND, OTHERS = "runs", "trend", "others"
MEASURED = "measured"
CAPTIONS = {
    RUNS: "The runs in the order of time; their numbers are those of the charts",
    TREND: "What each run says of a finding, and the bounds of its rules",
    OTHERS: "All other findings: their first, last, lowest and highest value",
}
COLUMNS = {
    RUNS: list_columns(
        {"run": "key", "created": "key", "verdict": "note", "folder": "key", "id": "key", "rft_version": "key"}
    ),
    TREND: list_columns(
        {
            "finding": "key",
            "run": "key",
            "series": "key",
            "value": "estimate",
            "low": "low",
            "high": "high",
            "outcome": "note",
        }
    ),
    OTHERS: list_columns(
        {
            "finding": "key",
            "measured_in": "number",
            "first": "number",
            "last": "number",
            "lowest": "number",
            "highest": "number",
        },
        labels={"measured_in": "runs"},
    ),
}


def present_history(history: NamedHistory) -> Section:
    """Return the section of the runs of one name."""
    measured = [finding for finding in history.findings if any(value.value is not None for value in finding.values)]
    shown = [finding for finding in measured if finding.shown]
    others = [finding for finding in measured if not finding.shown]
    return Section(
        plugin=history.name,
        title=history.name,
        tables={
            RUNS: list(_tabulate_runs(history)),
            TREND: [row for finding in shown for row in _tabulate_trend(finding)],
            OTHERS: [_summarize_values(finding) for finding in others],
        },
        columns=COLUMNS,
        captions=CAPTIONS,
        figures=tuple(_draw_trend(finding, number) for number, finding in enumerate(shown, 1) if len(history.runs) > 1),
    )


def _tabulate_runs(history: NamedHistory) -> Iterator[Row]:
    for run in history.runs:
        yield {
            "run": run.number,
            "created": format_date(run.created),
            "verdict": run.verdict.replace("_", " "),
            "folder": run.folder,
            "id": run.id,
            "rft_version": run.rft_version,
        }


def _tabulate_trend(finding: FindingHistory) -> Iterator[Row]:
    """Yield a row for each run, and then one for each bound of its rules."""
    for value in finding.values:
        yield {
            "finding": finding.id,
            "run": value.run,
            "series": MEASURED,
            "value": value.value,
            "low": value.low,
            "high": value.high,
            "outcome": value.outcome,
        }
    for value in finding.values:
        for words, end in _list_bounds(value).items():
            bound: Row = {"value": end, "low": None, "high": None, "outcome": None}
            yield {"finding": finding.id, "run": value.run, "series": words, **bound}


def _list_bounds(value: HistoryValue) -> Mapping[str, float]:
    """Return the ends of what the rules of a run allow, by their words."""
    ends: dict[str, float] = {}
    for bounds in value.bounds:
        for kind, bound in bounds.items():
            low, high = RULE_KINDS[kind].allowed_range(bound)
            ends |= {f"rule: at least {low:g}": low} if math.isfinite(low) else {}
            ends |= {f"rule: at most {high:g}": high} if math.isfinite(high) else {}
    return ends


def _summarize_values(finding: FindingHistory) -> Row:
    values = [value.value for value in finding.values if value.value is not None]
    return {
        "finding": finding.id,
        "measured_in": len(values),
        "first": values[0],
        "last": values[-1],
        "lowest": min(values),
        "highest": max(values),
    }


def _draw_trend(finding: FindingHistory, number: int) -> Figure:
    return lines_figure(
        id=f"trend_{number}",
        table=TREND,
        where={"finding": finding.id},
        x="run",
        y="value",
        low="low",
        high="high",
        series="series",
        x_label="run",
        y_label=finding.unit,
        lead=True,
        title=finding.title,
        alt=f"{finding.title} of each run in the order of time, with intervals and the bounds of rules.",
    )
