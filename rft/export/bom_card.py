"""The model card within a bill of materials, as CycloneDX 1.7 lays it out."""

from __future__ import annotations

from collections.abc import Iterator

from rft.export.judgements import list_judgements
from rft.export.texts import Json, write_number
from rft.records import AuditRun, Cell, Column, Finding, Role, Row, Section, find_column
from rft.report.render.publishable import UN_NOISED

INPUT_FORMATS = {"image": "image", "text": "string"}  # modality -> what CycloneDX calls it
METRIC_ROLES: tuple[Role, ...] = ("attribute", "group", "metric", "estimate", "low", "high")


def describe_model_card(run: AuditRun, data: tuple[str, ...]) -> dict[str, Json]:
    """Return the card.

    Args:
        run: without what a card withholds.
        data: references of the data sets in the bill of materials.
    """
    findings = [finding for section in run.sections for finding in section.findings]
    return {
        "modelParameters": _describe_parameters(run, data),
        "quantitativeAnalysis": {
            "performanceMetrics": [
                *(_describe_estimate(finding) for finding in findings if finding.interval is not None),
                *(metric for section in run.sections for metric in _list_group_metrics(section)),
            ]
        },
        "considerations": _describe_considerations(findings),
        "properties": [{"name": f"rft:{name}", "value": value} for name, value in _list_facts(run, findings)],
    }


def _describe_parameters(run: AuditRun, data: tuple[str, ...]) -> Json:
    model = run.model
    named = {} if model.backbone is None else {"modelArchitecture": model.backbone.name}
    inputs = {"inputs": [{"format": INPUT_FORMATS[model.modality]}]} if model.modality in INPUT_FORMATS else {}
    return {
        "approach": {"type": "supervised"},
        "task": model.task_kind.label,
        **named,
        "datasets": [{"ref": reference} for reference in data],
        **inputs,
        "outputs": [
            {"format": f"probabilities of the classes {', '.join(model.classes)}" if model.classes else "text"}
        ],
    }


def _describe_estimate(finding: Finding) -> Json:
    attributes = " x ".join(finding.about.attributes)
    parts = [part for part in (attributes, finding.about.group) if part]
    interval = finding.interval
    ends = (interval.low, interval.high) if interval else (None, None)
    return _write_metric(finding.id, finding.value, ends, ": ".join(parts))


def _list_group_metrics(section: Section) -> Iterator[Json]:
    """Yield the metrics of groups with their intervals, from those tables whose columns have these roles.

    A table with further numbers is of more than the model (heads at several epsilons), and rows with other keys than
    the first are of something else (a mitigated model, people within a control feature): both are left out.
    """
    for name, rows in section.tables.items():
        columns = section.describe_table(name)
        wanted = [find_column(columns, role) for role in METRIC_ROLES]
        names = [column for column in wanted if column is not None]
        numbers = [number for number, column in columns.items() if column.role == "number"]
        if len(names) < len(wanted) or any(row[number] is not None for row in rows for number in numbers):
            continue
        attribute, group, metric, estimate, low, high = names
        keys = [key for key, column in columns.items() if column.role in ("key", "name")]
        for row in rows:
            of_model = all(row[key] == rows[0][key] for key in keys)
            if of_model and row[group] is not None and row[estimate] is not None:
                part = f"{row[attribute]}: {row[group]}{_name_class(row, columns)}"
                yield _write_metric(str(row[metric]), row[estimate], (row[low], row[high]), part)


def _name_class(row: Row, columns: dict[str, Column]) -> str:
    name = find_column(columns, "class")
    return "" if name is None or row[name] is None else f", class {row[name]}"


def _write_metric(name: str, value: Cell, ends: tuple[Cell, Cell], part: str) -> Json:
    low, high = ends
    interval: dict[str, Json] = {}
    if low is not None and high is not None:
        interval = {"confidenceInterval": {"lowerBound": _write_cell(low), "upperBound": _write_cell(high)}}
    return {"type": name, "value": _write_cell(value), **({"slice": part} if part else {}), **interval}


def _write_cell(cell: Cell) -> str:
    return write_number(cell) if isinstance(cell, int | float) else str(cell)


def _describe_considerations(findings: list[Finding]) -> Json:
    """Return what limits the model, and what the audit points out: of groups apart, as CycloneDX wants it."""
    missing = [f"{finding.title}: not measured: {finding.reason}" for finding in findings if finding.value is None]
    caveats = [finding.caveats for finding in findings if finding.caveats]
    pointed_out = [finding for finding in findings if finding.status in ("warn", "fail")]
    return {
        "technicalLimitations": list(dict.fromkeys([*caveats, *missing, UN_NOISED])),
        "ethicalConsiderations": [{"name": _state_finding(finding)} for finding in pointed_out],
        "fairnessAssessments": [
            {"groupAtRisk": _name_groups(finding), "harms": _state_finding(finding)}
            for finding in findings
            if finding.about.attributes and finding.value is not None
        ],
    }


def _state_finding(finding: Finding) -> str:
    """Return title, value, interval and description in a line."""
    value = "" if finding.value is None else f"{write_number(finding.value)} {finding.unit}".rstrip()
    interval = finding.interval
    ends = f", interval {write_number(interval.low)} to {write_number(interval.high)}" if interval else ""
    return f"{finding.title}: {value}{ends}. {finding.description}"


def _name_groups(finding: Finding) -> str:
    attributes = ", ".join(finding.about.attributes)
    return f"{attributes}: {finding.about.group}" if finding.about.group else f"groups of {attributes}"


def _list_facts(run: AuditRun, findings: list[Finding]) -> Iterator[tuple[str, str]]:
    """Yield names and values of what CycloneDX has no place for: the verdict, training, facts without intervals."""
    yield "verdict", run.latest_verdict.status
    yield "verdict:source", run.latest_verdict.source
    for rule in (judgement.rule for judgement in list_judgements(run)):
        yield "rule", f"{rule.outcome}: {rule.rule}: {rule.explanation}"
    for name, value in run.model.training.model_dump(exclude_none=True, exclude={"class_weights"}).items():
        yield f"training:{name}", _write_cell(value)
    for finding in findings:
        if finding.value is not None and finding.interval is None:
            yield f"finding:{finding.id}", f"{write_number(finding.value)} {finding.unit}".rstrip()
