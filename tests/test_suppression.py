"""Small counts that must not leave the machine: by themselves, by subtraction, or in words."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linprog

import rft
from rft.config import ReportConfig, Rule
from rft.policy import judge
from rft.records import DataFacts, Finding, Interval, Row, Section, SplitFacts, Table, not_measured
from rft.report import render
from rft.suppression import complemented, reason, suppress

BELOW = 10
SMALL = reason(BELOW)


def facts(labels: dict[str, int], **groups: dict[str, int]) -> DataFacts:
    n = sum(labels.values())
    return DataFacts(splits={"test": SplitFacts(n=n, n_units=None, labels=labels, groups=groups)})


def by_group(attribute: str, counts: dict[str, int], *, positive: dict[str, int] | None = None) -> Table:
    shares = {group: 0.5 + 0.01 * number for number, group in enumerate(counts)}
    return [
        {
            "model": "fine-tuned",
            "split": "test",
            "attribute": attribute,
            "group": group,
            "class": None,
            "control": None,
            "metric": metric,
            "value": shares[group],
            "low": shares[group] - 0.1,
            "high": shares[group] + 0.1,
            "n": n,
            "n_positive": n // 2 if positive is None else positive[group],
            "n_negative": n - (n // 2 if positive is None else positive[group]),
            "status": "ok",
        }
        for group, n in counts.items()
        for metric in ("accuracy", "tpr")
    ]


def overall(n: int) -> Table:
    return [{**row, "attribute": None, "group": None} for row in by_group("none", {"none": n})]


def fairness(*tables: Table, findings: tuple[Finding, ...] = (), **more: object) -> Section:
    rows = [row for table in tables for row in table]
    return Section(plugin="fairness", tables={"by_group": rows} if rows else {}, findings=findings, **more)


def gap(attribute: str, meaning: str, *, n: int = 90, limits: str = "") -> Finding:
    return Finding(
        id=f"fairness.tpr_gap.{attribute}",
        title=f"TPR gap by {attribute}",
        status="info",
        value=0.2,
        unit="fraction",
        interval=Interval(low=0.1, high=0.3, method="Newcombe"),
        n=n,
        meaning=meaning,
        limits=limits,
    )


RACE = {"Asian": 7, "Black": 40, "Native": 25, "White": 90}
LABELS = {"no": 82, "yes": 80}


def hidden_groups(section: Section, attribute: str = "race") -> set[object]:
    rows = section.tables["by_group"]
    return {row["group"] for row in rows if row["attribute"] == attribute and row["status"] == SMALL}


def test_a_small_group_loses_its_numbers_and_stays_visible() -> None:
    section, data = suppressed(fairness(overall(162), by_group("race", RACE)), facts(LABELS, race=RACE))
    rows = [row for row in section.tables["by_group"] if row["group"] == "Asian"]
    assert len(rows) == 2
    for row in rows:
        assert row["status"] == "suppressed: fewer than 10"
        assert [name for name, cell in row.items() if isinstance(cell, int | float)] == []
        assert (row["attribute"], row["split"], row["model"]) == ("race", "test", "fine-tuned")
    assert data.splits["test"].groups["race"]["Asian"] is None
    whole = [row for row in section.tables["by_group"] if row["attribute"] is None]
    assert whole == overall(162), "what is about all stays"


def suppressed(section: Section, data: DataFacts, below: int = BELOW) -> tuple[Section, DataFacts]:
    (section,), data = suppress([section], data, below)
    return section, data


def test_the_smallest_other_group_goes_too_or_subtraction_gives_it_back() -> None:
    section, data = suppressed(fairness(overall(162), by_group("race", RACE)), facts(LABELS, race=RACE))
    assert hidden_groups(section) == {"Asian", "Native"}
    shown = [count for count in data.splits["test"].groups["race"].values() if count is not None]
    assert data.splits["test"].n - sum(shown) == 32, "all that subtraction tells"
    assert any("withheld ([report] suppress_below)" in note for note in section.notes)


def test_two_small_groups_need_a_third_while_their_sum_is_small() -> None:
    assert complemented([{"a": 1, "b": 1, "c": 50, "d": 60}], {"a", "b"}, 10) == {"a", "b", "c"}
    assert complemented([{"a": 6, "b": 6, "c": 50, "d": 60}], {"a", "b"}, 10) == {"a", "b"}
    assert complemented([{"a": 6, "b": 0, "c": 50}], {"a"}, 10) == {"a", "c"}, "a zero hides nobody"
    assert complemented([{"a": 6}], {"a"}, 10) == {"a"}
    assert complemented([{"a": 60}], set(), 10) == set()


def test_cells_that_only_all_totals_together_give_away_are_found() -> None:
    """Two squares of four withheld cells each, joined by one cell: no line has one alone, and yet that cell follows."""
    cells = {(row, column): 20 for row in range(4) for column in range(4)}
    hidden = {*product((0, 1), (0, 1)), *product((2, 3), (2, 3)), (1, 2)}
    lines = [{cell: n for cell, n in cells.items() if cell[axis] == place} for axis in (0, 1) for place in range(4)]
    found = complemented(lines, hidden, 10)
    assert found > hidden


def test_a_group_with_few_positives_goes_altogether() -> None:
    """Accuracy, selection rate and FPR would give them back together."""
    positive = {"Asian": 20, "Black": 3, "Native": 15, "White": 42}
    table = by_group("race", {**RACE, "Asian": 30}, positive=positive)
    section, _ = suppressed(fairness(table), facts(LABELS))
    assert hidden_groups(section) == {"Black", "Native"}


def test_missing_values_are_a_group_like_any_other() -> None:
    race = {**RACE, "Asian": 30, "": 4}
    found = Finding(
        id="fairness.missing.race",
        title="Test examples without race",
        status="warn",
        value=4,
        unit="examples",
        exact=True,
        n=189,
        meaning="4 of 189 test examples have no value of race.",
    )
    section, data = suppressed(fairness(by_group("race", race | {}), findings=(found,)), facts(LABELS, race=race))
    assert section.findings[0].status == "not_measured"
    assert section.findings[0].reason == SMALL
    assert "4" not in section.findings[0].meaning
    assert data.splits["test"].groups["race"][""] is None
    assert data.splits["test"].groups["race"]["Native"] is None


def test_a_finding_that_rests_on_few_is_not_measured_and_settles_no_rule() -> None:
    few = gap("sex", "TPR is 0.9 for f (n = 3) and 0.7 for m (n = 4).", n=7)
    section, _ = suppressed(fairness(findings=(few,)), facts(LABELS))
    verdict = judge([Rule(finding=few.id, max=0.05)], [section])
    assert verdict.status == "uncertain"
    assert verdict.rules[0].explanation == f"not measured: {SMALL}"
    assert "0.9" not in section.model_dump_json()


def test_a_gap_that_names_a_withheld_group_is_withheld_and_another_keeps_its_value() -> None:
    named = gap("race", "TPR is 0.9 for Native (n = 25) and 0.7 for White (n = 90).", n=115)
    other = gap("race", "TPR is 0.9 for Black (n = 40) and 0.7 for White (n = 90).", limits="Asian is too few (n = 7).")
    data = facts(LABELS, race=RACE)
    first, _ = suppressed(fairness(by_group("race", RACE), findings=(named,)), data)
    second, _ = suppressed(fairness(by_group("race", RACE), findings=(other,)), data)
    assert first.findings[0].status == "not_measured"
    kept = second.findings[0]
    assert (kept.status, kept.value) == ("info", 0.2)
    assert kept.n is None, "162 minus the n of all scored groups would be the small one"
    assert "7" not in kept.limits


def test_tables_of_gaps_notes_captions_and_pictures_tell_nothing_either() -> None:
    gaps: Table = [
        {"attribute": "race", "metric": "tpr", "groups": groups, "n_groups": 3, "value": 0.2, "status": "info"}
        for groups in ("Native minus White", "Black minus White")
    ]
    pictures: Table = [
        {"asset": "0a" * 32 + ".png", "caption": "photo 3", "group": group} for group in ("Asian", "Black")
    ]
    pictures[1] = {**pictures[1], "asset": "0b" * 32 + ".png"}
    section = Section(
        plugin="fairness",
        tables={"by_group": by_group("race", RACE), "gaps": gaps, "pictures": pictures},
        captions={"gaps": "By race: Asian has 7."},
        notes=("Of race, Asian is too few (n = 7).", "Intervals hold at 95 %."),
        assets={"0a" * 32 + ".png": b"a", "0b" * 32 + ".png": b"b"},
    )
    cleared, _ = suppressed(section, facts(LABELS, race=RACE))
    native, black = cleared.tables["gaps"]
    assert (native["value"], native["status"], native["groups"]) == (None, SMALL, None)
    assert (black["value"], black["groups"]) == (0.2, "Black minus White")
    assert "7" not in cleared.captions["gaps"] + cleared.notes[0]
    assert cleared.notes[1] == "Intervals hold at 95 %."
    assert [row["asset"] for row in cleared.tables["pictures"]] == [None, "0b" * 32 + ".png"]
    assert list(cleared.assets) == ["0b" * 32 + ".png"], "nor is the picture written"
    assert [row["status"] for row in cleared.tables["pictures"]] == [SMALL, "measured"]


def test_rows_about_no_group_are_cleared_with_one_more_so_that_the_total_tells_nothing() -> None:
    table: Table = [{"split": "test", "bin": k, "accuracy": 0.9, "n": n} for k, n in enumerate((3, 40, 20, 30))]
    section, _ = suppressed(Section(plugin="made", tables={"bins": table}), facts(LABELS))
    rows = section.tables["bins"]
    assert [row["n"] for row in rows] == [None, 40, None, 30]
    assert [row["bin"] for row in rows] == [0, 1, 2, 3]
    assert [row["status"] for row in rows] == [SMALL, "measured", SMALL, "measured"]


def test_a_ratio_to_a_withheld_group_would_tell_its_rate() -> None:
    ratios: Table = [
        {
            "attribute": "race",
            "group": group,
            "reference": "Native",
            "impact_ratio": 0.8,
            "n": RACE[group],
            "status": "measured",
        }
        for group in ("Black", "White")
    ]
    made = Section(plugin="made", tables={"by_group": by_group("race", RACE), "ratios": ratios})
    section, _ = suppressed(made, facts(LABELS, race=RACE))
    assert hidden_groups(section) == {"Asian", "Native"}
    assert [(row["impact_ratio"], row["status"]) for row in section.tables["ratios"]] == [(None, SMALL)] * 2


def test_bins_of_a_group_that_is_large_are_cleared_one_by_one() -> None:
    table: Table = [
        {"attribute": "race", "group": group, "bin": k, "rate": 0.5, "n": n}
        for group, counts in (("Black", (4, 16, 20)), ("White", (30, 30, 30)))
        for k, n in enumerate(counts)
    ]
    made = Section(
        plugin="made", tables={"calibration": table, "by_group": by_group("race", {"Black": 40, "White": 90})}
    )
    section, _ = suppressed(made, facts(LABELS, race={"Black": 40, "White": 90}))
    assert [row["n"] for row in section.tables["calibration"]] == [None, None, 20, 30, 30, 30]
    assert not hidden_groups(section)


def test_broken_integrity_is_never_withheld() -> None:
    broken = Finding(id="made.check.race", title="t", status="fail", value=0.0, exact=True, n=3, meaning="Broken: 3.")
    section, _ = suppressed(fairness(by_group("race", RACE), findings=(broken,)), facts(LABELS, race=RACE))
    assert section.findings == (broken,)
    assert judge([], [section]).status == "fail"


def test_what_was_not_measured_stays_so_without_the_counts_in_its_reason() -> None:
    absent = not_measured("fairness.auc_gap.race", "AUC gap", "too few: Asian has 7", "How far apart.", n=155)
    section, _ = suppressed(fairness(by_group("race", RACE), findings=(absent,)), facts(LABELS, race=RACE))
    [finding] = section.findings
    assert (finding.status, finding.reason, finding.n) == ("not_measured", SMALL, None)


@pytest.mark.parametrize("below", [None, 0])
def test_off_changes_nothing(below: int | None) -> None:
    section, data = fairness(by_group("race", RACE)), facts(LABELS, race=RACE)
    assert suppress([section], data, below) == ((section,), data)
    assert ReportConfig().suppress_below is None


def feasible(n: dict[tuple[str, str], int], shown: dict[str, dict[str, int | None]]) -> dict[tuple[str, str], float]:
    """Return how far each withheld cell of a crossed table may vary, given all that is shown: a linear programme.

    ``n`` has the true counts of the cells; ``shown`` those of the release by attribute, None where withheld.
    """
    cells = list(n)
    rows, totals = [], []
    for place, cell in enumerate(cells):
        if shown["a x b"][" x ".join(cell)] is not None:
            rows.append(np.eye(len(cells))[place])
            totals.append(n[cell])
    for axis, attribute in enumerate(("a", "b")):
        for group, count in shown[attribute].items():
            if count is not None:
                rows.append(np.array([float(cell[axis] == group) for cell in cells]))
                totals.append(count)
    rows.append(np.ones(len(cells)))
    totals.append(sum(n.values()))
    widths = {}
    for place, cell in enumerate(cells):
        if 0 < n[cell] < BELOW:
            ends = [
                linprog(sign * np.eye(len(cells))[place], A_eq=np.array(rows), b_eq=totals, bounds=(0, None)).fun * sign
                for sign in (1, -1)
            ]
            widths[cell] = ends[1] - ends[0]
    return widths


@pytest.mark.parametrize("seed", range(12))
def test_the_attack_by_all_totals_finds_no_small_cell_of_an_intersection(seed: int) -> None:
    """The attacker knows every count shown, every total, and that counts are not negative."""
    rng = np.random.default_rng(seed)
    rows, columns = [f"r{k}" for k in range(rng.integers(2, 5))], [f"c{k}" for k in range(rng.integers(2, 6))]
    n = {cell: int(rng.choice([0, 3, 8, 15, 40, 90])) for cell in product(rows, columns)}
    a = {row: sum(count for cell, count in n.items() if cell[0] == row) for row in rows}
    b = {column: sum(count for cell, count in n.items() if cell[1] == column) for column in columns}
    crossed = {" x ".join(cell): count for cell, count in n.items()}
    section = fairness(overall(sum(a.values())), by_group("a", a), by_group("b", b), by_group("a x b", crossed))
    data = facts({"no": sum(a.values()) - 20, "yes": 20}, a=a, b=b)
    cleared, released = suppressed(section, data)
    shown: dict[str, dict[str, int | None]] = {"a": {}, "b": {}, "a x b": {}}
    for row in cleared.tables["by_group"]:
        if row["attribute"] is not None:
            shown[str(row["attribute"])][str(row["group"])] = row["n"]  # type: ignore[assignment]
    for attribute in ("a", "b"):
        assert released.splits["test"].groups[attribute] == shown[attribute]
    exact = [cell for cell, width in feasible(n, shown).items() if width < 1]
    assert not exact, exact
    for count in (count for counts in shown.values() for count in counts.values() if count is not None):
        assert not 0 < count < BELOW


def test_a_run_on_the_machine_and_what_leaves_it(tiny: Path) -> None:
    """Cameras left and right have ten pictures in each split: all of it is suppressed below 15, in every file."""
    pytest.importorskip("fairlearn")
    tiny.write_text(
        tiny.read_text() + "\n[fairness]\nmin_group = 2\nmin_shown = 2\n[report]\nsuppress_below = 15\n"
        '[[policy]]\nfinding = "fairness.accuracy_gap.camera"\nmax = 0.5\n',
        encoding="utf-8",
    )
    out = tiny.parent / "run"
    run = rft.audit(tiny, out)
    stored = json.loads((out / "audit.json").read_text(encoding="utf-8"))
    assert stored["data"]["splits"]["test"]["groups"] == {"camera": {"left": None, "right": None}}
    assert stored["data"]["splits"]["test"]["n"] == 20
    rows = next(section for section in stored["sections"] if section["plugin"] == "fairness")["tables"]["by_group"]
    groups = [row for row in rows if row["attribute"] == "camera"]
    assert groups
    assert {row["status"] for row in groups} == {"suppressed: fewer than 15"}
    assert {row[name] for row in groups for name in ("value", "low", "high", "n", "n_positive")} == {None}
    assert run.verdict.status == "uncertain"
    assert run.verdict.rules[-1].explanation == "not measured: suppressed: fewer than 15"
    card = (out / "model-card.md").read_text(encoding="utf-8")
    assert "| camera | left | withheld | withheld |" in card
    assert "suppressed: fewer than 15" in render(run)
    assert pd.read_parquet(out / "predictions.parquet")["group_camera"].notna().all(), "predictions stay whole"


def test_what_is_told_of_all_groups_together_does_not_give_a_withheld_one_back() -> None:
    """The variance across groups, the visible rates and the share of noise would give a withheld rate and its n."""
    rows = [
        {"attribute": "race", "group": name, "metric": "accuracy", "value": value, "n": n, "status": "ok"}
        for name, value, n in (("a", 0.9, 300), ("b", 0.8, 200), ("c", 0.7, 7), ("d", 0.85, 60))
    ]
    spread: Table = [{"attribute": "race", "metric": "accuracy", "n_groups": 4, "variance": 0.01, "noise_share": 0.4}]
    gap: Row = {
        "attribute": "race",
        "metric": "accuracy",
        "groups": "a minus b",
        "n_groups": 3,
        "value": 0.1,
        "left_out": "c (too few to tell)",
        "status": "ok",
    }
    section = Section(plugin="fairness", tables={"by_group": rows, "dispersion": spread, "gaps": [gap]})
    data = DataFacts(
        splits={
            "test": SplitFacts(n=567, n_units=None, labels={}, groups={"race": {"a": 300, "b": 200, "c": 7, "d": 60}})
        }
    )
    (cleared,), _ = suppress([section], data, BELOW)
    assert (cleared.tables["dispersion"][0]["variance"], cleared.tables["dispersion"][0]["noise_share"]) == (None, None)
    assert cleared.tables["gaps"][0]["left_out"] is None
