"""Small numbers that must not leave the machine: ``[report] suppress_below``.

A group of whom too few are counted loses its numbers in every table, finding and text of a run, before the verdict is
reached; that it was there stays visible. A withheld count would follow from a total and the other groups, so more
groups are withheld until what can be computed by subtraction is the sum of at least two groups and no small number
itself (complementary suppression: Cox 1980, JASA 75:377; Hundepool et al. 2012, Statistical Disclosure Control,
section 4). Predictions are local, and stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence, Set
from itertools import combinations
from typing import TypeVar

import numpy as np

from rft.records import Cell, DataFacts, Finding, Row, Section, SplitFacts, Table

Name = TypeVar("Name", bound=Hashable)
Withheld = Mapping[str, frozenset[str]]  # attribute -> its groups that lose their numbers; "" is a missing value

COUNTS = ("n", "n_positive", "n_negative", "n_members", "n_non_members", "n_units")  # of cases that numbers rest on
BETWEEN = " x "  # between the names of attributes, and of groups, that are crossed
_TELLING = ("groups", "left_out")  # which groups are the extremes, or too few: that tells of their numbers
LABEL = ""  # stands for the attribute whose groups are the classes; every other attribute has a name
_MISSING = ("", "(missing)", "(unknown)")
_KEYS = ("bin", "epoch", "epsilon", "replicate", "position", "tenth", "x", "y")  # numbers that say what a row is about
_ABOUT = (
    *("model", "split", "attribute", "group", "class", "control", "metric", "label", "prediction"),
    *("first", "second", "attack", "kind"),
)  # texts that say what a row is about: they may hold digits, as the group 18-25 does

# Texts that may look like the name of another group, or that are taken out in any case
_NO_GROUPS = (*_ABOUT[:9], "attack", "kind", "method", "status", "left_out")


def suppress(sections: Sequence[Section], data: DataFacts, below: int | None) -> tuple[tuple[Section, ...], DataFacts]:
    """Return the sections and the facts about the data as they may leave the machine.

    Args:
        sections: what the plugins found.
        data: counts of the splits.
        below: counts above 0 and below it are withheld; None or 0 changes nothing.
    """
    if not below:
        return tuple(sections), data
    withheld = _decide(sections, data, below)
    cleared = _Clearing(withheld, below)
    return tuple(map(cleared.section, sections)), cleared.data(data)


def reason(below: int) -> str:
    """Return the status and the reason of what was withheld."""
    return f"suppressed: fewer than {below}"


def complemented(equations: Sequence[Mapping[Name, int]], withheld: Collection[Name], below: int) -> frozenset[Name]:
    """Return what must be withheld so that no withheld count follows from totals and from what is shown.

    Args:
        equations: each a set of cells with their counts, of which the total is known to the reader.
        withheld: cells that are withheld for their own sake.
        below: what can be computed by subtraction must be a sum of two cells or more, and no less than this.
    """
    hidden, wanted = set(withheld), frozenset(withheld)
    while exposed := _exposed(equations, hidden, wanted, below):
        rest = {name: count for name, count in exposed[0].items() if count and name not in hidden}
        # the one that leaves the least to be done, and the smallest of those
        left = {name: len(_exposed(equations, hidden | {name}, wanted, below)) for name in rest}
        hidden.add(min(rest, key=lambda name: (left[name], rest[name], str(name))))
    for name in sorted(hidden - wanted, key=str):  # what later ones made superfluous
        if not _exposed(equations, hidden - {name}, wanted, below):
            hidden.remove(name)
    return frozenset(hidden)


def _exposed(
    equations: Sequence[Mapping[Name, int]], hidden: Set[Name], wanted: Set[Name], below: int
) -> list[Mapping[Name, int]]:
    """Return the equations that give away a wanted cell, alone or all together, and have a cell left to withhold."""
    extensible = [each for each in equations if any(count and name not in hidden for name, count in each.items())]
    alone = [each for each in extensible if _exposes(each, hidden, wanted, below)]
    if alone or not extensible:
        return alone
    solved = _solved(equations, hidden) & wanted
    return [each for each in extensible if solved & each.keys()]


def _exposes(equation: Mapping[Name, int], hidden: Set[Name], wanted: Set[Name], below: int) -> bool:
    own = {name: count for name, count in equation.items() if count and name in hidden}
    return bool(own.keys() & wanted) and (len(own) < 2 or sum(own.values()) < below)


def _solved(equations: Sequence[Mapping[Name, int]], hidden: Set[Name]) -> set[Name]:
    """Return the withheld cells that the equations together determine, though no single one does."""
    names = sorted(hidden, key=str)
    matrix = np.array([[float(equation.get(name, 0) > 0) for name in names] for equation in equations])
    if not matrix.size:
        return set()
    projection = np.linalg.pinv(matrix) @ matrix  # a cell is determined when its unit vector lies in the row space
    return {name for name, own in zip(names, np.diag(projection), strict=True) if own > 1 - 1e-9}


def _is_small(count: object, below: int) -> bool:
    return isinstance(count, int) and not isinstance(count, bool) and 0 < count < below


def _group(name: Cell) -> str:
    return "" if name in _MISSING else str(name)


def _decide(sections: Sequence[Section], data: DataFacts, below: int) -> Withheld:
    """Return the groups to withhold, crossed attributes after their parts: what a part hides, they must not tell."""
    blocks, small = _counted(sections, data, below)
    withheld: dict[str, frozenset[str]] = {}
    for attribute in sorted(blocks, key=lambda name: (name.count(BETWEEN), name)):
        equations = [line for block in blocks[attribute] for line in _lines(attribute, block)]
        own = {group for block in blocks[attribute] for group in block if _inherits(attribute, group, withheld)}
        if hidden := complemented(equations, own | small.get(attribute, set()), below):
            withheld[attribute] = hidden
    return withheld


def _counted(
    sections: Sequence[Section], data: DataFacts, below: int
) -> tuple[dict[str, list[dict[str, int]]], dict[str, set[str]]]:
    """Return the counts of groups, by attribute and wherever they stand together, and the groups with a small one."""
    blocks: dict[str, dict[Hashable, dict[str, int]]] = {}
    small: dict[str, set[str]] = {}
    for split, facts in data.splits.items():
        for attribute, counts in {**facts.groups, LABEL: facts.labels}.items():
            blocks.setdefault(attribute, {})[split] = {group: count or 0 for group, count in counts.items()}
            small.setdefault(attribute, set()).update(group for group, n in counts.items() if _is_small(n, below))
    for place, row in _grouped_rows(sections):
        attribute, group = str(row["attribute"]), _group(row["group"])
        for name, n in ((name, row.get(name)) for name in COUNTS):
            if isinstance(n, int):
                blocks.setdefault(attribute, {}).setdefault((name, place), {})[group] = n
        if any(_is_small(row.get(name), below) for name in COUNTS):
            small.setdefault(attribute, set()).add(group)
    return {attribute: _distinct(held.values()) for attribute, held in blocks.items()}, small


def _distinct(blocks: Iterable[dict[str, int]]) -> list[dict[str, int]]:
    return list({frozenset(block.items()): block for block in blocks}.values())


def _grouped_rows(sections: Sequence[Section]) -> Iterable[tuple[Hashable, Row]]:
    """Yield the rows that are about one group, each with what it shares with those whose counts add up with its own."""
    for section in sections:
        for name, table in section.tables.items():
            for row in table:
                if row.get("attribute") is not None and row.get("group") is not None and row.get("bin") is None:
                    yield (section.plugin, name, *(row.get(key) for key in ("split", "model", "control", "class"))), row


def _lines(attribute: str, block: Mapping[str, int]) -> list[dict[str, int]]:
    """Return the sets of groups whose total is known: all, and of crossed attributes those alike in some parts."""
    lines = [dict(block)]
    depth = attribute.count(BETWEEN) + 1
    for kept in (each for size in range(1, depth) for each in combinations(range(depth), size)):
        alike: dict[tuple[str, ...], dict[str, int]] = {}
        for group, count in block.items():
            parts = group.split(BETWEEN)
            if len(parts) == depth:
                alike.setdefault(tuple(parts[place] for place in kept), {})[group] = count
        lines += alike.values()
    return lines


def _inherits(attribute: str, group: str, withheld: Withheld) -> bool:
    """Whether a group lies within one that is withheld, or its name does not tell what it was crossed from."""
    attributes, parts = attribute.split(BETWEEN), group.split(BETWEEN)
    depth = len(attributes)
    if depth == 1 or not group:
        return False
    if len(parts) != depth:
        return True
    return any(
        BETWEEN.join(parts[place] for place in kept)
        in withheld.get(BETWEEN.join(attributes[place] for place in kept), ())
        for size in range(1, depth)
        for kept in combinations(range(depth), size)
    )


class _Clearing:
    """Takes what is withheld out of a run."""

    def __init__(self, withheld: Withheld, below: int) -> None:
        self._withheld, self._below, self.reason = withheld, below, reason(below)
        self._named = {attribute: _pattern(groups) for attribute, groups in withheld.items() if attribute}

    def section(self, section: Section) -> Section:
        """Return the section without the numbers of withheld groups, and with a note where there were any."""
        tables = {name: self._table(table) for name, table in section.tables.items()}
        findings = tuple(map(self._finding, section.findings))
        shown = {cell for table in tables.values() for row in table for cell in row.values() if isinstance(cell, str)}
        changed = tables != section.tables or findings != section.findings
        return section.model_copy(
            update={
                "findings": findings,
                "tables": tables,
                "captions": {name: self._text(text) for name, text in section.captions.items()},
                "figures": tuple(each.model_copy(update={"alt": self._text(each.alt)}) for each in section.figures),
                "notes": (*map(self._text, section.notes), *([self.note] if changed else [])),
                "chapters": tuple(
                    each.model_copy(update={"text": tuple(map(self._text, each.text))}) for each in section.chapters
                ),
                "assets": {name: png for name, png in section.assets.items() if name in shown},
            }
        )

    @property
    def note(self) -> str:
        """What was done, in words."""
        return (
            f"Numbers of groups with fewer than {self._below} cases are withheld ([report] suppress_below), and those "
            "of further groups from which they would follow by subtraction. Rows about all cases stay."
        )

    def data(self, data: DataFacts) -> DataFacts:
        """Return the facts with None for the count of a withheld group or class."""
        return data.model_copy(update={"splits": {name: self._split(facts) for name, facts in data.splits.items()}})

    def _split(self, facts: SplitFacts) -> SplitFacts:
        def cleared(attribute: str, counts: Mapping[str, int | None]) -> dict[str, int | None]:
            hidden = self._withheld.get(attribute, frozenset())
            return {group: None if group in hidden else count for group, count in counts.items()}

        groups = {attribute: cleared(attribute, counts) for attribute, counts in facts.groups.items()}
        return facts.model_copy(update={"labels": cleared(LABEL, facts.labels), "groups": groups})

    def _table(self, table: Table) -> Table:
        hidden = self._alone(table)
        whole = [self._row(row, index in hidden) for index, row in enumerate(table)]
        if "status" in (table[0] if table else {}) or not any(withheld for _, withheld in whole):
            return [row for row, _ in whole]
        return [{**row, "status": self.reason if withheld else "measured"} for row, withheld in whole]

    def _alone(self, table: Table) -> frozenset[int]:
        """Return the numbers of the rows that rest on too few, and what complements them, but for rows of whole groups.

        These are rows about no group, and bins of a group, which add up to it.
        """
        counts: dict[tuple[Cell, ...], dict[int, int]] = {}
        small = set()
        for index, row in enumerate(table):
            binned = row.get("bin") is not None
            if row.get("group") is not None and not binned:
                continue
            if isinstance(n := row.get("n"), int) and (binned or not {"group", "metric"} & row.keys()):  # a partition
                counts.setdefault(tuple(row.get(name) for name in ("split", "attribute", "group")), {})[index] = n
            if any(_is_small(row.get(name), self._below) for name in COUNTS):
                small.add(index)
        return complemented(list(counts.values()), small, self._below)

    def _row(self, row: Row, small: bool) -> tuple[Row, bool]:
        """Return the row as it may be shown, and whether its numbers were withheld."""
        if small or self._is_withheld(row):
            return {name: self._cleared(name, cell) for name, cell in row.items()}, True
        if row.get("group") is None and row.get("attribute") in self._withheld:
            if not {"group", "groups"} & row.keys():  # about all groups together, those withheld among them
                return {name: self._cleared(name, cell) for name, cell in row.items()}, True
            return {name: None if name in (*COUNTS, "left_out") else cell for name, cell in row.items()}, False
        return row, False

    def _is_withheld(self, row: Row) -> bool:
        attribute, group = row.get("attribute"), row.get("group")
        if attribute is not None:
            if group is not None and _group(group) in self._withheld.get(str(attribute), ()):
                return True
            # it may be about other groups too: those of a gap, the reference of a ratio
            return any(self._names(cell, str(attribute)) for name, cell in row.items() if name not in _NO_GROUPS)
        if "attribute" in row:  # about all cases
            return False
        if group is not None:
            return any(group in groups for groups in self._withheld.values())
        return str(row.get("class", row.get("label"))) in self._withheld.get(LABEL, ())

    def _cleared(self, name: str, cell: Cell) -> Cell:
        """Return a cell of a withheld row: what it is about stays, numbers and texts with digits go."""
        if name == "status":
            return self.reason
        if name in _TELLING:
            return None
        if isinstance(cell, bool) or cell is None or name in _KEYS or name in _ABOUT:
            return cell
        return cell if isinstance(cell, str) and not re.search(r"\d", cell) else None

    def _finding(self, finding: Finding) -> Finding:
        if finding.status == "fail":
            return finding  # broken integrity is no fact about a group, and is never withheld
        attribute = next((name for name in self._named if finding.id.endswith(f".{name}")), None)
        tells = [text for text in (finding.title, finding.meaning) if self._tells(text, attribute)]
        if tells or _is_small(finding.n, self._below) or self._counts_few(finding, attribute):
            return self._unmeasured(finding)
        changed = {"limits": self._text(finding.limits, attribute)}
        if finding.reason and self._tells(finding.reason, attribute):
            changed["reason"] = self.reason
        return finding.model_copy(update=changed | ({"n": None} if attribute else {}))

    def _counts_few(self, finding: Finding, attribute: str | None) -> bool:
        """Whether the value is itself a count of a withheld group: of the examples without a value, as a rule."""
        if attribute is None or not finding.exact:
            return False
        return "" in self._withheld[attribute] or _is_small(int(finding.value or 0), self._below)

    def _unmeasured(self, finding: Finding) -> Finding:
        attribute = next((name for name in self._named if finding.id.endswith(f".{name}")), None)
        return Finding(
            id=finding.id,
            title="Withheld" if self._tells(finding.title, attribute) else finding.title,
            status="not_measured",
            unit=finding.unit,
            grade=finding.grade,
            meaning="Not shown: it rests on, or tells of, fewer cases than may leave the machine.",
            references=finding.references,
            reason=self.reason,
        )

    def _names(self, text: Cell, attribute: str) -> bool:
        pattern = self._named.get(attribute)
        return isinstance(text, str) and pattern is not None and pattern.search(text) is not None

    def _tells(self, text: str, about: str | None = None) -> bool:
        """Whether a text names a withheld group of the attribute that it is about, with a number beside the name."""
        for attribute, pattern in self._named.items():
            if attribute != about and re.search(rf"(?<!\w){re.escape(attribute)}(?!\w)", text) is None:
                continue
            if pattern.search(text) and re.search(r"\d", pattern.sub("", text)):
                return True
        return False

    def _text(self, text: str, about: str | None = None) -> str:
        return f"A text about a withheld group was left out ({self.reason})." if self._tells(text, about) else text


def _pattern(groups: Collection[str]) -> re.Pattern[str]:
    """Return what finds the names of these groups as whole words; nothing where only missing values are withheld."""
    names = [re.escape(name) for name in sorted(groups, key=len, reverse=True) if name]
    return re.compile(rf"(?<![\w.])(?:{'|'.join(names)})(?!\w)" if names else r"(?!)")
