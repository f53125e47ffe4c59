"""rft history: the runs of a folder over time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rft.cli.main import app
from rft.errors import DataError, EvidenceError
from rft.pipeline.comparison.trends import present_history
from rft.pipeline.history import RunHistory, read_history
from rft.records import AuditRun, Finding, Interval, Outcome, Row, RuleOutcome, Verdict
from rft.report import open_run, save, write_made_from
from tests.support.example_run import change_volatile, example_run

ACCURACIES = (0.91, 0.9, 0.86, 0.88)


def run_of(number: int, *, name: str = "trees", accuracy: float = 0.9, outcome: Outcome = "pass") -> AuditRun:
    """Return a run with an accuracy that a rule judges, created on the day of its number."""
    run = example_run()
    interval = Interval(low=accuracy - 0.05, high=accuracy + 0.05, method="Wilson 95 %")
    judged = Finding(
        id="health.accuracy", title="Accuracy", status="info", value=accuracy, interval=interval, description="Right."
    )
    unjudged = Finding(
        id="health.share", title="Share", status="info", value=number / 10, description="Some.", deterministic=True
    )
    (section, *_) = run.sections
    bare = section.model_copy(
        update={"plugin": "health", "findings": (judged, unjudged), "tables": {}, "figures": (), "chapters": ()}
        | {"columns": {}, "captions": {}, "card_tables": {}, "template": None, "audit_missing": False}
    )
    rule = RuleOutcome(
        rule="health.accuracy is at least 0.85",
        finding="health.accuracy",
        outcome=outcome,
        because="",
        explanation="",
        bounds={"min": 0.85},
    )
    created = f"2026-03-{number:02d}T10:00:00+00:00"
    run = change_volatile(run, id=f"{number:016x}", created=created)
    frame = run.run.model_copy(update={"name": name})
    status = "uncertain" if outcome == "uncertain" else outcome
    return run.model_copy(
        update={"run": frame, "sections": (bare,), "verdict": Verdict(status=status, rules=(rule,)), "pillars": ()}
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of four runs, written in another order than that of time."""
    for number in (3, 1, 4, 2):
        outcome: Outcome = "fail" if number == 3 else "pass"
        save(run_of(number, accuracy=ACCURACIES[number - 1], outcome=outcome), tmp_path / "runs" / f"run-{5 - number}")
    return tmp_path / "runs"


def history_command(folder: Path, page: Path, *arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["history", str(folder), "--out", str(page), *map(str, arguments)])
    return done.exit_code, done.stderr


def rows_of(history: RunHistory, table: str) -> Iterator[Row]:
    for named in history.histories:
        yield from present_history(named).tables[table]


def test_runs_stand_in_the_order_of_time_with_their_verdicts(folder: Path) -> None:
    (named,) = read_history(folder).histories
    assert [run.folder for run in named.runs] == ["run-4", "run-3", "run-2", "run-1"]
    assert [run.verdict for run in named.runs] == ["pass", "pass", "fail", "pass"]
    (accuracy,) = (finding for finding in named.findings if finding.id == "health.accuracy")
    assert [value.value for value in accuracy.values] == list(ACCURACIES)
    assert [value.outcome for value in accuracy.values] == ["pass", "pass", "fail", "pass"]


def test_what_a_rule_judges_is_drawn_with_its_bound_and_the_rest_summed_up(folder: Path) -> None:
    history = read_history(folder)
    trend = list(rows_of(history, "trend"))
    assert [row["value"] for row in trend if row["series"] == "measured"] == list(ACCURACIES)
    assert [row["value"] for row in trend if row["series"] == "rule: at least 0.85"] == [0.85] * 4
    assert list(rows_of(history, "others")) == [
        {"finding": "health.share", "measured_in": 4, "first": 0.1, "last": 0.4, "lowest": 0.1, "highest": 0.4}
    ]
    figures = present_history(history.histories[0]).figures
    assert [figure.title for figure in figures] == ["Accuracy"]


def test_a_run_that_was_changed_is_named_and_left_out(folder: Path, tmp_path: Path) -> None:
    file = folder / "run-2" / "audit.json"
    file.write_text(file.read_text(encoding="utf-8").replace("0.86", "0.96"), encoding="utf-8")
    page = tmp_path / "history.html"
    done = CliRunner().invoke(app, ["history", str(folder), "--out", str(page), "--json"])
    assert done.exit_code == 4
    assert "run-2: left out: audit.json is not the file that was written" in done.stderr.replace("\n", "")
    printed = json.loads(done.stdout)
    assert (printed.pop("exit_code"), printed.pop("errors")) == (4, [])
    content = RunHistory.model_validate(printed)
    assert [run.folder for run in content.histories[0].runs] == ["run-4", "run-3", "run-1"]
    assert [item.folder for item in content.excluded] == ["run-2"]
    text = page.read_text(encoding="utf-8")
    assert "left out: run-2" in text
    assert "<svg" in text


def test_where_no_run_is_as_it_was_written_nothing_is_shown(folder: Path, tmp_path: Path) -> None:
    for file in folder.glob("*/audit.json"):
        file.write_text(file.read_text(encoding="utf-8") + " ", encoding="utf-8")
    with pytest.raises(EvidenceError, match="no run in it can be read"):
        read_history(folder)
    assert history_command(folder, tmp_path / "page.html")[0] == 4
    assert not (tmp_path / "page.html").exists()


def test_copies_and_what_was_made_from_a_run_are_passed_over(folder: Path) -> None:
    shutil.copytree(folder / "run-1", folder / "copy")
    write_made_from(open_run(folder / "run-1"), folder / "run-1", folder / "run-1-report")
    assert len(read_history(folder).histories[0].runs) == 4


def test_runs_of_other_names_stand_apart(folder: Path) -> None:
    save(run_of(9, name="shrubs"), folder / "shrubs")
    assert [named.name for named in read_history(folder).histories] == ["shrubs", "trees"]
    assert [named.name for named in read_history(folder, name="shrubs").histories] == ["shrubs"]
    with pytest.raises(DataError, match="no run of the name shrub"):
        read_history(folder, name="shrub")


def test_a_value_that_a_stricter_run_would_withhold_is_shown_of_none(folder: Path) -> None:
    strict = run_of(8, accuracy=0.8)
    config = {**strict.run.config, "report": {"suppress_below": 10}}
    save(strict.model_copy(update={"run": strict.run.model_copy(update={"config": config})}), folder / "strict")
    few = run_of(7, accuracy=0.7)
    findings = tuple(finding.model_copy(update={"n": 6}) for finding in few.sections[0].findings)
    sections = (few.sections[0].model_copy(update={"findings": findings}),)
    save(few.model_copy(update={"sections": sections}), folder / "few")
    (named,) = read_history(folder).histories
    values = {value.run: value.value for value in named.findings[0].values}
    assert (values[5], values[6]) == (None, 0.8)


def test_no_page_of_somebody_else_is_replaced_unasked(folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("mine", encoding="utf-8")
    code, stderr = history_command(folder, page)
    assert (code, "exists already" in stderr) == (2, True)
    assert history_command(folder, page, "--force")[0] == 0


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no run folders"):
        read_history(tmp_path)
