"""A short JSON for gates and dashboards: the verdict, its rules, and a flat list of findings.

Everything is as it stands in ``audit.json``, texts and numbers. Of its tables the rates of groups are there alone.
"""

from __future__ import annotations

from dataclasses import asdict

from rft.export.group_rates import list_group_rates
from rft.export.judgements import JudgedFinding, Judgement, list_judged_findings, list_judgements
from rft.export.source import ExportSource
from rft.export.texts import Json, write_json
from rft.records import AuditRun, Finding

LAYOUT = 1  # of this file: a key that is added does not change it


def write_findings_json(source: ExportSource) -> str:
    """Return the JSON of a run."""
    run = source.run
    judgements = list_judgements(run)
    return write_json(
        {
            "layout": LAYOUT,
            "rft_version": run.rft_version,
            "run": {"id": run.run.volatile.id, "name": run.run.name, "created": run.run.volatile.created},
            "verdict": _describe_verdict(run),
            "rules": [{"finding": judgement.rule.finding} | _describe_rule(judgement) for judgement in judgements],
            "findings": [_describe_judged(judged) for judged in list_judged_findings(run)],
            "group_rates": [asdict(rate) for rate in list_group_rates(run)],
        }
    )


def _describe_verdict(run: AuditRun) -> dict[str, Json]:
    return {"status": run.latest_verdict.status, "source": run.latest_verdict.source}


def _describe_rule(judgement: Judgement) -> dict[str, Json]:
    rule = judgement.rule
    return {
        "rule": rule.rule,
        "outcome": rule.outcome,
        "bound": judgement.bound,
        "bounds": rule.bounds,
        "value": rule.value,
        "interval": None if rule.interval is None else rule.interval.model_dump(),
        "because": rule.because,
        "explanation": rule.explanation,
        "remedy": rule.remedy,
    }


def _describe_judged(judged: JudgedFinding) -> dict[str, Json]:
    measured = {} if judged.finding is None else _describe_finding(judged.finding)
    rules = [_describe_rule(judgement) for judgement in judged.judgements]
    return {"id": judged.id, "status": judged.status, **measured, "outcome": judged.outcome, "rules": rules}


def _describe_finding(finding: Finding) -> dict[str, Json]:
    interval = finding.interval
    return {
        "title": finding.title,
        "value": finding.value,
        "unit": finding.unit,
        "interval": None if interval is None else interval.model_dump(),
        "n": finding.n,
        "attributes": list(finding.about.attributes),
        "group": finding.about.group,
        "metric": finding.about.metric,
        "reason": finding.reason,
    }
