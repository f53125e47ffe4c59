"""What is withheld, decided from counts: small groups, what complements them, crossings, nested attributes, persons."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linprog

from rft.disclosure.complement import protect_cells
from rft.disclosure.decide import decide_withheld
from rft.disclosure.withheld import Counted, Withheld

BELOW = 10
Cell = tuple[str | None, ...]


def table_of(counts: dict[Cell, int], attributes: tuple[str, ...] = ("g",), split: str = "test") -> pd.DataFrame:
    """Return predictions with so many rows of each combination of groups, all right, half of each class."""
    rows = [
        dict(zip((f"group_{name}" for name in attributes), cell, strict=True))
        for cell, n in counts.items()
        for _ in range(n)
    ]
    label = [("no", "yes")[row % 2] for row in range(len(rows))]
    table = pd.DataFrame(rows, dtype=object).assign(split=split, unit=None, label=label, prediction=label)
    return table.assign(id=[f"{split}{row}" for row in range(len(rows))])


def hidden_groups(counts: dict[str | None, int]) -> tuple[str, ...]:
    return decide_withheld(table_of({(name,): n for name, n in counts.items()}), [], BELOW).groups_of("g")


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"a": 40, "b": 25, "c": 90}, ()),
        ({"a": 7, "b": 25, "c": 40, "d": 90}, ("a", "b")),  # a alone would be the total minus the others
        ({"a": 6, "b": 6, "c": 50, "d": 60}, ("a", "b")),
        ({"a": 1, "b": 1, "c": 50, "d": 60}, ("a", "b", "c")),  # two together are still too few
        ({"a": 6, "b": 60}, ("a", "b")),
        ({"a": 6, None: 30, "b": 50, "c": 60}, ("a",)),  # rows without a value are withheld with it
        ({None: 4, "b": 50, "c": 60}, ("b",)),
    ],
)
def test_small_groups_and_what_complements_them(counts: dict[str | None, int], expected: tuple[str, ...]) -> None:
    assert hidden_groups(counts) == expected


@pytest.mark.parametrize("below", [None, 0])
def test_off_withholds_nothing(below: int | None) -> None:
    assert decide_withheld(table_of({("a",): 3, ("b",): 50}), [], below) == Withheld()


def test_a_group_is_withheld_everywhere_as_soon_as_it_is_small_in_one_split() -> None:
    test = table_of({("a",): 30, ("b",): 40, ("c",): 50})
    train = table_of({("a",): 5, ("b",): 400, ("c",): 500}, split="train")
    assert decide_withheld(pd.concat([test, train]), [], BELOW).groups_of("g") == ("a", "b")


def test_cases_of_a_metric_are_counted_like_rows() -> None:
    table = table_of({("a",): 30, ("b",): 40, ("c",): 50})
    few = np.zeros(len(table), dtype=bool)
    few[:4] = few[30:50] = few[70:100] = True  # 4 of a, 20 of b, 30 of c
    assert decide_withheld(table, [Counted("test", ("g",), few)], BELOW).groups_of("g") == ("a", "b")
    some = np.ones(len(table), dtype=bool)
    assert decide_withheld(table, [Counted("test", ("g",), some)], BELOW).groups_of("g") == ()


def test_persons_are_counted_where_they_have_several_rows() -> None:
    table = table_of({("a",): 60, ("b",): 60, ("c",): 80})
    people = (
        [f"a{row % 5}" for row in range(60)] + [f"b{row % 30}" for row in range(60)] + [f"c{row}" for row in range(80)]
    )
    assert decide_withheld(table.assign(unit=people), [], BELOW).groups_of("g") == ("a", "b")


def test_what_depends_on_the_data_alone_does_not_change_with_the_model() -> None:
    """Else two models on the same data would have other complements, and both reports together a sum for the first."""
    table = table_of({("a",): 7, ("b",): 25, ("c",): 40, ("d",): 90})
    few = np.zeros(len(table), dtype=bool)
    few[32:35] = True  # 3 of c are selected
    alone = decide_withheld(table, [], BELOW).groups_of("g")
    with_model = decide_withheld(table, [Counted("test", ("g",), few, of_model=True)], BELOW).groups_of("g")
    assert set(alone) == {"a", "b"} <= set(with_model)
    assert "c" in with_model


def test_what_is_withheld_already_stays_so() -> None:
    table = table_of({("a",): 30, ("b",): 40, ("c",): 50})
    assert decide_withheld(table, [], BELOW, already={"g": ["c"]}).groups_of("g") == ("a", "c")


def test_an_attribute_that_another_one_sums_up_gives_nothing_back() -> None:
    """The groups of ``region`` are unions of those of ``town``: a region minus its large towns is its small one."""
    towns = {("north", "a"): 6, ("north", "b"): 40, ("south", "c"): 15, ("south", "d"): 60}
    withheld = decide_withheld(table_of(towns, ("region", "town")), [], BELOW)
    shown = {"a", "b", "c", "d"} - set(withheld.groups_of("town"))
    assert "a" not in shown
    assert "north" in withheld.groups_of("region") or "b" not in shown


def test_the_order_of_crossed_attributes_changes_nothing() -> None:
    """Local Law 144 wants sex by race, the intersections may be race by sex: two complements would make a sum."""
    table = table_of(
        {("a", "s"): 6, ("a", "t"): 40, ("b", "s"): 30, ("b", "t"): 30, ("c", "s"): 30, ("c", "t"): 30}, ("g", "o")
    )
    withheld = decide_withheld(table, [Counted("test", ("g", "o")), Counted("test", ("o", "g"))], BELOW)
    assert "a x s" in withheld.groups_of("g x o")
    assert {" x ".join(reversed(name.split(" x "))) for name in withheld.groups_of("o x g")} == set(
        withheld.groups_of("g x o")
    )


def test_classes_are_withheld_by_split_with_what_complements_them() -> None:
    table = table_of({("a",): 60})
    label = ["x"] * 4 + ["y"] * 20 + ["z"] * 36
    assert decide_withheld(table.assign(label=label, prediction="z"), [], BELOW).classes == {
        "test": frozenset({"x", "y"})
    }
    both = ["x"] * 4 + ["y"] * 56
    assert decide_withheld(table.assign(label=both, prediction="y"), [], BELOW).classes == {
        "test": frozenset({"x", "y"})
    }
    few = table.assign(label=["x", "y"] * 30, unit=["p"] * 30 + [f"p{row}" for row in range(30)])
    few.loc[few["label"] == "x", "unit"] = "q"
    assert decide_withheld(few, [], BELOW).classes == {"test": frozenset({"x", "y"})}, "all of x are of one person"


def test_a_split_of_few_persons_is_withheld() -> None:
    table = table_of({("a",): 60}).assign(unit=[f"p{row % 5}" for row in range(60)])
    assert decide_withheld(table, [], BELOW).splits == {"test"}


def test_a_column_of_names_is_no_matter_of_groups() -> None:
    table = table_of({("a",): 400}).assign(group_g=[f"p{row}" for row in range(400)])
    assert len(decide_withheld(table, [], BELOW).groups_of("g")) == 400


def test_cells_that_only_all_totals_together_give_away_are_found() -> None:
    """Two squares of four withheld cells each, joined by one cell: no line has one alone, and yet that cell follows."""
    cells = [(row, column) for row in range(4) for column in range(4)]
    lines = np.array([[cell[axis] == place for cell in cells] for axis in (0, 1) for place in range(4)])
    start = {*product((0, 1), (0, 1)), *product((2, 3), (2, 3)), (1, 2)}
    mask = np.array([cell in start for cell in cells])
    hidden = protect_cells(20 * lines, lines, mask, np.zeros(16, dtype=bool), BELOW)
    assert hidden[mask].all(), "the equation of each line is satisfied; the rest is found by their combination"


# --- an attacker by linear programming ---


def random_frame(rng: np.random.Generator, *, units: bool) -> pd.DataFrame:
    rows = [f"r{k}" for k in range(rng.integers(2, 5))] + ([None] if rng.random() < 0.4 else [])
    columns = [f"c{k}" for k in range(rng.integers(2, 5))] + ([None] if rng.random() < 0.3 else [])
    parts = []
    for split in ("train", "test"):
        counts = {cell: int(rng.choice([0, 2, 5, 12, 30, 70])) for cell in product(rows, columns)}
        if sum(counts.values()):
            parts.append(table_of(counts, ("a", "b"), split))
    table = pd.concat(parts, ignore_index=True)
    label = np.where(rng.random(len(table)) < 0.4, "yes", "no")
    flipped = rng.random(len(table)) < 0.2
    table["label"], table["prediction"] = label, np.where(flipped, np.where(label == "yes", "no", "yes"), label)
    if units:
        table["unit"] = [f"u{number}" for number in rng.integers(0, max(len(table) // 2, 1), len(table))]
    return table


def counted_blocks(table: pd.DataFrame) -> Iterator[tuple[str, np.ndarray, bool]]:
    for split in table["split"].unique():
        rows = table[table["split"] == split]
        yield split, np.ones(len(rows), dtype=bool), False
        yield split, (rows["label"] == "yes").to_numpy(), False
        yield split, (rows["label"] != "yes").to_numpy(), False
        yield split, (rows["prediction"] == "yes").to_numpy(), True


def recover_cells(table: pd.DataFrame, withheld: Withheld) -> list[tuple[str, Cell]]:
    """Return the small cells that follow from all that is shown: counts of groups and crossings, and totals."""
    values = [[*dict.fromkeys(table[f"group_{name}"].fillna(""))] for name in ("a", "b")]
    cells = list(product(*values))
    determined = []
    for split, mask, _ in counted_blocks(table):
        rows = table[table["split"] == split][mask].fillna({"group_a": "", "group_b": ""})
        n = rows.groupby(["group_a", "group_b"]).size().to_dict()
        equations, sums = [np.ones(len(cells))], [len(rows)]
        for axis, name in enumerate(("a", "b")):
            for value in values[axis]:
                if value not in withheld.groups_of(name) and not (value == "" and withheld.hides_groups_of(name)):
                    equations.append(np.array([float(cell[axis] == value) for cell in cells]))
                    sums.append(sum(n.get(cell, 0) for cell in cells if cell[axis] == value))
        for place, cell in enumerate(cells):
            inherits = any(value in withheld.groups_of(name) for value, name in zip(cell, ("a", "b"), strict=True))
            if "" not in cell and not inherits and " x ".join(cell) not in withheld.groups_of("a x b"):
                equations.append(np.eye(len(cells))[place])
                sums.append(n.get(cell, 0))
        targets = [(np.eye(len(cells))[place], cell) for place, cell in enumerate(cells)]
        targets += [
            (np.array([float(cell[axis] == value) for cell in cells]), (value,) if axis == 0 else (None, value))
            for axis in (0, 1)
            for value in values[axis]
        ]
        for direction, cell in targets:
            true = float(direction @ [n.get(cell, 0) for cell in cells])
            if not 0 < true < BELOW:
                continue
            ends = [
                linprog(sign * direction, A_eq=np.array(equations), b_eq=sums, bounds=(0, None), method="highs").fun
                for sign in (1, -1)
            ]
            if -ends[1] - ends[0] < 1 - 1e-6:
                determined.append((split, cell))
    return determined


def decide_all(table: pd.DataFrame, below: int = BELOW) -> Withheld:
    counted = [
        Counted(split, attributes, mask, of_model)
        for split, mask, of_model in counted_blocks(table)
        for attributes in (("a",), ("b",), ("a", "b"))
    ]
    return decide_withheld(table, counted, below)


@pytest.mark.parametrize("seed", range(25))
def test_no_small_cell_follows_from_all_that_is_shown(seed: int) -> None:
    table = random_frame(np.random.default_rng(seed), units=seed % 3 == 0)
    assert recover_cells(table, decide_all(table)) == []


def test_the_same_attack_finds_small_cells_where_only_these_are_blanked() -> None:
    """Without complements: the attack is a real one."""
    successes = 0
    for seed in range(25):
        table = random_frame(np.random.default_rng(seed), units=False)
        groups: dict[str, tuple[str, ...]] = {}
        for name, columns in (("a", ["group_a"]), ("b", ["group_b"]), ("a x b", ["group_a", "group_b"])):
            sizes = table[table["split"] == "test"].groupby(columns).size()
            small = sizes[sizes < BELOW].index
            groups[name] = tuple(" x ".join((group,) if isinstance(group, str) else group) for group in small)
        successes += bool(recover_cells(table, Withheld(BELOW, groups)))
    assert successes >= 15
