"""rft compare: two runs on the same people."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import rft
from rft.cli.main import app
from rft.errors import Unavailable
from rft.pipeline.compare_runs import RunComparison, compare_runs, describe_pairing
from rft.pipeline.comparison.changes import compare_findings
from rft.pipeline.comparison.circumstances import compare_circumstances
from rft.pipeline.comparison.judge import judge_changes
from rft.pipeline.comparison.withheld import join_withheld
from rft.plugins import AuditedModel, Options, Plugin, RunPair, registry
from rft.records import AuditRun, Cases, FindingDefinition, Interval, Section, Verdict
from rft.report import place_of
from rft.report.render.comparison_page import comparison_html
from tests.support.example_run import example_run

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


def run(folder: Path, name: str, table: pd.DataFrame, errors: dict[str, float], *, more: str = "") -> Path:
    """Audit a model that errs on the hardest people of each place."""
    wrong = table["hard"] < table["place"].map(errors)
    score = np.where((table["label"] == "yes") ^ wrong, 0.8, 0.2)
    table.assign(p_yes=score).drop(columns="hard").to_csv(folder / f"{name}.csv", index=False)
    (folder / f"{name}.toml").write_text(CONFIG.format(name=name) + more, encoding="utf-8")
    rft.audit(folder / f"{name}.toml", folder / name)
    return folder / name


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the keys of the runs, which all tests of this file share."""
    return tmp_path_factory.mktemp("state")


@pytest.fixture(autouse=True)
def shared_keys(state: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RFT_STATE", str(state))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, state: Path) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RFT_STATE", str(state))
        return (
            run(folder, "before", people(), {"north": 0.1, "south": 0.35}),
            run(folder, "after", people().sample(frac=1, random_state=0), {"north": 0.1, "south": 0.12}),
        )


def section_of(comparison: RunComparison, plugin: str) -> Section:
    (section,) = (section for section in comparison.sections if section.plugin == plugin)
    return section


def test_a_gap_that_was_closed_is_told_with_an_interval(runs: tuple[Path, Path]) -> None:
    comparison = compare_runs(*runs)
    assert comparison.names == ("before", "after")
    assert comparison.n == 400
    finding = section_of(comparison, "fairness").finding("fairness.change_of_accuracy_gap.place")
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
    section = section_of(compare_runs(*reversed(runs)), "fairness")
    assert section.finding("fairness.change_of_accuracy_gap.place").status == "warn"


def test_who_changed_sides_stands_in_a_table(runs: tuple[Path, Path]) -> None:
    rows = {row["group"]: row for row in section_of(compare_runs(*runs), "fairness").tables["sides"]}
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
    sections = compare_runs(*runs).sections
    named = [section.plugin for section in sections]
    assert named == ["change", "elsewhere", "performance", "fairness", "circumstances"]
    assert sections[1].notes == ("Not compared example by example: there is no sound in these runs.",)


def test_the_command_writes_a_page(runs: tuple[Path, Path], tmp_path: Path) -> None:
    page = tmp_path / "compare.html"
    done = CliRunner().invoke(app, ["compare", *map(str, runs), "--out", str(page)])
    assert done.exit_code == 0, done.stderr
    assert "accuracy, north minus south is" in done.stdout.lower()
    content = page.read_text(encoding="utf-8")
    assert "<svg" in content
    assert "after, compared with before" in content


def test_the_shared_examples_alone_are_compared(runs: tuple[Path, Path], tmp_path: Path) -> None:
    some = run(tmp_path, "some", people().iloc[50:], {"north": 0.1, "south": 0.12})
    comparison = compare_runs(runs[0], some)
    assert (comparison.n, comparison.before.left_out, comparison.after.left_out) == (350, 50, 0)
    right = []
    for folder in (runs[0], some):
        frame = pd.read_parquet(folder / "predictions.parquet").set_index("id")
        right.append(frame["label"].astype(str) == frame["prediction"].astype(str))
    shared = right[0].index.intersection(right[1].index)
    change = section_of(comparison, "performance").finding("change.performance.accuracy")
    assert change.value == pytest.approx(right[1][shared].mean() - right[0][shared].mean())
    assert any("left out: 50 of before, 0 of some" in part for part in describe_pairing(comparison))


def test_other_people_are_set_side_by_side(runs: tuple[Path, Path], tmp_path: Path) -> None:
    table = people().assign(id=[f"x{row}" for row in range(400)])
    comparison = compare_runs(runs[0], run(tmp_path, "others", table, {"north": 0.1, "south": 0.12}))
    assert comparison.not_paired == "the runs share no test examples"
    assert [section.plugin for section in comparison.sections] == ["change", "circumstances"]
    rows = {row["finding"]: row for row in comparison.sections[0].tables["shared"]}
    assert {row["compared"] for row in rows.values()} == {"not paired", "fact"}
    audits = [rft.report.open_run(folder) for folder in (runs[0], tmp_path / "others")]
    levels = [finding.adjusted[1].interval for finding in (audit.finding("performance.accuracy") for audit in audits)]
    row = rows["performance.accuracy"]
    assert row["low"] == pytest.approx(levels[1].low - levels[0].high)
    assert row["high"] == pytest.approx(levels[1].high - levels[0].low)


def test_other_labels_are_not_paired(runs: tuple[Path, Path], tmp_path: Path) -> None:
    table = people()
    table.loc[:2, "label"] = "yes"
    changed = int((people()["label"] != table["label"]).sum())
    finished_run = run(tmp_path, "relabelled", table, {"north": 0.1, "south": 0.1})
    comparison = compare_runs(runs[0], finished_run)
    assert comparison.not_paired == f"{changed} of 400 shared test examples have another label in relabelled"


def test_few_people_of_one_run_do_not_follow_by_subtraction(runs: tuple[Path, Path], tmp_path: Path) -> None:
    table, errors = people().iloc[5:], {"north": 0.1, "south": 0.12}
    strict = run(tmp_path, "strict", table, errors, more="[report]\nsuppress_below = 10\n")
    comparison = compare_runs(runs[0], strict)
    assert comparison.not_paired == "suppressed: fewer than 10 test examples of a group or class are in one run alone"
    assert comparison.before.left_out is None
    assert compare_runs(runs[0], run(tmp_path, "open", table, errors)).not_paired == ""


def test_every_finding_of_both_runs_stands_in_the_table(runs: tuple[Path, Path]) -> None:
    section = compare_runs(*runs).sections[0]
    audits = [rft.report.open_run(folder) for folder in runs]
    first, second = ({finding.id: finding for part in audit.sections for finding in part.findings} for audit in audits)
    rows = {row["finding"]: row for row in section.tables["shared"]}
    named = rows.keys() | {row["finding"] for row in section.tables["not_shared"]}
    assert named == first.keys() | second.keys()
    for id, row in rows.items():
        assert (row["before"], row["after"]) == (first[id].value, second[id].value)
        assert (row["before_n"], row["after_n"]) == (first[id].n, second[id].n)
        assert row["difference"] == pytest.approx(second[id].value - first[id].value)


def test_how_many_cases_each_run_has_is_shown_on_the_page_in_json_and_in_the_terminal(
    runs: tuple[Path, Path], tmp_path: Path
) -> None:
    some = run(tmp_path, "some", people().iloc[50:], {"north": 0.1, "south": 0.12})
    page = tmp_path / "compare.html"
    done = CliRunner().invoke(app, ["compare", str(runs[0]), str(some), f"--out={page}", "--json"])
    assert done.exit_code == 0, done.stderr
    (row,) = (
        row
        for row in json.loads(done.stdout)["sections"][0]["tables"]["shared"]
        if row["finding"] == "performance.accuracy"
    )
    assert (row["before_n"], row["after_n"]) == (400, 350)
    headings = re.findall(r"<th scope=\"col\"[^>]*>([^<]*)</th>", page.read_text(encoding="utf-8"))
    assert headings[:7] == [
        *("finding", "before", "interval before", "cases before", "after", "interval after", "cases after")
    ]
    said = CliRunner().invoke(app, ["compare", str(runs[0]), str(some), f"--out={page}", "--force"]).stdout
    (line,) = (line for line in said.splitlines() if "Accuracy of some minus that of before" in line)
    assert ", n = 350  Accuracy" in line  # of the shared ones, on which the difference rests


def stated_run(n: int, *, cases: Cases, below: int = 0) -> AuditRun:
    """Return a run with one finding that rests on n cases, with a bound for what may leave the machine."""
    whole = example_run()
    definition = FindingDefinition("health.share", "Share", "Some.", unit="fraction", cases=cases)
    finding = definition.state_estimate(n / 100, interval=None, adjusted=(), n=n)
    frame = whole.run.model_copy(update={"config": {"report": {"suppress_below": below}}})
    return whole.model_copy(update={"run": frame, "sections": (Section(plugin="health", findings=(finding,)),)})


@pytest.mark.parametrize(
    ("cases", "before", "shown"),
    [("none", 9, (None, 40)), ("none", 10, (10, 40)), ("sampled", 10, (10, 40)), ("sampled", 9, None)],
)
def test_few_cases_are_shown_of_neither_run_by_the_stricter_bound(
    cases: Cases, before: int, shown: tuple[int | None, int] | None
) -> None:
    pair = [stated_run(before, cases=cases), stated_run(40, cases=cases, below=10)]
    section = compare_findings(pair, ("before", "after"), (), join_withheld(pair))
    assert [(row["before_n"], row["after_n"]) for row in section.tables["shared"]] == ([shown] if shown else [])
    assert [change.n for change in section.findings] == ([shown[0] or 40] if shown else [])
    if shown is None:
        assert [row["reason"] for row in section.tables["not_shared"]] == ["suppressed: fewer than 10"]


def test_identical_predictions_are_said_to_be(runs: tuple[Path, Path], tmp_path: Path) -> None:
    again = run(tmp_path, "before", people(), {"north": 0.1, "south": 0.35})
    comparison = compare_runs(runs[0], again)
    assert comparison.identical_predictions
    assert comparison.verdict.status == "pass"
    assert "identical predictions" in describe_pairing(comparison)
    assert comparison.names == ("the first run", "the second run")  # both are named "before"
    assert not compare_runs(*runs).identical_predictions


def test_what_became_worse_fails_and_a_tolerance_lets_it_pass(runs: tuple[Path, Path], tmp_path: Path) -> None:
    assert compare_runs(*runs).verdict.status == "pass"
    worse = compare_runs(*reversed(runs)).verdict
    failed = {rule.finding for rule in worse.rules if rule.outcome == "fail"}
    assert {"change.performance.accuracy", "change.performance.log_loss"} <= failed
    assert "fairness.change_of_accuracy_gap.place" in failed
    names = [finding.removeprefix("change.") for finding in failed]
    code, _ = compare_command(tmp_path / "a.html", *reversed(runs), *(f"--tolerance={name}=0.5" for name in names))
    assert code == 0
    assert compare_command(tmp_path / "b.html", *reversed(runs))[0] == 1


@pytest.mark.parametrize(("sizes", "compared"), [((10, 12), True), ((10, 25), False), ((10, None), False)])
def test_groups_are_compared_by_the_stricter_bound_of_the_runs(
    tmp_path: Path, sizes: tuple[int, int | None], compared: bool
) -> None:
    tables = ["" if size is None else f"min_group_size = {size}\n" for size in sizes]
    folders = [  # of some twenty people in each place
        run(tmp_path, f"run{number}", people(40), {"north": 0.1, "south": 0.3}, more=table)
        for number, table in enumerate(tables)
    ]
    findings = [finding for section in compare_runs(*folders).sections for finding in section.findings]
    (change,) = [finding for finding in findings if finding.id == "fairness.change_of_accuracy_gap.place"]
    assert (change.value is not None) == compared


def test_what_no_interval_judges_is_named_until_a_tolerance_does(runs: tuple[Path, Path], tmp_path: Path) -> None:
    """The calibration error has no interval."""
    for number, (arguments, named) in enumerate((((), True), (("--tolerance", "performance.ece=0.5"), False))):
        command = ["compare", *map(str, runs), "--out", str(tmp_path / f"{number}.html"), *arguments]
        lines = [line for line in CliRunner().invoke(app, command).stdout.splitlines() if "not judged" in line]
        assert any("performance.ece" in line and "--tolerance NAME=VALUE" in line for line in lines) == named


def compare_command(page: Path, *arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["compare", *map(str, arguments), "--out", str(page)])
    return done.exit_code, done.stderr


def test_tolerances_that_mean_nothing_are_refused(runs: tuple[Path, Path], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    for tolerance, said in (
        ("performance.accuracy=-1", "at least 0"),
        ("accuracy", "at least 0"),
        ("performance.acuracy=0.1", "was not compared"),
        ("dataset.missing_groups.place=1", "whether higher or lower is better"),
    ):
        code, stderr = compare_command(page, *runs, "--tolerance", tolerance)
        assert (code, said in stderr) == (2, True), stderr
    assert not page.exists()


@pytest.mark.parametrize(("bound", "code"), [("min = -0.2", 0), ("min = -0.05", 1), ("min = -0.1", 3)])
def test_rules_judge_the_changes(runs: tuple[Path, Path], tmp_path: Path, bound: str, code: int) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text(f'[[policy]]\nfinding = "change.performance.accuracy"\n{bound}\n', encoding="utf-8")
    assert compare_command(tmp_path / "page.html", *reversed(runs), "--policy", rules)[0] == code


def test_so_few_that_no_change_could_be_told_from_chance_are_no_pass() -> None:
    definition = FindingDefinition("change.p.accuracy", "Accuracy: change", "x", better="higher", cases="none")
    wide = Interval(low=-0.7, high=0.7, method="paired")

    def judge(n: int, **tolerances: float) -> Verdict:
        change = definition.state_estimate(0.0, interval=wide, adjusted=(), n=n)
        return judge_changes(
            [Section(plugin="p", findings=(change,))], {f"p.{key}": v for key, v in tolerances.items()}
        )

    (few,) = judge(2).rules
    assert (judge(2).status, few.outcome) == ("uncertain", "uncertain")
    assert "2 cases are too few to tell any change from chance: it takes 6 at least" in few.explanation
    assert judge(2, accuracy=0.1).status == "pass"
    assert [judge(n).status for n in (5, 6)] == ["uncertain", "pass"]


def test_what_is_worse_says_how_to_allow_it() -> None:
    definition = FindingDefinition("change.p.accuracy", "Accuracy: change", "x", better="higher", cases="none")
    worse = definition.state_estimate(-0.2, interval=Interval(low=-0.3, high=-0.1, method="paired"), adjusted=(), n=100)
    (rule,) = judge_changes([Section(plugin="p", findings=(worse,))], {}).rules
    assert rule.outcome == "fail"
    assert rule.because == "no tolerance; --tolerance p.accuracy=VALUE would allow a change up to VALUE"


@pytest.mark.parametrize(
    ("finding", "said"),
    [
        ("change.performance.acuracy", "Did you mean 'change.performance.accuracy'"),
        ("performance.accuracy", 'Write finding = "change.performance.accuracy".'),
        ("chance.performance.accuracy", "Did you mean 'change'?"),
    ],
)
def test_a_rule_on_what_no_comparison_can_find_is_an_error(
    runs: tuple[Path, Path], tmp_path: Path, finding: str, said: str
) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text(f'[[policy]]\nfinding = "{finding}"\nmin = 0\n', encoding="utf-8")
    code, stderr = compare_command(tmp_path / "page.html", *runs, "--policy", rules)
    assert (code, f"{rules}, line 1: " in stderr, said in stderr) == (2, True, True), stderr


def test_no_file_is_replaced_unasked(runs: tuple[Path, Path], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = CliRunner().invoke(app, ["compare", *map(str, runs), "--out", str(page), "--json"])
    content = json.loads(done.stdout)
    assert content["verdict"]["status"] == "pass"
    assert (content.pop("exit_code"), content.pop("errors")) == (0, [])
    assert RunComparison.model_validate(content).n == 400
    before = page.read_bytes()
    code, stderr = compare_command(page, *reversed(runs))
    assert (code, "exists already" in stderr, page.read_bytes() == before) == (2, True, True)
    assert compare_command(page, *runs, "--force")[0] == 0


def test_keys_that_are_kept_elsewhere_are_named(
    runs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [f"--key={place_of(rft.report.open_run(folder).run.volatile.id)}" for folder in runs]
    monkeypatch.setenv("RFT_STATE", str(tmp_path / "elsewhere"))
    assert compare_command(tmp_path / "a.html", *runs)[0] == 4
    assert compare_command(tmp_path / "b.html", *runs, *reversed(keys))[0] == 2  # each is the key of the other run
    assert compare_command(tmp_path / "c.html", *runs, *keys)[0] == 0


def test_runs_that_came_without_their_keys_are_compared_by_their_intervals(
    runs: tuple[Path, Path], state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When asked to alone: nothing is paired that could not be trusted, and a gate does not get looser by itself."""
    monkeypatch.setenv("RFT_STATE", str(tmp_path / "elsewhere"))
    code, stderr = compare_command(tmp_path / "a.html", *runs)
    assert (code, "--unpaired" in stderr) == (4, True)
    done = CliRunner().invoke(
        app, ["compare", *map(str, runs), "--out", str(tmp_path / "b.html"), "--unpaired", "--json"]
    )
    content = json.loads(done.stdout)
    assert (done.exit_code, content["n"], content["after"]["left_out"]) == (0, 0, None)
    assert content["not_paired"] == "predictions were not read, as was asked (--unpaired)"
    rows = {row["finding"]: row for row in content["sections"][0]["tables"]["shared"]}
    assert {row["compared"] for row in rows.values()} == {"not paired", "fact"}
    monkeypatch.setenv("RFT_STATE", str(state))
    shared = section_of(compare_runs(*runs), "change").tables["shared"]
    (paired,) = (row for row in shared if row["finding"] == "performance.accuracy")
    accuracy = rows["performance.accuracy"]
    assert accuracy["difference"] == pytest.approx(paired["difference"])
    assert accuracy["low"] < paired["low"] < paired["high"] < accuracy["high"]


def test_what_differs_beside_the_findings_is_listed(runs: tuple[Path, Path], tmp_path: Path) -> None:
    some = run(tmp_path, "some", people().iloc[100:], {"north": 0.1, "south": 0.12})
    tables = section_of(compare_runs(runs[0], some), "circumstances").tables
    config = {row["key"]: (row["before"], row["after"]) for row in tables["config"]}
    assert config["name"] == ("before", "some")
    assert config["predictions.file"] == ("before.csv", "some.csv")
    data = {row["key"]: (row["before"], row["after"]) for row in tables["data"]}
    assert data["test: examples"] == ("400", "300")
    assert "software" not in tables


def test_a_table_without_keys_is_there_or_not(tmp_path: Path) -> None:
    """It switches a plugin on: what is left out in the second run stands in a column of its own."""
    first = example_run()
    config = {name: table for name, table in first.run.config.items() if name != "privacy"}
    tables: list[dict[str, Any]] = [{"privacy": {}, "fairness": {"mitigation": {}}}, {"fairness": {}}]
    first, second = (
        first.model_copy(update={"run": first.run.model_copy(update={"config": config | more})}) for more in tables
    )
    section = compare_circumstances([first, second], join_withheld([first, second]))
    assert section.tables["config"] == [
        {"key": "[privacy]", "before": "present", "after": "absent"},
        {"key": "[fairness.mitigation]", "before": "present", "after": "absent"},
    ]
    html = comparison_html([section], name="two", open_tables=("config",), rft_version="0")
    text = " ".join(re.sub(r"<[^>]+>", " ", html).split())
    assert "In every row: before present , after absent" in text
    assert "key [privacy] [fairness.mitigation]" in text


def test_runs_of_one_name_are_told_apart_once(runs: tuple[Path, Path], tmp_path: Path) -> None:
    """Who they are stands above; the sentences say which of the two they mean."""
    again = run(tmp_path, "before", people(), {"north": 0.3, "south": 0.35})
    page = tmp_path / "compare.html"
    done = CliRunner().invoke(app, ["compare", str(runs[0]), str(again), "--out", str(page)])
    first, second = (rft.open_run(folder).run.volatile for folder in (runs[0], again))
    lines = done.stdout.splitlines()
    assert lines[0] == "before: the second run, compared with the first run"
    assert [line.rpartition(" ")[2] for line in lines[1:3]] == [first.id, second.id]
    assert lines[3] == "400 test examples that both predicted"
    assert "Accuracy of the second run minus that of the first run, on the same test examples." in lines[4]
    assert max(done.stdout.count(first.id), done.stdout.count(second.id)) == 1
    content = page.read_text(encoding="utf-8")
    assert (content.count(first.id), content.count(second.id)) == (1, 1)
    assert "<h1>before: the second run, compared with the first run</h1>" in content


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
    rows = {row["group"]: row for row in section_of(compare_runs(*folders), "fairness").tables["sides"]}
    assert rows["islands"]["n"] is None
    assert rows["islands"]["newly_right"] is None
    assert rows["islands"]["status"] == "suppressed: fewer than 10"


def test_a_change_that_is_not_paired_says_whom_it_leaves_out(tmp_path: Path) -> None:
    """No rule can pass by it then."""
    folders = []
    for name, prefix in (("one", "r"), ("two", "x")):
        table = people()
        table["id"] = prefix + table["id"]
        table.loc[:6, "place"] = "islands"
        table.loc[7:60, "place"] = "hills"
        errors = {"north": 0.1, "south": 0.2, "islands": 0.1, "hills": 0.1}
        folders.append(run(tmp_path, name, table, errors, more="[report]\nsuppress_below = 10\n"))
    rules, finding = tmp_path / "rules.toml", "change.fairness.accuracy_gap.place"
    rules.write_text(f'[[policy]]\nfinding = "{finding}"\nmax = 0.9\n', encoding="utf-8")
    comparison = compare_runs(*folders, rules_file=rules)
    change = comparison.sections[0].finding(finding)
    assert change.withheld == ("hills", "islands")
    assert comparison.verdict.status == "uncertain"
    assert "hills, islands: withheld" in comparison.verdict.rules[0].explanation
    (row,) = (row for row in comparison.sections[0].tables["shared"] if row["finding"] == "fairness.accuracy_gap.place")
    assert row["before_n"] == row["after_n"] == change.n


def test_an_audit_that_the_second_run_leaves_out_is_no_pass(tmp_path: Path) -> None:
    """Deleting a table of the config must not turn a comparison green."""
    table, errors = people(), {"north": 0.1, "south": 0.1}
    before, after = run(tmp_path, "before", table, errors), run(tmp_path, "after", table, errors)
    assert compare_runs(before, after).verdict.status == "pass"
    (tmp_path / "after.toml").write_text(
        CONFIG.format(name="after").replace("[fairness]", "").replace('groups = ["place"]\n', ""), encoding="utf-8"
    )
    rft.audit(tmp_path / "after.toml", tmp_path / "after", force=True)
    verdict = compare_runs(before, after).verdict
    assert verdict.status == "uncertain"
    (lost,) = [rule for rule in verdict.rules if rule.outcome == "uncertain"]
    assert lost.finding == "fairness"
    assert "nothing of it in the second" in lost.explanation
    assert compare_runs(after, before).verdict.status == "pass"  # more than before is no loss
