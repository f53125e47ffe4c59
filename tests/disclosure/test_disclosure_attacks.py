"""What leaves the machine does not give a withheld group back; the same attacks succeed where nothing is withheld.

The data are made here: counted rows, nothing about real people.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import rft
from rft.pipeline.compare_runs import compare_runs
from rft.report.render.comparison_page import comparison_html
from tests.support.disclosure_attacker import BETWEEN, Attack, Release, class_sizes, naively_redacted

pytest.importorskip("fairlearn")
pytestmark = pytest.mark.usefixtures("shared_keys")

CONFIG = """\
name = "{name}"

[data]
label = "label"
positive = "yes"
groups = {groups}
id = "id"

[predictions]
file = "{name}.csv"
prediction = "pred"

[fairness]
{fairness}

[report]
suppress_below = {below}

[[policy]]
finding = "fairness.accuracy_gap.g"
max = 0.5
because = "a test"
"""


def table(cells: dict[tuple[str, ...], tuple[int, int, int, int]], columns: tuple[str, ...] = ("g",)) -> pd.DataFrame:
    """Return a table of predictions from counts: group -> true positives, false negatives, false positives, others."""
    rows = [
        {**dict(zip(columns, group, strict=True)), "label": label, "pred": pred}
        for group, counts in cells.items()
        for n, (label, pred) in zip(counts, OUTCOMES, strict=True)
        for _ in range(n)
    ]
    return pd.DataFrame(rows).assign(id=lambda frame: [f"r{row:05}" for row in range(len(frame))])


OUTCOMES = (("yes", "yes"), ("yes", "no"), ("no", "yes"), ("no", "no"))


def audit_table(
    folder: Path, frame: pd.DataFrame, below: int, *, fairness: str = 'metrics = ["accuracy"]', name: str = "run"
) -> Path:
    groups = [column for column in frame.columns if column not in ("id", "label", "pred", "person")]
    config = CONFIG.format(name=name, groups=groups, fairness=fairness, below=below).replace("'", '"')
    if "person" in frame:
        config = config.replace('id = "id"', 'id = "id"\nunit = "person"')
    frame.to_csv(folder / f"{name}.csv", index=False)
    (folder / f"{name}.toml").write_text(config, encoding="utf-8")
    rft.audit(folder / f"{name}.toml", folder / name)
    return folder / name


SUP = table({("Aa",): (215, 35, 35, 215), ("Bb",): (120, 30, 33, 117), ("Cc",): (20, 1, 2, 20), ("Dd",): (1, 3, 2, 0)})
TRUE = {"Cc": (43, 40), "Dd": (6, 1)}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    folder = tmp_path_factory.mktemp("sup")
    return {below: audit_table(folder, SUP, below, name=f"below{below}") for below in (0, 10)}


def test_without_suppression_the_counts_are_told(runs: dict[int, Path]) -> None:
    recovered = Attack(Release.of(runs[0]), "g", ("Dd",)).run()
    assert recovered["Dd", "told"]


def test_blanking_a_group_is_not_enough_since_the_rest_of_the_total_is_its(runs: dict[int, Path]) -> None:
    release = naively_redacted(Release.of(runs[0]), "g", ["Cc"])
    recovered = Attack(release, "g", ("Cc",)).run()
    assert recovered["Cc", "n in test"] == 43
    assert recovered["Cc", "(n, k)"] == TRUE["Cc"], "from the gap and the number of cases behind it"


def test_blanking_two_groups_is_not_enough_since_intervals_and_gaps_are_equations(runs: dict[int, Path]) -> None:
    release = naively_redacted(Release.of(runs[0]), "g", ["Cc", "Dd"])
    by_intervals = Attack(release, "g", ("Cc", "Dd"))
    by_intervals._invert_worst_groups()
    assert by_intervals.recovered == {("Dd", "(n, k)"): TRUE["Dd"]}
    by_gaps = Attack(release, "g", ("Cc", "Dd"))
    by_gaps._use_gaps()
    assert by_gaps.recovered == {("Cc", "(n, k)"): TRUE["Cc"]}
    by_gaps._subtract_from_totals()
    assert by_gaps.recovered["Dd", "n in test"] == 6, "what one attack gives makes another possible"


def test_nothing_is_recovered_of_withheld_groups(runs: dict[int, Path]) -> None:
    release = Release.of(runs[10])
    assert release.audit["data"]["small_cells"]["groups"] == {"g": ["Cc", "Dd"]}
    assert Attack(release, "g", ("Cc", "Dd")).run() == {}
    assert "Dd" in release.texts[0], "that the group is there is shown"
    assert no_small_count(release) == []


def test_the_overview_names_no_withheld_group(runs: dict[int, Path]) -> None:
    """It names them where nothing is withheld: the sentence about fairness is about the groups at both ends."""
    open_release, closed = Release.of(runs[0]), Release.of(runs[10])
    summaries = [
        {pillar["plugin"]: pillar["summary"] for pillar in release.audit["pillars"]}
        for release in (open_release, closed)
    ]
    assert "Cc" in summaries[0]["fairness"], "the attacker would see it"
    attack = Attack(open_release, "g", ("Cc",))
    attack._read_the_overview()
    assert attack.recovered == {("Cc", "overview"): summaries[0]["fairness"]}
    for name in ("Cc", "Dd"):
        assert name not in " ".join(summaries[1].values())
    assert "Aa" in summaries[1]["fairness"]
    assert "Bb" in summaries[1]["fairness"]


def test_every_column_of_these_runs_has_a_role_that_its_plugin_gave_it(runs: dict[int, Path]) -> None:
    undeclared = {
        (section["plugin"], name, column)
        for section in Release.of(runs[10]).sections
        for name, table in section["tables"].items()
        for column in (table[0] if table else ())
        if column not in {declared["name"] for declared in section["columns"].get(name, [])}
    }
    assert not undeclared


def no_small_count(release: Release, below: int = 10) -> list[dict]:
    """Return the rows that print a count of people that is small."""
    columns = (
        "n",
        "n_positive",
        "n_negative",
        "n_selected",
        "newly_given",
        "no_longer_given",
        "newly_right",
        "newly_wrong",
    )
    return [
        row
        for section in release.sections
        for table in section["tables"].values()
        for row in table
        if any(isinstance(row.get(name), int) and 0 < row[name] < below for name in columns)
    ]


def test_a_rule_cannot_pass_over_withheld_groups(runs: dict[int, Path]) -> None:
    verdict = Release.of(runs[10]).audit["verdict"]
    assert verdict["status"] == "uncertain"
    assert "Cc, Dd: withheld (report.suppress_below), and not judged" in verdict["rules"][0]["explanation"]


CROSSED = table(
    {
        ("A", "f"): (90, 60, 40, 60),
        ("A", "m"): (45, 50, 25, 30),
        ("B", "f"): (60, 40, 20, 30),
        ("B", "m"): (40, 40, 20, 50),
        ("C", "f"): (5, 20, 1, 34),
        ("C", "m"): (4, 20, 2, 34),
        ("D", "f"): (2, 25, 1, 32),
        ("D", "m"): (1, 10, 0, 29),
    },
    ("g", "s"),
)


def test_few_selections_behind_a_precision_are_withheld_with_the_crossings(tmp_path: Path) -> None:
    metrics = 'metrics = ["accuracy", "precision", "selection_rate", "fpr"]'
    release = Release.of(audit_table(tmp_path, CROSSED, 10, fairness=metrics))
    small = release.audit["data"]["small_cells"]["groups"]
    assert small["g"] == ["C", "D"], "D has 4 selections"
    assert Attack(release, "g", ("C", "D")).run() == {}
    assert no_small_count(release) == []
    assert all("selections" not in text for text in release.texts if "D is left out" in text)


def test_crossings_that_are_blanked_alone_follow_from_rows_and_columns(tmp_path: Path) -> None:
    counts = {
        ("A", "f"): (60, 9, 9, 40),
        ("A", "m"): (50, 9, 9, 50),
        ("B", "f"): (3, 1, 1, 2),
        ("B", "m"): (40, 9, 9, 40),
    }
    frame = table(counts, ("g", "s"))
    release = naively_redacted(Release.of(audit_table(tmp_path, frame, 0, name="open")), "g x s", [])
    for section in release.audit["sections"]:
        for row in section["tables"].get("by_group", []):
            if row["group"] == "B x f":
                row.update(n=None, n_positive=None, n_negative=None)
    attack = Attack(release, "g", ())
    attack._solve_crossings()
    assert attack.recovered["B x f", "n in g x s"] == 7
    hidden = Release.of(audit_table(tmp_path, frame, 10, name="closed"))
    attack = Attack(hidden, "g", ())
    attack._solve_crossings()
    assert attack.recovered == {}


def test_a_comparison_withholds_what_either_run_does(tmp_path: Path) -> None:
    flipped = SUP.assign(pred=np.where(SUP["id"].isin(SUP["id"].iloc[[3, 300, 845, 846]]), "no", SUP["pred"]))
    folders = [audit_table(tmp_path, SUP, 0, name="open"), audit_table(tmp_path, SUP, 10, name="first")]
    folders.append(audit_table(tmp_path, flipped, 0, name="second"))
    for pair, is_open in ((folders[0::2], True), (folders[1:], False)):
        compared = compare_runs(*pair)
        page = comparison_html(compared.sections, name="compared", rft_version="0")
        sections = [section.model_dump(mode="json") for section in compared.sections]
        release = Release.of(folders[1], pages=[page], compared=sections)
        recovered = Attack(release, "g", ("Cc", "Dd")).run()
        assert bool(recovered) == is_open, recovered
        if not is_open:
            assert no_small_count(release) == []


def test_a_small_class_does_not_follow_from_means_over_classes(tmp_path: Path) -> None:
    """Accuracy, balanced accuracy and the selection rate of all are three equations for two classes."""
    frame = table({("A",): (3, 1, 6, 90), ("B",): (2, 2, 5, 81)})
    metrics = 'metrics = ["accuracy", "selection_rate", "tpr", "fpr"]'
    shown, hidden = (
        Release.of(audit_table(tmp_path, frame, below, fairness=metrics, name=f"classes{below}")) for below in (0, 10)
    )
    assert class_sizes(shown) == {8}
    assert len(class_sizes(hidden)) > 5
    assert hidden.audit["data"]["splits"]["test"]["labels"] == {"no": None, "yes": None}
    assert no_small_count(hidden) == []


def test_legal_tables_withhold_groups_and_who_is_in_none(tmp_path: Path) -> None:
    options = 'metrics = ["accuracy"]\ntables = ["ll144", "four_fifths"]\n[fairness.ll144]\nsex = "s"\nrace = "g"'
    release = Release.of(audit_table(tmp_path, CROSSED, 10, fairness=options))
    small = release.audit["data"]["small_cells"]["groups"]
    rows = {(row["attribute"], row["group"]): row for row in release.rows("ll144")}
    assert rows["g", "D"]["n"] is rows["g", "D"]["n_selected"] is None, "it has four selections"
    assert rows["g", "(unknown)"]["n"] is None, "the rest of the total would be theirs"
    assert rows["g", "A"]["n"] == 400
    reversed_names = {" x ".join(reversed(name.split(BETWEEN))) for name in small["g x s"]}
    assert reversed_names == set(small["s x g"])
    ratio = next(finding for finding in release.findings if finding["id"] == "fairness.ll144.g")
    assert ratio["withheld"] == small["g"]
    assert "in no category" not in ratio["description"]
    assert Attack(release, "g", tuple(small["g"])).run() == {}
    assert no_small_count(release) == []


def draw_table(rng: np.random.Generator) -> pd.DataFrame:
    """Return predictions of groups of random sizes, some of them small, crossed with another attribute."""
    cells = {}
    for group in [f"g{place}" for place in range(rng.integers(3, 6))]:
        size = int(rng.choice([4, 8, 30, 120, 300]))
        for second in ("s", "t"):
            n = int(rng.binomial(size, 0.5))
            cells[group, second] = tuple(rng.multinomial(n, rng.dirichlet([4, 1, 1, 4])).tolist())
    return table({cell: counts for cell, counts in cells.items() if sum(counts)}, ("g", "o"))


def attack_release(folder: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    frame = draw_table(rng)
    metrics = 'metrics = ["accuracy", "selection_rate", "tpr", "fpr", "precision"]\ntables = ["four_fifths"]'
    release = Release.of(audit_table(folder, frame, 10, fairness=metrics, name=f"drawn{seed}"))
    for attribute, hidden in release.audit["data"]["small_cells"]["groups"].items():
        if BETWEEN not in attribute:
            assert Attack(release, attribute, tuple(hidden)).run() == {}, (attribute, hidden)
    assert no_small_count(release) == []


@pytest.mark.parametrize("seed", range(1))
def test_nothing_is_recovered_from_random_data(tmp_path: Path, seed: int) -> None:
    attack_release(tmp_path, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 40))
def test_nothing_is_recovered_from_more_random_data(tmp_path: Path, seed: int) -> None:
    attack_release(tmp_path, seed)


def test_a_precision_of_few_decisions_is_not_shown(tmp_path: Path) -> None:
    frame = table({("A",): (3, 47, 1, 49), ("B",): (2, 48, 0, 50)})
    release = Release.of(audit_table(tmp_path, frame, 10, fairness='metrics = ["accuracy", "precision"]'))
    by_class = {row["class"]: row for row in release.rows("by_class")}
    assert (by_class["yes"]["precision"], by_class["yes"]["recall"], by_class["yes"]["n"]) == (None, 0.05, 100)
    assert by_class["no"]["precision"] is not None
    overall = {row["metric"]: row["value"] for row in release.rows("by_group") if row["attribute"] is None}
    assert overall["precision"] is None
    assert overall["accuracy"] == 0.52
    assert release.audit["data"]["small_cells"]["groups"] == {"g": ["A", "B"]}


def test_a_group_that_looks_like_a_missing_value_is_named_and_not_counted(tmp_path: Path) -> None:
    """It is the complement of a small group, so that its count would give that one back."""
    frame = table({("Aa",): (120, 30, 33, 117), ("NA",): (10, 5, 4, 9), ("Zz",): (1, 3, 2, 0)})
    release = Release.of(audit_table(tmp_path, frame, 10))
    assert release.audit["data"]["small_cells"]["groups"] == {"g": ["NA", "Zz"]}
    spelled = next(finding for finding in release.findings if finding["id"] == "dataset.missing_spellings.g")
    assert (spelled["value"], spelled["n"]) == (None, None)
    assert "'NA'" in spelled["description"]
    assert Attack(release, "g", ("NA", "Zz")).run() == {}


def test_persons_behind_rows_and_positives_are_counted(tmp_path: Path) -> None:
    """The sixty rows of Cc are of four persons; the positives of Dd of three."""
    frame = table(
        {("Aa",): (60, 30, 33, 57), ("Bb",): (50, 20, 23, 47), ("Cc",): (15, 15, 15, 15), ("Dd",): (10, 5, 9, 40)}
    )
    many = [f"p{row}" for row in range(len(frame))]
    person = np.where(frame["g"] == "Cc", [f"c{row % 4}" for row in range(len(frame))], many)
    of_three = (frame["g"] == "Dd") & (frame["label"] == "yes")
    person = np.where(of_three, [f"d{row % 3}" for row in range(len(frame))], person)
    metrics = 'metrics = ["accuracy", "tpr"]'
    release = Release.of(audit_table(tmp_path, frame.assign(person=person), 10, fairness=metrics))
    assert release.audit["data"]["small_cells"]["groups"]["g"] == ["Bb", "Cc", "Dd"]
    assert Attack(release, "g", ("Bb", "Cc", "Dd")).run() == {}
