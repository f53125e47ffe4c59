"""What can be wrong with the data before any model is trained: leaks between splits, duplicates, gaps, small classes.

Everything here is a count of the data at hand, not an estimate. No id, unit or item is named: they may be personal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from rft.disclosure.withheld import Withheld
from rft.plugins import AuditedModel, Options, Plugin
from rft.plugins.dataset.recordings import (
    CAPTION,
    COLUMNS,
    compare_lengths,
    compare_rates,
    group_recordings,
    tabulate_recordings,
)
from rft.records import (
    TASKS,
    About,
    Cell,
    Columns,
    Figure,
    Finding,
    FindingDefinition,
    ModelFacts,
    Row,
    Section,
    Split,
    Table,
    Texts,
    bars_figure,
    list_columns,
)

if TYPE_CHECKING:
    from rft.data.remarks import Remark

SMALL_CLASS = 10  # training examples
SMALLEST_CLASS = FindingDefinition(
    "dataset.smallest_class",
    "Smallest class in train",
    "How many examples the rarest class has in train.",
    unit="examples",
    caveats=f"Fewer than {SMALL_CLASS} examples teach little about a class.",
)
MISSING = "(missing)"
JUDGED_SPLIT = "test"  # groups are compared on it; another split of which nobody named them lacks none
CASE_UNITS = (
    "examples",
    "units",
    "items",
    "texts",
    "images",
    "recordings",
    "utterances",
)  # of remarks that count cases, not names or files


class DatasetOptions(Options):
    """No options."""


class Dataset(Plugin[DatasetOptions]):
    """Always on: counts what the splits share, hold twice, or lack."""

    name = "dataset"
    always_on = True
    tasks = tuple(TASKS)
    options = DatasetOptions

    def audit(self, audited: AuditedModel, options: DatasetOptions) -> Section:
        """Return the section; needs nothing but the splits."""
        splits, classes = audited.splits, audited.facts.classes
        attributes = list(dict.fromkeys(name for split in splits.values() for name in split.groups))
        conflicts = [*_shared_rows(splits, "unit"), *_shared_rows(splits, "item"), *_duplicate_rows(splits)]
        tables: dict[str, Table] = {
            "labels": _labels_table(splits, classes, audited.withheld),
            "groups": _groups_table(splits, attributes, audited.withheld),
            "conflicts": [_show_row(row, _is_small(row["n"], audited.withheld), audited.withheld) for row in conflicts],
        }
        grouped = list(group_recordings(splits, classes, audited.withheld))
        tables["recordings"] = [row for recordings in grouped for row in tabulate_recordings(recordings)]
        findings = (
            _shared_units(splits, audited.facts),
            _shared_items(splits),
            _duplicate_items(splits),
            *([_smallest_class(splits.get("train"), classes, audited.withheld)] if classes else []),
            *(_missing_groups(splits, attribute, audited.withheld) for attribute in attributes),
            *map(compare_rates, grouped),
            *map(compare_lengths, grouped),
            *_truncated_texts(audited),
            *_validation_examples(splits),
            *(_finding_of_remark(remark, audited.withheld) for remark in audited.remarks),
        )
        return Section(
            plugin=self.name,
            title="Data",
            findings=findings,
            tables={name: table for name, table in tables.items() if table},
            columns=_COLUMNS,
            captions=_CAPTIONS,
            computed_from={
                **dict.fromkeys([*(finding.id for finding in findings), "conflicts", "recordings"], "examples"),
                "labels": "by_split",
                "groups": "by_split",
            },
            figures=(*([_labels_figure()] if tables["labels"] else []), *map(_groups_figure, attributes)),
        )


_CAPTIONS = {
    "labels": "Examples of each class in each split.",
    "groups": f"Examples of each group in each split; {MISSING} where the data does not say.",
    "recordings": CAPTION,
    "conflicts": "How many distinct units or identical items two splits share, and surplus copies within a split.",
}
_COUNTED = {"n": "examples"}
_COLUMNS: dict[str, Columns] = {
    "labels": list_columns(
        {"split": "key", "class": "class", "share": "number", "n": "count", "status": "status"}, labels=_COUNTED
    ),
    "groups": list_columns(
        {
            "split": "key",
            "attribute": "attribute",
            "group": "group",
            "share": "number",
            "n": "count",
            "status": "status",
        },
        labels=_COUNTED,
    ),
    "recordings": COLUMNS,
    "conflicts": list_columns({"first": "key", "second": "key", "kind": "key", "n": "count", "status": "status"}),
}


@dataclass(frozen=True)
class _Distinct:
    """Which distinct units or items each split has: (D,) booleans by its name."""

    held: Mapping[str, np.ndarray]

    @property
    def total(self) -> int:
        """How many there are over all splits."""
        return next(iter(self.held.values())).size

    @property
    def in_two(self) -> int:
        """How many lie in more than one split."""
        return int(np.count_nonzero(np.sum(list(self.held.values()), axis=0) > 1))

    def count_shared(self, first: str, second: str) -> int:
        """How many lie in both of two splits."""
        return int(np.count_nonzero(self.held[first] & self.held[second]))


def _ids_of_rows(split: Split, kind: str) -> Texts | None:
    """Return (N,) what identifies the ``unit`` or the ``item`` of each row, or None when that is not known."""
    return split.units if kind == "unit" else split.digests


def _find_distinct(splits: Mapping[str, Split], kind: str) -> _Distinct | None:
    """Return the distinct units or items; None when a split does not know them."""
    import pandas as pd  # here, as plugins are imported to be listed

    if not _all_known(splits, kind):
        return None
    identifiers = {name: pd.Series(_ids_of_rows(split, kind)) for name, split in splits.items()}
    codes, names = pd.factorize(pd.concat(list(identifiers.values()), ignore_index=True))
    ends = np.cumsum([len(values) for values in identifiers.values()])[:-1]
    sizes = [np.bincount(codes_of_split, minlength=len(names)) for codes_of_split in np.split(codes, ends)]
    return _Distinct({name: size > 0 for name, size in zip(identifiers, sizes, strict=True)})


def _all_known(splits: Mapping[str, Split], kind: str) -> bool:
    return all(_ids_of_rows(split, kind) is not None for split in splits.values())


def _compare_splits(splits: Mapping[str, Split], kind: str) -> _Distinct | str:
    """Return the distinct units or items; or the reason why splits cannot be compared by them."""
    distinct = _find_distinct(splits, kind)
    if distinct is None:
        return _UNKNOWN[kind]
    if len(splits) < 2:
        return f"{', '.join(splits)} is the only split: whether the model was trained on the same is unknown"
    return distinct


_UNKNOWN = {
    "unit": "no unit column was declared (data.unit)",
    "item": "the items were not read, so they cannot be compared",
}


def _shared_units(splits: Mapping[str, Split], facts: ModelFacts) -> Finding:
    units = facts.name_units()
    definition = FindingDefinition(
        "dataset.shared_units",
        f"U{units[1:]} in two splits",
        f"Whether rows of one {facts.name_unit()}, such as one person, lie in two splits.",
        unit="units",
        better="lower",
    )
    distinct = _compare_splits(splits, "unit")
    if isinstance(distinct, str):
        return definition.state_not_measured(distinct)
    total, shared = distinct.total, distinct.in_two
    description = f"{shared} of {total} {units} have rows in more than one split."
    return _state_unwanted(definition, shared, total, description, "Results on test are then better than on new units.")


def _shared_items(splits: Mapping[str, Split]) -> Finding:
    definition = FindingDefinition(
        "dataset.shared_items",
        "Identical items in two splits",
        "Whether the same item lies in two splits.",
        unit="items",
        better="lower",
    )
    distinct = _compare_splits(splits, "item")
    if isinstance(distinct, str):
        return definition.state_not_measured(distinct)
    total, shared = distinct.total, distinct.in_two
    description = f"{shared} of {total} distinct items lie in more than one split, byte for byte the same."
    return _state_unwanted(definition, shared, total, description, "Results on test are then better than on new items.")


def _duplicate_items(splits: Mapping[str, Split]) -> Finding:
    definition = FindingDefinition(
        "dataset.duplicate_items",
        "Identical items within a split",
        "Whether an item occurs more than once within a split.",
        unit="examples",
        better="lower",
    )
    if not _all_known(splits, "item"):
        return definition.state_not_measured(_UNKNOWN["item"])
    surplus, total = sum(_count_surplus(split) for split in splits.values()), sum(map(len, splits.values()))
    description = f"{surplus} of {total} examples repeat, byte for byte, an item of their own split."
    return _state_unwanted(definition, surplus, total, description, "Copies in test make its intervals too narrow.")


def _count_surplus(split: Split) -> int:
    return len(split) - len(set(split.digests)) if split.digests is not None else 0


def _missing_groups(splits: Mapping[str, Split], attribute: str, withheld: Withheld) -> Finding:
    definition = FindingDefinition(
        f"dataset.missing_groups.{attribute}",
        f"Examples without {attribute}",
        f"How many examples have no value of {attribute}.",
        unit="examples",
    )
    if withheld.hides_groups_of(attribute):
        return definition.state_not_measured(withheld.reason)
    counts = {name: _count_groups(split, attribute) for name, split in splits.items() if attribute in split.groups}
    needed = {name: groups for name, groups in counts.items() if name == JUDGED_SPLIT or groups.keys() - {MISSING}}
    missing, n = (
        sum(group_counts.get(MISSING, 0) for group_counts in needed.values()),
        sum(sum(group_counts.values()) for group_counts in needed.values()),
    )
    where = "over all splits" if len(needed) == len(counts) else f"of {' and '.join(needed)}"
    description = f"{missing} of {n} examples, {where}, have no value of {attribute}."
    return _state_unwanted(definition, missing, n, description, "They are in no group.")


def _truncated_texts(audited: AuditedModel) -> Iterator[Finding]:
    """Give the count of texts that were cut, where the inputs are texts."""
    if audited.facts.modality != "text" or audited.inputs is None:
        return
    cut, n = sum(audited.inputs.truncated.values()), sum(map(len, audited.splits.values()))  # type: ignore[attr-defined]
    description = f"{cut} of {n} texts have more tokens than the model was given of them."
    part = "beginning" if audited.inputs.tokenizer.truncation_side == "left" else "end"  # type: ignore[attr-defined]
    consequence = f"Their {part} was not seen: model.max_length says how many tokens are left."
    definition = FindingDefinition(
        "dataset.truncated_texts", "Texts that were cut", description, unit="texts", better="lower"
    )
    yield _state_unwanted(definition, cut, n, description, consequence)


def _validation_examples(splits: Mapping[str, Split]) -> Iterator[Finding]:
    """Say what became of examples that are neither train nor test, where there are any."""
    if "validation" in splits:
        n, total = len(splits["validation"]), sum(map(len, splits.values()))
        definition = FindingDefinition(
            "dataset.validation",
            "Examples in validation",
            f"{n} of {total} examples are in validation: the model was not trained on them, and no result on test "
            "counts them. Only two choices look at them: when to stop (train.patience), and how to mitigate a gap.",
            unit="examples",
            headline=True,
        )
        yield definition.state_count(n, n=total)


def _finding_of_remark(remark: Remark, withheld: Withheld) -> Finding:
    """Return the finding of a remark; its sentence, which may list small counts, only where nothing is withheld."""
    counts_cases = remark.unit in CASE_UNITS
    definition = FindingDefinition(
        f"dataset.{remark.id}",
        remark.title,
        remark.description,
        unit=remark.unit,
        cases="counted" if counts_cases else "none",
    )
    if withheld.below and remark.counts_values:
        return definition.state_not_measured(withheld.reason)
    return definition.state_count(
        remark.value,
        n=remark.n,
        status=remark.status,
        description=f"There are {remark.value} {remark.unit} of this kind."
        if withheld.below and counts_cases
        else remark.description,
    )


def _smallest_class(train: Split | None, classes: tuple[str, ...], withheld: Withheld) -> Finding:
    if withheld.classes_of("train"):
        return SMALLEST_CLASS.state_not_measured(withheld.reason)
    if train is None:
        return SMALLEST_CLASS.state_not_measured("there is no split train")
    counts = np.bincount(train.labels, minlength=len(classes))
    smallest = int(counts.argmin())
    return SMALLEST_CLASS.state_count(
        int(counts[smallest]),
        n=len(train),
        status="warn" if counts[smallest] < SMALL_CLASS else "info",
        description=f"{classes[smallest]} is the rarest class: {counts[smallest]} of {len(train)} training examples.",
        about=About(classes="all"),
    )


def _state_unwanted(definition: FindingDefinition, value: int, n: int, description: str, consequence: str) -> Finding:
    """Return the finding of a count that should be 0; ``consequence`` is told when it is not."""
    if not value:
        return definition.state_count(0, n=n, description=description)
    return definition.state_count(value, n=n, status="warn", description=f"{description} {consequence}")


def _labels_table(splits: Mapping[str, Split], classes: tuple[str, ...], withheld: Withheld) -> Table:
    table: Table = []
    for name, split in splits.items() if classes else ():
        for label, n in zip(classes, np.bincount(split.labels, minlength=len(classes)).tolist(), strict=True):
            row: Row = {"split": name, "class": label, "n": int(n), "share": n / len(split) if len(split) else None}
            table.append(_show_row(row, label in withheld.classes_of(name), withheld))
    return table


def _is_small(count: Cell, withheld: Withheld) -> bool:
    return isinstance(count, int) and withheld.is_small(count)


def _show_row(row: Row, hidden: bool, withheld: Withheld) -> Row:
    """Return a row as it is shown: where something may be withheld, with a status, and without numbers if it is."""
    if not withheld.below:
        return row
    if not hidden:
        return {**row, "status": "ok"}
    return {**row, **{name: None for name in ("n", "share") if name in row}, "status": withheld.reason}


def _groups_table(splits: Mapping[str, Split], attributes: list[str], withheld: Withheld) -> Table:
    table: Table = []
    for attribute in attributes:
        counts = {name: _count_groups(split, attribute) for name, split in splits.items()}
        hidden = {*withheld.groups_of(attribute), MISSING} if withheld.hides_groups_of(attribute) else set()
        groups = sorted(hidden.union(*counts.values()), key=lambda group: (group == MISSING, group))
        for name, group_counts in counts.items():
            for group in groups:
                n, all_of_them = group_counts.get(group, 0), len(splits[name])
                share = n / all_of_them if all_of_them else None
                row: Row = {"split": name, "attribute": attribute, "group": group, "n": n, "share": share}
                table.append(_show_row(row, group in hidden, withheld))
    return table


def _count_groups(split: Split, attribute: str) -> dict[str, int]:
    """Return group -> examples of a split; those without a value are counted as ``MISSING``."""
    import pandas as pd

    if attribute not in split.groups:
        return {MISSING: len(split)} if len(split) else {}
    values = split.groups[attribute]
    named = values if isinstance(values, pd.Categorical) else pd.Categorical(values)
    counts = np.bincount(named.codes + 1, minlength=len(named.categories) + 1).tolist()
    return {str(name): n for name, n in zip([MISSING, *named.categories], counts, strict=True) if n}


def _shared_rows(splits: Mapping[str, Split], kind: str) -> Iterator[Row]:
    distinct = _find_distinct(splits, kind)
    if distinct is None:
        return
    for first, second in combinations(splits, 2):
        yield {"first": first, "second": second, "kind": kind, "n": distinct.count_shared(first, second)}


def _duplicate_rows(splits: Mapping[str, Split]) -> Iterator[Row]:
    for name, split in splits.items():
        if split.digests is not None:
            yield {"first": name, "second": name, "kind": "duplicate item", "n": _count_surplus(split)}


def _labels_figure() -> Figure:
    return bars_figure(
        id="dataset_labels",
        table="labels",
        x="class",
        y="n",
        series="split",
        y_label="examples",
        title="Classes",
        alt="The number of examples of each class in each split, as bars.",
    )


def _groups_figure(attribute: str) -> Figure:
    return bars_figure(
        id=f"dataset_groups_{attribute}",
        table="groups",
        x="group",
        y="n",
        series="split",
        where={"attribute": attribute},
        y_label="examples",
        title=f"Groups by {attribute}",
        alt=f"The number of examples of each group by {attribute} in each split, as bars.",
    )
