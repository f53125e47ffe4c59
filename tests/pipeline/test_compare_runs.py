"""rft compare: two runs on the same people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import rft
from rft.cli.main import app
from rft.errors import DataError, Unavailable
from rft.pipeline.compare_runs import compare_runs
from rft.plugins import AuditedModel, Options, Plugin, RunPair, registry
from rft.records import Section

pytest.importorskip("fairlearn")
pytestmark = pytest.mark.usefixtures("shared_keys")
CONFIG = """\
name = "{name}"

[data]
label = "label"
positive = "yes"
groups = ["place"]
unit = "person"
id = "id"

[predictions]
file = "{name}.csv"
score = "p_yes"

[fairness]
"""


def people(n: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    label = rng.random(n) < 0.5
    return pd.DataFrame(
        {
            "id": [f"r{row:04d}" for row in range(n)],
            "person": [f"p{row}" for row in range(n)],
            "place": rng.choice(["north", "south"], n),
            "label": np.where(label, "yes", "no"),
            "hard": rng.random(n),
        }
    )


def run(folder: Path, name: str, table: pd.DataFrame, errors: dict[str, float]) -> Path:
    """Audit a model that errs on the hardest people of each place."""
    wrong = table["hard"] < table["place"].map(errors)
    score = np.where((table["label"] == "yes") ^ wrong, 0.8, 0.2)
    table.assign(p_yes=score).drop(columns="hard").to_csv(folder / f"{name}.csv", index=False)
    (folder / f"{name}.toml").write_text(CONFIG.format(name=name), encoding="utf-8")
    rft.audit(folder / f"{name}.toml", folder / name)
    return folder / name


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("runs")
    return (
        run(folder, "before", people(), {"north": 0.1, "south": 0.35}),
        run(folder, "after", people().sample(frac=1, random_state=0), {"north": 0.1, "south": 0.12}),
    )


def test_a_gap_that_was_closed_is_told_with_an_interval(runs: tuple[Path, Path]) -> None:
    comparison = compare_runs(*runs)
    assert comparison.names == ("before", "after")
    assert comparison.n == 400
    finding = comparison.sections[0].finding("fairness.change_of_accuracy_gap.place")
    frames = [pd.read_parquet(folder / "predictions.parquet") for folder in runs]
    gaps = []
    for frame in frames:
        right = frame["label"].astype(str) == frame["prediction"].astype(str)
        by_place = right.groupby(frame["group_place"].astype(str)).mean()
        gaps.append(by_place["north"] - by_place["south"])
    assert finding.value == pytest.approx(abs(gaps[1]) - abs(gaps[0]))
    assert finding.interval is not None
    assert finding.interval.high < 0
    assert finding.status == "info"  # the gap became narrower
    assert "more than chance explains" in finding.description


def test_the_other_way_round_the_gap_widens_and_is_worth_a_look(runs: tuple[Path, Path]) -> None:
    assert compare_runs(*reversed(runs)).sections[0].finding("fairness.change_of_accuracy_gap.place").status == "warn"


def test_who_changed_sides_stands_in_a_table(runs: tuple[Path, Path]) -> None:
    rows = {row["group"]: row for row in compare_runs(*runs).sections[0].tables["sides"]}
    assert rows["north"]["newly_right"] == rows["north"]["newly_wrong"] == 0
    assert rows["south"]["newly_right"] > 20
    assert rows["south"]["newly_wrong"] == 0


class Elsewhere(Plugin[Options]):
    name, options = "elsewhere", Options

    def audit(self, audited: AuditedModel, options: Options) -> Section:
        return Section(plugin=self.name)

    def compare_runs(self, pair: RunPair) -> Section:
        raise Unavailable("there is no sound in these runs")


def test_a_plugin_that_cannot_compare_runs_leaves_the_others_be(
    runs: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "BUILTIN", (f"{__name__}:Elsewhere", *registry.BUILTIN))
    assert [section.plugin for section in compare_runs(*runs).sections] == ["fairness"]
    monkeypatch.setattr(registry, "BUILTIN", (f"{__name__}:Elsewhere",))
    with pytest.raises(DataError, match="there is no sound in these runs"):
        compare_runs(*runs)


def test_the_command_writes_a_page(runs: tuple[Path, Path], tmp_path: Path) -> None:
    page = tmp_path / "compare.html"
    done = CliRunner().invoke(app, ["compare", *map(str, runs), "--out", str(page)])
    assert done.exit_code == 0, done.stderr
    assert "accuracy, north minus south is" in done.stdout.lower()
    content = page.read_text(encoding="utf-8")
    assert "<svg" in content
    assert "before and after" in content


def test_other_people_are_refused(runs: tuple[Path, Path], tmp_path: Path) -> None:
    finished_run = run(tmp_path, "others", people(500), {"north": 0.1, "south": 0.1})
    with pytest.raises(DataError, match="shares 400 of its 500 test examples with the 400 of"):
        compare_runs(runs[0], finished_run)


def test_other_labels_are_refused(runs: tuple[Path, Path], tmp_path: Path) -> None:
    table = people()
    table.loc[:2, "label"] = "yes"
    changed = int((people()["label"] != table["label"]).sum())
    finished_run = run(tmp_path, "relabelled", table, {"north": 0.1, "south": 0.1})
    with pytest.raises(DataError, match=f"{changed} test examples have another label than in"):
        compare_runs(runs[0], finished_run)


def test_a_folder_without_a_run_is_refused(runs: tuple[Path, Path], tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["compare", str(runs[0]), str(tmp_path)])
    assert done.exit_code == 2
    assert "Traceback" not in done.stderr


def test_what_a_run_withholds_its_comparison_withholds_too(tmp_path: Path) -> None:
    """Without units as well, a column of missing values in the table of predictions."""
    table = people()
    table.loc[:6, "place"] = "islands"
    folders = []
    for name, errors in (("one", 0.1), ("two", 0.2)):
        wrong = table["hard"] < errors
        score = np.where((table["label"] == "yes") ^ wrong, 0.8, 0.2)
        table.assign(p_yes=score).drop(columns="hard").to_csv(tmp_path / f"{name}.csv", index=False)
        text = CONFIG.format(name=name).replace('unit = "person"\n', "") + "[report]\nsuppress_below = 10\n"
        (tmp_path / f"{name}.toml").write_text(text, encoding="utf-8")
        rft.audit(tmp_path / f"{name}.toml", tmp_path / name)
        folders.append(tmp_path / name)
    rows = {row["group"]: row for row in compare_runs(*folders).sections[0].tables["sides"]}
    assert rows["islands"]["n"] is None
    assert rows["islands"]["newly_right"] is None
    assert rows["islands"]["status"] == "suppressed: fewer than 10"
