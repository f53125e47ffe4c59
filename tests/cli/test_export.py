"""rft export: where it writes, what it refuses, and how it ends."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rft.cli.main import app
from rft.export.formats import FORMATS, ExportFormat
from rft.report import save
from tests.support import ROOT
from tests.support.exported import export_text, golden_run

PATHS = {"PYTHONPATH": str(ROOT)}


def invoke_rft(*arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["export", *(str(argument) for argument in arguments)])
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(golden_run(), tmp_path_factory.mktemp("saved") / "run")


@pytest.fixture
def folder(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run, in the folder that the command is called in."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(saved, "run")
    return Path("run")


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_is_named_by_its_format(folder: Path, format: str) -> None:
    file = Path(FORMATS[format].file_name)
    assert invoke_rft(folder, "--format", format) == (0, f"Written: {file}\n", "")
    assert file.read_bytes().decode() == export_text(golden_run(), format)


@pytest.mark.parametrize("format", FORMATS)
def test_standard_output_holds_the_file_and_nothing_else(folder: Path, format: str) -> None:
    done = CliRunner().invoke(app, ["export", str(folder), "--format", format, "--out", "-"])
    assert (done.exit_code, done.stdout_bytes.decode()) == (0, export_text(golden_run(), format))
    assert [place.name for place in Path().iterdir()] == ["run"]


def test_a_file_of_somebody_else_is_replaced_when_asked_alone(folder: Path) -> None:
    Path("out.csv").write_text("mine", encoding="utf-8")
    code, _, stderr = invoke_rft(folder, "--format", "csv", "--out", "out.csv")
    assert (code, "out.csv: exists already" in stderr, "--force" in stderr) == (2, True, True)
    assert Path("out.csv").read_text(encoding="utf-8") == "mine"
    assert invoke_rft(folder, "--format", "csv", "--out", "out.csv", "--force")[0] == 0
    assert Path("out.csv").read_bytes().decode() == export_text(golden_run(), "csv")


def test_a_place_that_cannot_be_written_is_told(folder: Path) -> None:
    code, _, stderr = invoke_rft(folder, "--format", "csv", "--out", "no/such/out.csv")
    assert (code, "cannot be written" in stderr) == (2, True)
    code, _, stderr = invoke_rft(folder, "--format", "csv", "--out", "run", "--force")
    assert (code, "cannot be written" in stderr) == (2, True)
    assert [place.name for place in Path().iterdir()] == ["run"]


def test_an_unknown_format_is_refused_with_near_names(folder: Path) -> None:
    code, _, stderr = invoke_rft(folder, "--format", "sariff")
    assert (code, "no such format: sariff" in stderr, "Did you mean 'sarif'" in stderr) == (2, True, True)


def test_what_is_no_run_is_refused(folder: Path) -> None:
    code, _, stderr = invoke_rft(folder / "none", "--format", "csv")
    assert (code, "holds no run" in stderr) == (2, True)


def test_the_rules_are_found_in_the_config_that_is_named(folder: Path) -> None:
    rules = '[[policy]]\nfinding = "performance.accuracy"\nmin = 0.8\n'
    Path("mine.toml").write_text(f"# mine\n{rules}", encoding="utf-8")
    code, stdout, _ = invoke_rft(folder, "--format", "sarif", "--out", "-", "--config", "mine.toml")
    assert (code, '"startLine": 2' in stdout) == (0, True)
    code, _, stderr = invoke_rft(folder, "--format", "sarif", "--out", "-", "--config", "gone.toml")
    assert (code, "no such file" in stderr) == (2, True)


def test_help_lists_the_formats_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    _, stdout, _ = invoke_rft("--help")
    assert all(f"{format.name}: {format.purpose}" in stdout for format in FORMATS.values())


def test_a_format_more_is_an_entry_more(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = ExportFormat("tests", "tests.xml", "junit:write_junit", "the same under another name")
    monkeypatch.setitem(FORMATS, "tests", entry)
    assert invoke_rft(folder, "--format", "tests")[0] == 0
    assert Path("tests.xml").read_text(encoding="utf-8") == export_text(golden_run(), "junit")


def test_a_reader_that_stops_early_is_no_bug(folder: Path) -> None:
    command = [sys.executable, "-m", "rft", "export", str(folder), "--format", "json", "--out", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | PATHS) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        assert running.stderr.read() == b""
