"""Which groups and classes are withheld, from the counts that numbers rest on. Nothing is measured yet.

A group is withheld in all splits and tables as soon as one count of it is small. What depends on the data alone is
decided first, so that two models on the same data do not have different groups withheld for that reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd

from rft.disclosure.complement import find_determining_weights, index_published_sums, protect_cells
from rft.disclosure.withheld import BETWEEN, MISSING, Counted, Withheld

WEIGHT_TOLERANCE = 1e-6  # of a weight, by rounding
MAX_SHOWN_GROUPS = 200  # of one grouping, above which no plugin shows any, and all are withheld


def decide_withheld(
    predictions: pd.DataFrame,
    counted: Sequence[Counted],
    below: int | None,
    *,
    already: Mapping[str, Sequence[str]] | None = None,
) -> Withheld:
    """Return what is withheld.

    Args:
        predictions: one row an example of every split, see ``rft.plugins.AuditedModel``.
        counted: what plugins count beside the rows of each group in each split.
        below: counts of 1 to ``below - 1`` rows or units are withheld; None or 0: none are.
        already: attribute -> groups that are withheld in any case, as they are in other reports on the same data.
    """
    if not below:
        return Withheld()
    frame = predictions.reset_index(drop=True)
    parts = {str(name): np.flatnonzero(frame["split"] == name) for name in frame["split"].unique()}
    names = [str(column).removeprefix("group_") for column in frame.columns if str(column).startswith("group_")]
    always = [Counted(split, (name,)) for split in parts for name in names]
    people = _code_units(frame, parts)
    groups = _Groupings(frame, [*always, *counted], parts, people, below).decide_groups(already or {})
    labels = frame.get("label")  # transcripts have none
    classes = {
        split: frozenset() if labels is None else _decide_classes(labels.iloc[rows], people[split], below)
        for split, rows in parts.items()
    }
    small = (split for split, rows in parts.items() if 0 < _count_units(rows, people[split]) < below)
    return Withheld(below, groups, {split: hidden for split, hidden in classes.items() if hidden}, frozenset(small))


def _code_units(frame: pd.DataFrame, parts: Mapping[str, np.ndarray]) -> dict[str, np.ndarray | None]:
    """Return for each split (N,) codes of units; None where none repeats. A row without a unit stands for itself."""
    codes = pd.factorize(frame["unit"])[0].astype(np.int64)
    codes = np.where(codes >= 0, codes, len(frame) + np.arange(len(frame)))
    dense = {split: pd.factorize(codes[rows]) for split, rows in parts.items()}
    return {split: units if len(names) < len(units) else None for split, (units, names) in dense.items()}


def _count_units(rows: np.ndarray, people: np.ndarray | None) -> int:
    return len(rows) if people is None else int(people.max()) + 1


def _decide_classes(labels: pd.Series, people: np.ndarray | None, below: int) -> frozenset[str]:
    """Return the classes of a split to withhold, by how many examples and units have them."""
    column = labels.astype("category").cat
    names, codes = [str(name) for name in column.categories], column.codes.to_numpy().astype(np.int64)
    codes = np.where(codes >= 0, codes, len(names))  # the last place is for rows without a class
    counts = np.array([sizes[: len(names)] for sizes in _CodeCounts(codes, len(names) + 1, people).count_in(None)])
    small: np.ndarray = np.any((counts > 0) & (counts < below), axis=0)
    hidden = protect_cells(counts, counts > 0, small, np.zeros(len(names), dtype=bool), below)
    return frozenset(name for name, is_hidden in zip(names, hidden, strict=True) if is_hidden)


class _CodeCounts:
    """How many rows of a split have each code, and how many units where these repeat."""

    def __init__(self, codes: np.ndarray, size: int, people: np.ndarray | None) -> None:
        self._codes, self._size = codes, size
        self._pair: np.ndarray | None = None
        if people is not None and len(codes):
            n_units = int(people.max()) + 1
            self._pair, pairs = pd.factorize(codes * n_units + people)
            self._code_of_pair = pairs // n_units

    def count_in(self, mask: np.ndarray | None) -> Iterator[np.ndarray]:
        """Yield (size,) counts of rows, then of units, among the rows of a (N,) mask."""
        codes = self._codes if mask is None else self._codes[mask]
        yield np.bincount(codes, minlength=self._size)
        if self._pair is not None:
            there = np.zeros(len(self._code_of_pair), dtype=bool)
            there[self._pair if mask is None else self._pair[mask]] = True
            yield np.bincount(self._code_of_pair[there], minlength=self._size)


@dataclass
class _Grouping:
    """The groups of one attribute, or of crossed ones, over all rows.

    Attributes:
        attributes: which.
        values: (A,) the values that a group consists of; ``MISSING`` where it has none.
        codes: (N,) the group of each row.
        hidden: (A,) booleans: what is withheld.
        small: split -> (A,) booleans: what is withheld for its own sake.
    """

    attributes: tuple[str, ...]
    values: list[tuple[str, ...]]
    codes: np.ndarray
    hidden: np.ndarray
    small: dict[str, np.ndarray]

    @property
    def name(self) -> str:
        return BETWEEN.join(self.attributes)

    @property
    def without_value(self) -> np.ndarray:
        """(A,) booleans: groups that lack a value."""
        return np.array([MISSING in values for values in self.values], dtype=bool)

    def withheld_names(self, order: tuple[str, ...]) -> tuple[str, ...]:
        """Return the names of the withheld groups, their attributes in this order."""
        places = [self.attributes.index(name) for name in order]
        hidden = [
            values for values, gone in zip(self.values, self.hidden, strict=True) if gone and MISSING not in values
        ]
        return tuple(sorted(BETWEEN.join(values[place] for place in places) for values in hidden))


class _Block(NamedTuple):
    """(A,) counts of the groups of a grouping in some rows of a split, and whether the split has any of them."""

    split: str
    of_model: bool
    counts: np.ndarray
    there: np.ndarray


class _Groupings:
    """All groupings that numbers are given for, and the decision about their groups."""

    def __init__(
        self,
        frame: pd.DataFrame,
        counted: Sequence[Counted],
        parts: Mapping[str, np.ndarray],
        people: Mapping[str, np.ndarray | None],
        below: int,
    ) -> None:
        self._parts, self._below = parts, below
        attributes = {name for rows_counted in counted for name in rows_counted.attributes}
        columns = {name: _code_values(frame[f"group_{name}"]) for name in attributes}
        # The same groups may be crossed in another order, and must then not have other ones withheld.
        self._asked = sorted(
            {rows_counted.attributes for rows_counted in counted}, key=lambda names: (len(names), names)
        )
        keys = dict.fromkeys(tuple(sorted(names)) for names in self._asked)
        self._all = {key: _make_grouping(key, columns) for key in keys}
        of_key: dict[tuple[str, ...], list[Counted]] = {key: [] for key in keys}
        for rows_counted in counted:
            of_key[tuple(sorted(rows_counted.attributes))].append(rows_counted)
        self._blocks = {
            key: list(self._count_blocks(grouping, of_key[key], people)) for key, grouping in self._all.items()
        }

    def decide_groups(self, already: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
        """Return attribute -> withheld groups, with an entry for each attribute of which anything is withheld."""
        for of_model in (False, True):
            for intersection_order in sorted({len(key) for key in self._all}):
                level = [grouping for key, grouping in self._all.items() if len(key) == intersection_order]
                for grouping in level:
                    self._withhold_small(grouping, already, of_model)
                self._resist_combinations(level, intersection_order, of_model)
        decided = {names: self._all[tuple(sorted(names))] for names in self._asked}
        return {
            BETWEEN.join(names): grouping.withheld_names(names)
            for names, grouping in decided.items()
            if grouping.hidden.any()
        }

    def _withhold_small(self, grouping: _Grouping, already: Mapping[str, Sequence[str]], of_model: bool) -> None:
        """Withhold what is small or lies in what is withheld, and what complements it."""
        if int((~grouping.without_value).sum()) > MAX_SHOWN_GROUPS:
            grouping.hidden[:] = True
            return
        blocks = [block for block in self._blocks[grouping.attributes] if of_model or not block.of_model]
        nothing = np.zeros(len(grouping.values), dtype=bool)
        for block in blocks:
            small = (block.counts > 0) & (block.counts < self._below)
            grouping.small[block.split] = grouping.small.get(block.split, nothing) | small
        named = already.get(grouping.name, ())
        hidden = np.any([grouping.hidden, self._inherit_hidden(grouping), *grouping.small.values()], axis=0)
        hidden |= np.array([BETWEEN.join(block) in named for block in grouping.values], dtype=bool)
        if len(grouping.attributes) == 1 and hidden.any():
            hidden |= grouping.without_value
        lines = self._list_known_totals(grouping)
        counts = np.array([line * block.counts for line in lines for block in blocks])
        possible = np.array([line & block.there for line in lines for block in blocks])
        grouping.hidden = protect_cells(counts, possible, hidden, grouping.without_value, self._below)

    def _count_blocks(
        self, grouping: _Grouping, counted: Sequence[Counted], people: Mapping[str, np.ndarray | None]
    ) -> Iterator[_Block]:
        """Yield the counts of every block of rows, by rows and units."""
        size = len(grouping.values)
        for split, rows in self._parts.items():
            codes = grouping.codes[rows]
            tally, there = _CodeCounts(codes, size, people[split]), np.bincount(codes, minlength=size) > 0
            for rows_counted in counted:
                if rows_counted.split == split:
                    yield from (
                        _Block(split, rows_counted.of_model, counts, there)
                        for counts in tally.count_in(rows_counted.mask)
                    )

    def _inherit_hidden(self, grouping: _Grouping) -> np.ndarray:
        """Return (A,) whether a crossed group lies in one that is withheld."""
        inherited = np.zeros(len(grouping.values), dtype=bool)
        for parts, numbers in self._iterate_parents(grouping):
            inherited |= parts.hidden[numbers]
        return inherited

    def _iterate_parents(self, grouping: _Grouping) -> Iterator[tuple[_Grouping, np.ndarray]]:
        """Yield each grouping by fewer of the attributes, and the (A,) group of it that each crossed group lies in."""
        intersection_order = len(grouping.attributes)
        for kept in (
            positions
            for size in range(1, intersection_order)
            for positions in combinations(range(intersection_order), size)
        ):
            parent = self._all.get(tuple(grouping.attributes[place] for place in kept))
            if parent is not None:
                places = {values: number for number, values in enumerate(parent.values)}
                yield (
                    parent,
                    np.array([places[tuple(positions[place] for place in kept)] for positions in grouping.values]),
                )

    def _list_known_totals(self, grouping: _Grouping) -> list[np.ndarray]:
        """Return (A,) booleans for each set of groups whose total is known: all, and those alike in some attributes."""
        lines = [np.ones(len(grouping.values), dtype=bool)]
        for parent, numbers in self._iterate_parents(grouping):
            lines += [numbers == number for number in np.flatnonzero(~parent.hidden).tolist()]
        return lines

    def _resist_combinations(self, level: Sequence[_Grouping], intersection_order: int, of_model: bool) -> None:
        """Withhold more until no small group follows from several groupings together, as where attributes nest."""
        known = [grouping for grouping in self._all.values() if len(grouping.attributes) <= intersection_order]
        for split in self._parts:
            while (weights := self._find_determining_sums(known, split)) is not None:
                shown = self._list_needed_groups(level, known, weights)
                if not shown:
                    break  # the total of the split alone tells: no group of it is shown
                grouping, cell = shown[0]
                grouping.hidden[cell] = True
                if intersection_order == 1:
                    grouping.hidden |= grouping.without_value
                self._withhold_small(grouping, {}, of_model)

    def _find_determining_sums(self, known: Sequence[_Grouping], split: str) -> np.ndarray | None:
        """Return the weights of published sums that add up to a group that is small in a split; None if none do."""
        rows = self._parts[split]
        nobody = np.zeros(0, dtype=bool)
        if not any(grouping.small.get(split, nobody).any() for grouping in known):
            return None
        cells = np.unique(np.stack([grouping.codes[rows] for grouping in known]), axis=1)
        published = index_published_sums(cells, [~grouping.hidden for grouping in known], cells.shape[1])
        for grouping, numbers in zip(known, cells, strict=True):
            small = grouping.small.get(split)
            for cell in [] if small is None else np.flatnonzero(small & grouping.hidden).tolist():
                weights = find_determining_weights(published, numbers == cell)
                if weights is not None:
                    return weights
        return None

    def _list_needed_groups(
        self, level: Sequence[_Grouping], known: Sequence[_Grouping], weights: np.ndarray
    ) -> list[tuple[_Grouping, int]]:
        """Return the groups of this level that the sum needs, else those that are shown at all, the smallest first."""
        shown = [(grouping, cell) for grouping in known for cell in np.flatnonzero(~grouping.hidden).tolist()]
        mine = [
            (pair, abs(weight) > WEIGHT_TOLERANCE)
            for pair, weight in zip(shown, weights[1:], strict=True)
            if any(pair[0] is grouping for grouping in level)
        ]
        needed = [pair for pair, counts in mine if counts] or [pair for pair, _ in mine]
        return sorted(
            needed, key=lambda pair: (not pair[0].without_value[pair[1]], np.sum(pair[0].codes == pair[1]), pair[1])
        )


def _code_values(column: pd.Series) -> tuple[np.ndarray, list[str]]:
    """Return (N,) codes and the values by code; the last one stands for no value."""
    values = column if isinstance(column.dtype, pd.CategoricalDtype) else column.astype("category")
    names = [str(name) for name in values.cat.categories]
    codes = values.cat.codes.to_numpy().astype(np.int64)
    return np.where(codes >= 0, codes, len(names)), [*names, MISSING]


def _make_grouping(attributes: tuple[str, ...], columns: Mapping[str, tuple[np.ndarray, list[str]]]) -> _Grouping:
    sizes = tuple(len(columns[name][1]) for name in attributes)
    joint = np.ravel_multi_index(tuple(columns[name][0] for name in attributes), sizes)
    codes, occurring = pd.factorize(joint, sort=True)
    places = np.stack(np.unravel_index(occurring, sizes), axis=1)
    values = [
        tuple(columns[name][1][place] for name, place in zip(attributes, cell, strict=True)) for cell in places.tolist()
    ]
    blank = np.zeros(len(values), dtype=bool)
    return _Grouping(attributes, values, codes, blank, {})
