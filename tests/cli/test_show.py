"""The summary of a run on the terminal: the verdict, a line for each question, and counts of all that is left."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rft.cli.show import show_run
from rft.records import AuditRun
from tests.support.example_run import example_run

ROOT = Path(__file__).parents[2]
SHOW = "from rft.cli.show import show_run; from tests.support.example_run import example_run; show_run(example_run())"


def ask_for_all(run: AuditRun) -> AuditRun:
    """Return a run whose config has a table for each of its plugins."""
    config = {**run.run.config, **{section.plugin: {} for section in run.sections}}
    return run.model_copy(update={"run": run.run.model_copy(update={"config": config})})


def test_what_nobody_asked_for_is_not_counted_as_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    run = example_run()
    show_run(run.model_copy(update={"run": run.run.model_copy(update={"config": {}})}))
    assert "Not measured  0 of what the config asks for (the report says why), 1 of" in capsys.readouterr().out


def test_the_summary_is_a_short_table(capsys: pytest.CaptureFixture[str]) -> None:
    run = ask_for_all(example_run())
    show_run(run)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["Verdict: fail", "Rules         1 broken, 2 undecided, 1 met"]
    assert [line.split()[0] for line in lines[2:5]] == ["fail", "uncertain", "uncertain"], "what is met is counted"
    for line, pillar in zip(lines[5:9], run.pillars, strict=True):
        assert line == f"{pillar.label:12}  {pillar.summary}"
    assert lines[9:] == [
        "To review     1 finding that no rule judges",
        "Not measured  1 of what the config asks for (the report says why), 0 of what it does not, or does not apply",
    ]


def test_what_is_not_measured_is_counted_and_not_listed(capsys: pytest.CaptureFixture[str]) -> None:
    run = ask_for_all(example_run())
    absent = [finding for section in run.sections for finding in section.findings if finding.value is None]
    assert absent
    show_run(run.model_copy(update={"verdict": run.verdict.model_copy(update={"rules": (), "status": "no_rules"})}))
    shown = capsys.readouterr().out
    assert f"Not measured  {len(absent)} of what the config asks for" in shown
    assert not any(finding.id in shown or str(finding.reason) in shown for finding in absent)
    assert shown.startswith("Verdict: no rules\nRules         none\n")


def test_a_terminal_breaks_lines_beneath_their_text_and_shows_colours(tmp_path: Path) -> None:
    pty = pytest.importorskip("pty")
    for no_color in (False, True):
        parent, child = pty.openpty()
        environment = os.environ | {"COLUMNS": "80", "TERM": "xterm"} | ({"NO_COLOR": "1"} if no_color else {})
        subprocess.run([sys.executable, "-c", SHOW], stdout=child, env=environment, cwd=ROOT, check=True)
        os.close(child)
        lines = os.read(parent, 100_000).decode().splitlines()
        os.close(parent)
        assert ("\x1b[1;31m" in lines[0]) is not no_color
        assert max(map(len, lines[1:])) <= 80
        assert lines[3].startswith(" " * 14 + "times the clipping bound"), lines[3]


def test_a_file_gets_whole_lines_and_a_narrow_encoding_no_error() -> None:
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "COLUMNS": "80"}
    command = [sys.executable, "-m", "rft", "audit", "gône.toml"]
    done = subprocess.run(command, capture_output=True, env=environment, cwd=ROOT, check=False)
    assert (done.returncode, b"g\\xf4ne.toml" in done.stderr) == (2, True), done.stderr
    done = subprocess.run([sys.executable, "-c", SHOW], capture_output=True, cwd=ROOT, check=True)
    assert b"\x1b" not in done.stdout
    assert b"images; guessing reaches 0.52.\n" in done.stdout
