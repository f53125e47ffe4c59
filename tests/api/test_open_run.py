"""rft.open_run: a run from its folder, checked before it is read; its findings by name, and short when printed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import rft
from rft.errors import EvidenceError, OutputError
from rft.records import AuditRun
from rft.report import place_of, save
from rft.run import FinishedRun
from tests.support.example_run import example_run
from tests.support.small_run import small_artifacts, small_run

ACCURACY = "performance.accuracy"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save(small_run(), tmp_path / "run", small_artifacts())


def test_what_was_written_is_opened_again(folder: Path) -> None:
    run = rft.open_run(folder)
    assert isinstance(run, FinishedRun)
    assert (run.to_json(), run.folder) == ((folder / "audit.json").read_text(encoding="utf-8"), folder)
    assert (run.verdict.status, [finding.id for finding in run.findings]) == ("pass", [ACCURACY])
    assert run[ACCURACY] is run.finding(ACCURACY)
    assert (ACCURACY in run, "performance.none" in run) == (True, False)
    assert "pass" in run._repr_html_().lower()


@pytest.mark.parametrize("name", ["audit.json", "report.html", "predictions.parquet"])
def test_nothing_is_read_of_a_run_that_was_changed(folder: Path, name: str) -> None:
    with (folder / name).open("ab") as stream:
        stream.write(b" ")
    with pytest.raises(EvidenceError, match=f"{name} is not the file that was written"):
        rft.open_run(folder)


def test_the_key_may_lie_elsewhere(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it a run that was received is opened, and what is private is not looked at; with it, it is."""
    key = place_of("one").rename(tmp_path / "key.json")
    (folder / "predictions.parquet").write_bytes(b"other")
    assert rft.open_run(folder).run.volatile.id == "one"
    with pytest.raises(EvidenceError, match=r"predictions\.parquet"):
        rft.open_run(folder, key=str(key))


def test_a_run_that_was_opened_stays_in_its_folder(folder: Path, tmp_path: Path) -> None:
    """Saved elsewhere, it would lack predictions and model, and its key would be written over."""
    before = place_of("one").read_bytes()
    with pytest.raises(OutputError, match="was opened, and stands in its folder already"):
        rft.open_run(folder).save(tmp_path / "again")
    assert not (tmp_path / "again").exists()
    assert place_of("one").read_bytes() == before


@pytest.mark.parametrize(
    ("look_up", "message"),
    [
        (lambda run: run["performance.acuracy"], "'performance.acuracy' is no finding of this run\nDid you mean"),
        (lambda run: run.section("fairnes"), "'fairnes' is no section of this run\nDid you mean 'fairness'?"),
        (lambda run: run.section("fairness").table("by_grup"), "is no table of fairness\nDid you mean 'by_group'?"),
        (lambda run: run.section("privacy").finding("x.y"), "is no finding of privacy\nThere are: privacy."),
    ],
    ids=["finding", "section", "table", "finding of a section"],
)
def test_a_name_that_is_not_there_says_what_is_near(look_up: Callable[[AuditRun], object], message: str) -> None:
    for kind in (KeyError, rft.RftError):
        with pytest.raises(kind) as error:
            look_up(example_run())
        assert message in str(error.value)


def test_what_is_printed_is_short() -> None:
    run = example_run()
    assert str(run[ACCURACY]) == f"Finding({ACCURACY!r}, 0.8333 [0.694, 0.917] fraction, n=42)"
    assert str(run["fairness.accuracy_gap.gender"]).endswith("[-0.18, 0.27] fraction, n=42, to review)")
    absent = run["fairness.tpr_gap.ethnicity"]
    assert str(absent) == f"Finding({absent.id!r}, not measured: {absent.reason})"
    assert str(run.section("fairness")) == "Section('fairness', 2 findings, tables=['by_group'])"
    assert str(run) == "AuditRun('smiles', 2025-03-01T12:30:05+00:00, verdict 'fail')"
    lines = str(run.verdict).splitlines()
    assert (lines[0], len(lines)) == ("fail", 1 + len(run.verdict.rules))
    assert lines[2].startswith(f"  uncertain: {ACCURACY} is at least 0.8: 0.8333, interval")
    assert repr(run.verdict) == f"Verdict('fail', {len(run.verdict.rules)} rules)"


def test_a_run_is_opened_without_torch(folder: Path) -> None:
    code = f"import rft, sys; print(rft.open_run({str(folder)!r})); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout[:11]) == (0, "FinishedRun"), done.stderr
