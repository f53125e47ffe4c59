"""Where no terminal shows bars, as in CI, each stage of an audit is a line on stderr."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

import rft
from rft.cli.main import app
from rft.cli.stage_lines import StageLines
from rft.runtime.progress import Stage, StageListener, listen_to_stages, track_progress, track_stage

LINE = re.compile(r"rft: (.+): \d+(\.\d)? (ms|s|min|h)( \d+ s)?$")


@pytest.fixture(
    params=[
        pytest.param(0.0, id="long loops"),
        pytest.param(math.inf, id="short loops", marks=pytest.mark.slow),
    ]
)
def short(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Let all loops count as long, or none, however fast this machine is."""
    monkeypatch.setattr("rft.runtime.progress.SHORT", request.param)
    return bool(request.param)


def test_each_stage_is_a_line_with_its_counts_and_seconds(tiny: Path, short: bool) -> None:
    done = CliRunner().invoke(app, ["audit", str(tiny), "--out", str(tiny.parent / "run")])
    assert done.exit_code == 0, done.stderr
    lines = [match[1] for line in done.stderr.splitlines() if (match := LINE.match(line))]
    counted = [re.sub(r"\d+ findings", "N findings", line) for line in lines]
    loops = [line for line in counted if line.count(": ") and not line.startswith("audit: ")]
    assert [line for line in counted if line not in loops] == [
        "data, 20 train, 20 test",
        "features and training, 40 examples, 5 epochs",
        *(f"audit: {name}, N findings" for name in ("dataset", "backbone", "training", "performance")),
    ]
    extracted = [f"features and training: {loop}" for loop in ("Features of train, 20", "Features of test, 20")]
    expected = ["data: Reading, 40", *extracted, "features and training: Training, 5"]
    assert loops == ([] if short else expected)


def test_the_python_api_is_silent(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rft.audit(tiny)
    captured = capsys.readouterr()
    assert "rft: data" not in captured.err + captured.out


def test_a_stage_that_fails_is_not_over() -> None:
    told: list[tuple[str, str, bool]] = []
    begun: list[str] = []
    listener = StageListener(
        lambda stage: begun.append(stage.name),
        lambda stage, seconds: told.append((stage.name, stage.detail, seconds >= 0)),
    )
    with listen_to_stages(listener):
        with track_stage("one") as stage:
            stage.detail = "two of them"
        with pytest.raises(ZeroDivisionError), track_stage("broken"):
            raise ZeroDivisionError
    with track_stage("unheard"):
        pass
    assert told == [("one", "two of them", True)]
    assert begun == ["one", "broken"]


class Clock:
    """A clock that stands until it is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_long_stage_says_that_it_runs_and_where_it_is() -> None:
    said, clock = list[str](), Clock()
    lines = StageLines(said.append, clock)
    stage = Stage("audit: privacy")
    lines.begin(stage)
    for clock.now in range(130):
        stage.loop = f"Shadows, {clock.now} of 200"
        lines.beat()
    assert said == [
        "rft: audit: privacy (Shadows, 30 of 200): running for 30 s",
        "rft: audit: privacy (Shadows, 60 of 200): running for 1 min 0 s",
        "rft: audit: privacy (Shadows, 90 of 200): running for 1 min 30 s",
        "rft: audit: privacy (Shadows, 120 of 200): running for 2 min 0 s",
    ]
    lines.end(stage, 130.0)
    for clock.now in range(130, 300):
        lines.beat()  # between stages nothing runs that could be said
    assert said[4:] == ["rft: audit: privacy: 2 min 10 s"]


def test_a_line_in_between_puts_the_next_sign_of_life_off() -> None:
    said, clock = list[str](), Clock()
    lines = StageLines(said.append, clock)
    lines.begin(Stage("features and training"))
    clock.now = 25.0
    lines.end(Stage("features and training: Features of train", "446"), 25.0)
    clock.now = 54.0
    lines.beat()
    assert said == ["rft: features and training: Features of train, 446: 25 s"]
    clock.now = 55.0
    lines.beat()
    assert said[1:] == ["rft: features and training: running for 55 s"]


def test_a_long_loop_is_a_line_with_its_count(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("rft.runtime.progress.time.monotonic", clock)
    said, places = list[str](), list[str]()
    lines = StageLines(said.append, clock)
    with listen_to_stages(StageListener(lines.begin, lines.end)), track_stage("features") as stage:
        for seconds in track_progress([1.0, 2.0, 3.0], "Features of train"):
            places.append(stage.loop)
            clock.now += seconds
        for _ in track_progress(range(1000), "Short"):
            pass
    assert places == [f"Features of train, {done} of 3" for done in range(3)]
    assert said == ["rft: features: Features of train, 3: 6.0 s", "rft: features: 6.0 s"]
