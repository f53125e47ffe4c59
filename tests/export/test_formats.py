"""Every format: valid whatever users' texts hold, from audit.json alone, and no word more than it says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rft.disclosure.release import release_sections
from rft.disclosure.withheld import Withheld
from rft.export.formats import FORMATS
from rft.records import AuditRun
from rft.report import open_run, save
from tests.support import ROOT
from tests.support.exported import (
    CHECKS,
    export_text,
    golden_run,
    list_texts,
    with_report_keys,
    with_rules,
    without_failures,
)
from tests.support.hostile_text import ARABIC, HEBREW, HIDDEN, HOSTILE, run_with

NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)*(?:e[-+]?\d+)?")
XML = "]]><!-- &amp; <a b='\"'>\x00\x0b\x1f\ud7ff\ufffe\uffff"
SARIF = "{0} }{ [name](1) [other](https://example.org) %SRCROOT%"


def numbers_of(texts: list[str]) -> set[float | str]:
    """Return the numbers in texts, and what is written like several, such as versions."""
    numbers = [number for text in texts for number in NUMBER.findall(text)]
    return {float(number) if number.count(".") < 2 else number for number in numbers}


def test_each_format_has_its_check_and_another_file() -> None:
    assert CHECKS.keys() == FORMATS.keys()
    assert len({format.file_name for format in FORMATS.values()}) == len(FORMATS)
    assert all(format.name == name and format.purpose for name, format in FORMATS.items())


@pytest.mark.parametrize("format", FORMATS)
def test_the_example_is_valid_and_always_the_same(format: str) -> None:
    text = export_text(golden_run(), format)
    CHECKS[format](text)
    assert export_text(golden_run(), format) == text


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("hostile", [HOSTILE, XML, SARIF, *"=+-@", f"{HEBREW} {ARABIC} 12 ", "😀,\"'\n"], ids=ascii)
def test_hostile_texts_come_out_valid_and_seen(format: str, hostile: str) -> None:
    text = export_text(run_with(lambda before: hostile + before), format)
    CHECKS[format](text)
    text.encode()
    hidden = HIDDEN.findall(text.replace("\r\n", "\n") if format == "csv" else text)
    assert [ascii(character) for character in hidden] == []


@pytest.mark.parametrize("format", FORMATS)
def test_a_run_without_rules_is_valid(format: str) -> None:
    CHECKS[format](export_text(with_rules(without_failures(golden_run())), format))


def withheld_run() -> AuditRun:
    """Return the example run as it leaves the machine with two groups and a class withheld."""
    run = golden_run()
    withheld = Withheld(10, {"ethnicity": ("East Asian", "South Asian")}, {"test": frozenset({"neutral"})})
    sections, data = release_sections(run.sections, run.data, withheld)
    return with_report_keys(run.model_copy(update={"sections": sections, "data": data}), suppress_below=10)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("run", [golden_run(), withheld_run()], ids=["whole", "withheld"])
def test_no_number_stands_in_an_export_that_audit_json_does_not_have(format: str, run: AuditRun) -> None:
    texts = list(list_texts(format, export_text(run, format)))
    allowed = numbers_of([run.to_json()]) | {256.0}  # SHA-256
    assert len(numbers_of(texts)) > 10
    assert numbers_of(texts) - allowed == set()


def test_what_is_withheld_is_in_no_export() -> None:
    """The numbers that only the whole run has are in its exports, and in none of the run that left the machine."""
    whole, run = with_report_keys(golden_run(), suppress_below=0), withheld_run()
    assert run.data.splits["test"].groups["ethnicity"]["South Asian"] is None
    secrets = numbers_of([whole.to_json()]) - numbers_of([run.to_json()])
    assert len(numbers_of(list(list_texts("cyclonedx", export_text(whole, "cyclonedx")))) & secrets) > 5
    for format in FORMATS:
        assert numbers_of(list(list_texts(format, export_text(run, format)))) & secrets == set()


def test_what_stands_beside_audit_json_has_no_part(tmp_path: Path) -> None:
    """Evidence, pictures and folders of plugins belong to a run in memory; exports are made from the file."""
    run = golden_run()
    first = run.sections[0].model_copy(update={"evidence": {"secret": "in-evidence"}, "assets": {"a.png": b"secret"}})
    whole = run.model_copy(update={"sections": (first, *run.sections[1:])})
    saved = open_run(save(whole, tmp_path / "run"))
    for format in FORMATS:
        assert export_text(whole, format) == export_text(saved, format) == export_text(run, format)


def test_exporting_needs_no_torch(tmp_path: Path) -> None:
    run = save(golden_run(), tmp_path / "run")
    code = (
        "import sys; from pathlib import Path\n"
        "from rft.export.formats import FORMATS; from rft.export.source import ExportSource\n"
        "from rft.report import open_run\n"
        f"run = open_run(Path({str(run)!r}))\n"
        "assert all(format.write(ExportSource(run)) for format in FORMATS.values())\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr


def test_the_hostile_names_are_the_same_in_json() -> None:
    """The JSON is data: its texts are those of audit.json, though no terminal sees them raw."""
    run = run_with(lambda before: HOSTILE + before)
    content = json.loads(export_text(run, "json"))
    assert content["run"]["name"] == run.run.name
    assert [finding["title"] for finding in content["findings"] if finding["status"] != "absent"] == [
        finding.title for section in run.sections for finding in section.findings
    ]
