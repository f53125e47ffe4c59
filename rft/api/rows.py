"""The rows that a model is audited on, as a caller has them: arrays and labels, or a Dataset; with groups and units."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from rft.data.tables.columnar import read_columns
from rft.data.tables.in_memory import TableInMemory, list_columns, to_arrow
from rft.data.tables.table_file import ColumnRequest
from rft.errors import DataError

SPLITS = ("train", "test")
LABELS = ("label", "labels")  # keys of a Dataset's items, where the caller names none
EXPECTED = "(X, y), arrays of as many rows, or a Dataset of (input, label)"


@dataclass(frozen=True)
class RowColumns:
    """What the caller says of each row beside its label.

    Attributes:
        groups: names of columns, or a table of them; or either by split, ``{"train": ..., "test": ...}``. A table
            alone is of the test rows.
        unit: the name of a column, or (N,) values, or these by split.
        label: the key of the label in items of a Dataset that are mappings; None: ``label`` or ``labels``.
    """

    groups: Any
    unit: Any
    label: str | None

    def group_names(self) -> list[str]:
        """Return the names of the groups; raises ``DataError`` where there are none to be read."""
        if self.groups is None:
            return []
        tables = self.groups.values() if _is_by_split(self.groups) else [self.groups]
        return list(dict.fromkeys(name for table in tables for name in _names_of(table)))

    def unit_name(self) -> str | None:
        """Return what the column of units is called; None without units."""
        return None if self.unit is None else self.unit if isinstance(self.unit, str) else "unit"

    def named_keys(self) -> list[str]:
        """Return the columns that are read from the rows themselves."""
        keys = [] if self.groups is None or _is_table(self.groups) else _names_of(self.groups)
        return [*keys, *([self.unit] if isinstance(self.unit, str) else [])]

    def groups_of(self, split: str, column: Callable[[str], Any]) -> dict[str, object]:
        """Return group -> (N,) values of a split, given what returns a column of its rows by name."""
        if self.groups is None:
            return {}
        if not _is_table(self.groups):
            return {name: column(name) for name in _names_of(self.groups)}
        if _is_by_split(self.groups):
            table = self.groups.get(split)
            return {} if table is None else dict(list_columns(table, "groups"))
        return dict(list_columns(self.groups, "groups")) if split == "test" else {}

    def units_of(self, split: str, column: Callable[[str], Any]) -> Any:
        """Return (N,) whose each row of a split is; None without units."""
        if self.unit is None or isinstance(self.unit, str):
            return None if self.unit is None else column(self.unit)
        values = self.unit.get(split) if _is_by_split(self.unit) else self.unit if split == "test" else None
        if values is None:
            raise DataError(
                f"says nothing of the {split} rows", where="unit", remedy='Give {"train": ..., "test": ...}.'
            )
        return values


@dataclass(frozen=True)
class LabelledRows:
    """N rows of one split, with texts as the reader of tables reads them.

    Attributes:
        name: ``train`` or ``test``.
        inputs: what the model takes: N rows of an array, table, list or ``DatasetInputs``.
        labels: (N,) texts.
        groups: name -> (N,) texts, None where missing.
        units: (N,) texts, or None.
    """

    name: str
    inputs: Any
    labels: np.ndarray
    groups: Mapping[str, np.ndarray]
    units: np.ndarray | None

    def __len__(self) -> int:
        return len(self.labels)


class DatasetInputs(Sequence[Any]):
    """The inputs of a Dataset, read when they are asked for.

    Args:
        dataset: gives (input, label), or mappings, by number.
        hidden: keys of mappings that are no inputs.
    """

    def __init__(self, dataset: Any, hidden: Sequence[str]) -> None:
        self.dataset, self.hidden = dataset, frozenset(hidden)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, row: Any) -> Any:
        """Return the input of a row; of a mapping without the hidden keys."""
        return self.take_input(self.dataset[int(row)])

    def take_input(self, item: Any) -> Any:
        """Return the input in an item."""
        if isinstance(item, Mapping):
            return {key: value for key, value in item.items() if key not in self.hidden}
        return item[0]


def read_rows(
    examples: Any, split: str, columns: RowColumns, observe: Callable[[Any], None] | None = None
) -> LabelledRows:
    """Return the rows of a split.

    Args:
        examples: ``(X, y)``, or a Dataset.
        split: ``train`` or ``test``.
        columns: groups, unit and label.
        observe: called with the input of each row, in order; None: a table of inputs is not gone through.

    Raises:
        DataError: they are neither, lengths differ, a column is not there, or a label or a unit is missing.
    """
    inputs, labels, column = _take_apart(examples, split, columns, observe)
    n = len(labels)
    values = {"label": to_labels(labels)}
    if (units := columns.units_of(split, column)) is not None:
        values["unit"] = units
    values |= {f"group_{name}": content for name, content in columns.groups_of(split, column).items()}
    arrays = {name: to_arrow(content, name, split) for name, content in values.items()}
    for name, array in arrays.items():
        if len(array) != n:
            raise DataError(f"column {name!r} has {len(array):,} values for {n:,} rows", where=split)
    held = read_columns(
        [TableInMemory.from_columns(split, pa.table(arrays), list(arrays))], ColumnRequest(list(arrays))
    )
    for name in ("label", "unit"):
        if name in held.texts and (held.texts[name].codes < 0).any():
            rows = held.places.name_rows(held.texts[name].codes < 0)
            raise DataError(f"the {name} is missing in {rows}", where=split, remedy="Mend or remove such rows.")
    texts = {name: _to_texts(column_read) for name, column_read in held.texts.items()}
    nobody = np.full(n, None, dtype=object)
    groups = {name: texts.get(f"group_{name}", nobody) for name in columns.group_names()}
    return LabelledRows(split, inputs, texts["label"], groups, texts.get("unit"))


def to_labels(labels: Any) -> Any:
    """Return (N,) labels with whole decimal numbers as whole ones, and (N, 1) as (N,): as binary losses take them."""
    if hasattr(labels, "detach"):
        labels = labels.detach().cpu().numpy()
    elif isinstance(labels, list):
        labels = [_plain_value(label) for label in labels]
        labels = np.array(labels) if labels and all(isinstance(label, float) for label in labels) else labels
    if isinstance(labels, np.ndarray) and labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if getattr(getattr(labels, "dtype", None), "kind", "") == "f":
        numbers = np.asarray(labels)
        if np.isfinite(numbers).all() and (numbers == np.rint(numbers)).all():
            return numbers.astype(np.int64)
    return labels


def name_labels(labels: np.ndarray, classes: Sequence[str], split: str) -> np.ndarray:
    """Return (N,) labels as names of classes: they are names, or all of them numbers of outputs from 0 on.

    Raises:
        DataError: one is neither.
    """
    known, number_of = set(labels), {str(number): number for number in range(len(classes))}
    if len(classes) == 2:
        number_of |= {"False": 0, "True": 1}
    if known <= set(classes):
        return labels
    if known <= set(number_of):
        return np.array([classes[number_of[label]] for label in labels], dtype=object)
    first = min(known - set(classes))
    raise DataError(
        f"the label {first!r} is none of the classes {', '.join(map(repr, classes[:10]))}",
        where=split,
        remedy="Name in classes what each output stands for; labels are these names, or their numbers from 0 on.",
    )


def first_input(examples: Any, split: str, columns: RowColumns) -> Any:
    """Return the input of the first row; raises ``DataError`` where there is none."""
    if isinstance(examples, tuple):
        inputs, _ = _split_pair(examples, split)
        return pick_row(inputs, 0)
    _require_dataset(examples, split)
    label = _label_key(examples[0], columns.label, split)
    return DatasetInputs(examples, [*([label] if label else []), *columns.named_keys()])[0]


def _split_pair(examples: tuple[Any, ...], split: str) -> tuple[Any, Any]:
    """Return X and y; raises ``DataError`` unless they are as long as each other, and not empty."""
    if len(examples) != 2:
        raise DataError(f"holds {len(examples)} things; expected {EXPECTED}", where=split)
    inputs, labels = examples
    n, m = count_rows(inputs), count_rows(labels)
    if n != m:
        raise DataError(f"has {n:,} rows and {m:,} labels", where=split)
    if n == 0:
        raise DataError("holds no rows", where=split)
    return inputs, labels


def _take_apart(
    examples: Any, split: str, columns: RowColumns, observe: Callable[[Any], None] | None
) -> tuple[Any, Any, Callable[[str], Any]]:
    """Return the inputs, the labels, and what returns a named column, of (X, y) or a Dataset."""
    if isinstance(examples, tuple):
        inputs, labels = _split_pair(examples, split)
        if observe:
            for row in range(count_rows(inputs)):
                observe(pick_row(inputs, row))
        return inputs, labels, lambda name: _column_of(inputs, name, split)
    _require_dataset(examples, split)
    return _read_dataset(examples, split, columns, observe)


def _read_dataset(
    dataset: Any, split: str, columns: RowColumns, observe: Callable[[Any], None] | None
) -> tuple[DatasetInputs, list[Any], Callable[[str], Any]]:
    """Read each item of a Dataset once, for its label and what stands beside it."""
    label, keys = _label_key(dataset[0], columns.label, split), columns.named_keys()
    inputs = DatasetInputs(dataset, [*([label] if label else []), *keys])
    labels: list[Any] = []
    read: dict[str, list[Any]] = {key: [] for key in keys}
    for row in range(len(dataset)):
        item = dataset[row]
        labels.append(item[label] if label else item[1])
        for key in keys:
            read[key].append(_plain_value(_value_of(item, key, split)))
        if observe:
            observe(inputs.take_input(item))
    return inputs, labels, lambda name: read[name]


def _label_key(item: Any, said: str | None, split: str) -> str | None:
    """Return the key of the label in items that are mappings; None for (input, label)."""
    if isinstance(item, Mapping):
        key = said or next((key for key in LABELS if key in item), None)
        if key is None or key not in item:
            raise DataError(
                f"its items have no key {said or 'label'!r}",
                where=split,
                remedy=f"They have {', '.join(map(str, item))}.",
            )
        return key
    if not isinstance(item, (tuple, list)) or len(item) != 2:
        raise DataError(f"its items are {type(item).__name__}; expected (input, label) or a mapping", where=split)
    return None


def _value_of(item: Any, key: str, split: str) -> Any:
    if not isinstance(item, Mapping) or key not in item:
        raise DataError(f"its items have no key {key!r}", where=split, remedy="Give groups and unit as arrays.")
    return item[key]


def _plain_value(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _require_dataset(examples: Any, split: str) -> None:
    """Raise ``DataError`` unless rows can be read by number."""
    if hasattr(examples, "dataset") and hasattr(examples, "batch_size"):
        raise DataError("is a DataLoader", where=split, remedy="Give its dataset: rft makes batches itself.")
    is_table = isinstance(examples, (pd.DataFrame, np.ndarray, Mapping, str)) or hasattr(examples, "detach")
    if is_table or not (hasattr(examples, "__len__") and hasattr(examples, "__getitem__")):
        raise DataError(f"is {type(examples).__name__}; expected {EXPECTED}", where=split)
    if len(examples) == 0:
        raise DataError("holds no rows", where=split)


def count_rows(inputs: Any) -> int:
    """Return how many rows inputs have, those of sparse matrices too."""
    shape = getattr(inputs, "shape", None)
    return int(shape[0]) if shape is not None and len(shape) else len(inputs)


def pick_row(inputs: Any, row: int) -> Any:
    """Return a row of inputs."""
    return inputs.iloc[row] if hasattr(inputs, "iloc") else inputs[row]


def _column_of(inputs: Any, name: str, split: str) -> Any:
    """Return a column of a table of inputs; raises ``DataError`` where there is none."""
    if not _is_table(inputs):
        raise DataError(
            f"is no table, so {name!r} names no column of it", where=split, remedy="Give groups and unit as arrays."
        )
    columns = dict(list_columns(inputs, split))
    if name not in columns:
        raise DataError(f"has no column {name!r}", where=split, remedy=f"Its columns are {', '.join(columns)}.")
    return columns[name]


def _is_table(values: Any) -> bool:
    return isinstance(values, (pd.DataFrame, Mapping)) or hasattr(values, "__arrow_c_stream__")


def _is_by_split(values: Any) -> bool:
    return isinstance(values, Mapping) and bool(values) and set(values) <= set(SPLITS)


def _names_of(table: Any) -> list[str]:
    if isinstance(table, str):
        return [table]
    if _is_table(table):
        return [name for name, _ in list_columns(table, "groups")]
    if isinstance(table, Sequence) and all(isinstance(name, str) for name in table):
        return list(table)
    raise DataError(f"is {type(table).__name__}; expected names of columns, or a table of them", where="groups")


def _to_texts(column: pd.Categorical) -> np.ndarray:
    """Return (N,) texts, None where missing."""
    names = np.array([*column.categories, None], dtype=object)  # the code of a missing one is -1, the last
    texts: np.ndarray = names[column.codes]
    return texts
