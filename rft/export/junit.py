"""JUnit XML: one suite, and a test case for each rule. CI servers show it beside the tests of the code.

A rule that holds is a passed test, a broken one a ``failure``. An uncertain one is an ``error``: the rule could not be
decided, and no CI server shows an error as passed; ``skipped`` would be, as exit code 3 is no 0.
"""

from __future__ import annotations

from xml.etree import ElementTree as ET

from rft.export.judgements import Judgement, list_judgements
from rft.export.source import ExportSource
from rft.export.texts import write_number
from rft.records import AuditRun, Finding, Interval
from rft.visible import visible

NO_RULES = "no rules: nothing was asked of this run, and nothing is passed"


def write_junit(source: ExportSource) -> str:
    """Return the XML of a run. Without rules its one test case is skipped, and says so."""
    judgements = list_judgements(source.run)
    outcomes = [judgement.rule.outcome for judgement in judgements]
    counts = {
        "tests": max(len(judgements), 1),
        "failures": outcomes.count("fail"),
        "errors": outcomes.count("uncertain"),
        "skipped": int(not judgements),
    }
    counted = {name: str(count) for name, count in counts.items()}
    root = ET.Element("testsuites", {"name": "rft", **counted})
    suite = ET.SubElement(root, "testsuite", {"name": visible(source.run.run.name), **counted})
    suite.set("timestamp", visible(source.run.run.volatile.created))
    suite.set("time", write_number(source.run.run.volatile.seconds))
    _add_properties(suite, source.run)
    for judgement in judgements:
        _add_case(suite, judgement)
    if not judgements:
        case = ET.SubElement(suite, "testcase", {"classname": "policy", "name": "no rules"})
        ET.SubElement(case, "skipped", {"message": NO_RULES})
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _add_properties(suite: ET.Element, run: AuditRun) -> None:
    named = {
        "verdict": run.latest_verdict.status,
        "rules stand in": run.latest_verdict.source,
        "run": run.run.volatile.id,
        "rft version": run.rft_version,
    }
    properties = ET.SubElement(suite, "properties")
    for name, value in named.items():
        ET.SubElement(properties, "property", {"name": name, "value": visible(value)})


def _add_case(suite: ET.Element, judgement: Judgement) -> None:
    rule = judgement.rule
    case = ET.SubElement(suite, "testcase", {"classname": visible(rule.finding), "name": visible(rule.rule)})
    details = "\n".join(visible(line) for line in _describe_judgement(judgement))
    if rule.outcome == "pass":
        ET.SubElement(case, "system-out").text = details
        return
    tag, kind = ("failure", _kind_of_failure(judgement)) if rule.outcome == "fail" else ("error", "uncertain")
    problem = ET.SubElement(case, tag, {"message": visible(rule.explanation), "type": kind})
    problem.text = details


def _kind_of_failure(judgement: Judgement) -> str:
    broken = judgement.finding is not None and judgement.finding.status == "fail"
    return "broken integrity" if broken else "broken rule"


def _describe_judgement(judgement: Judgement) -> list[str]:
    """Return the lines of a test case: what was asked, what was measured, and why that settles it or not."""
    rule = judgement.rule
    asked = [f"bound: {judgement.bound}"] if judgement.bound else []
    because = [f"because: {rule.because}"] if rule.because else []
    measured = _describe_finding(judgement.finding, rule.interval) if judgement.finding else []
    absent = ["finding: not in this run"] if judgement.bound and not judgement.finding else []
    return [f"{rule.outcome}: {rule.explanation}", *asked, *because, *measured, *absent]


def _describe_finding(finding: Finding, judged: Interval | None) -> list[str]:
    """Return what was measured; of its intervals the one that was judged, where one was."""
    lines = [f"finding: {finding.title}"]
    if finding.value is None:
        return [*lines, f"not measured: {finding.reason}"]
    lines.append(f"value: {write_number(finding.value)} {finding.unit}".rstrip())
    if (interval := judged or finding.interval) is not None:
        lines.append(f"interval: {write_number(interval.low)} to {write_number(interval.high)} ({interval.method})")
    return [*lines, f"n: {finding.n}"] if finding.n is not None else lines
