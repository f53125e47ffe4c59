"""Where no terminal shows bars, as in CI, each stage of an audit is a line on stderr."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

import rft
from rft.cli.main import app
from rft.runtime.progress import listen_to_stages, track_stage

LINE = re.compile(r"rft: (.+): \d+(\.\d)? (ms|s|min|h)( \d+ s)?$")


def test_each_stage_is_a_line_with_its_counts_and_seconds(tiny: Path) -> None:
    done = CliRunner().invoke(app, ["audit", str(tiny), "--out", str(tiny.parent / "run")])
    assert done.exit_code == 0, done.stderr
    stages = [match[1] for line in done.stderr.splitlines() if (match := LINE.match(line))]
    assert stages == [
        "data, 20 train, 20 test",
        "features and training",
        *(f"audit: {name}" for name in ("dataset", "backbone", "training", "performance")),
    ]


def test_the_python_api_is_silent(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rft.audit(tiny)
    captured = capsys.readouterr()
    assert "rft: data" not in captured.err + captured.out


def test_a_stage_that_fails_is_not_over() -> None:
    told = []
    with listen_to_stages(lambda stage, seconds: told.append((stage.name, stage.detail, seconds >= 0))):
        with track_stage("one") as stage:
            stage.detail = "two of them"
        with pytest.raises(ZeroDivisionError), track_stage("broken"):
            raise ZeroDivisionError
    with track_stage("unheard"):
        pass
    assert told == [("one", "two of them", True)]
