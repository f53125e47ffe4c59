"""A table of predictions alone, of a model that is not available: who was predicted what, with which probability.

Texts are read as they stand and an empty cell is missing, as in a manifest. What is no probability, no class or not
there is refused, or with ``data.on_error = "skip"`` left out where it is not there, and counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pandas.api.extensions import ExtensionArray

from rft.config.schema import Config, DataConfig, PredictionsConfig
from rft.data.manifest import Dataset, check_labels
from rft.data.prediction_rows import (
    PACKED_TEXT,
    check_ids,
    identify_sources,
    keep_complete_rows,
    number_rows,
    pack_texts,
    read_splits,
)
from rft.data.remarks import Remark, log_warnings
from rft.data.splits import SPLITS, split_names_remark
from rft.data.tables.columnar import Columns, column_names, from_codes, read_columns
from rft.data.tables.example_columns import check_levels, check_units
from rft.data.tables.in_memory import TableInMemory
from rft.data.tables.listing import find_table_files
from rft.data.tables.places import Places
from rft.data.tables.spelling import spelling_remarks
from rft.data.tables.table_file import ColumnRequest, TableFile, TextLayout
from rft.errors import DataError, near
from rft.records import Split

ROUNDING = 1e-6  # by which a probability may leave [0, 1], as one of 32 bits does
SUM_TO_ONE = 1e-3  # by which probabilities of a row may miss 1, as those with three decimals do


@dataclass(frozen=True)
class _Layout:
    """Which column of the file holds what; ``groups`` and ``scores`` by attribute and class."""

    label: str
    prediction: str | None
    score: str | None
    scores: Mapping[str, str]
    groups: Mapping[str, str]
    unit: str | None
    split: str | None
    id: str | None

    @classmethod
    def from_config(cls, core: Config, named: PredictionsConfig, file: TableFile) -> _Layout:
        data = core.data
        if named.layout == "rft":
            scores = {name.removeprefix("score_"): name for name in column_names(file) if name.startswith("score_")}
            groups = {name: f"group_{name}" for name in data.groups}
            return cls("label", "prediction", None, scores, groups, "unit", "split", "id")
        assert data.label is not None  # the config model guarantees it
        groups = {name: name for name in data.groups}
        scores = named.scores or {}
        return cls(data.label, named.prediction, named.score, scores, groups, data.unit, data.split, data.id)

    @property
    def texts(self) -> list[str]:
        named = (self.label, self.prediction, self.unit, self.split, self.id, *self.groups.values())
        return [column for column in named if column is not None]

    @property
    def numbers(self) -> list[str]:
        return [*self.scores.values(), *([self.score] if self.score else [])]


def read_predictions(core: Config, folder: Path, table: TableInMemory | None = None) -> tuple[Dataset, pd.DataFrame]:
    """Read the table that ``[predictions]`` and ``[data]`` describe.

    Args:
        core: a config with ``[predictions]``.
        folder: what its paths are relative to.
        table: read in the place of ``predictions.file``, where the caller holds it in memory.

    Returns:
        The splits, whose examples have no items, and the table of predictions as in ``rft.plugins.AuditedModel``, with
        texts that repeat held as categories.

    Raises:
        DataError: for a missing file or column, missing cells (unless they are to be skipped), a label or prediction
            that is no class, scores that are no probabilities, an id that stands twice, or too many groups.
    """
    assert core.predictions is not None
    text_layout = TextLayout(core.data.separator, core.data.encoding)
    files = [table] if table is not None else find_table_files(core.predictions.file, folder, None, text_layout)
    layout = _Layout.from_config(core, core.predictions, files[0])
    held = read_columns(files, ColumnRequest(list(dict.fromkeys(layout.texts)), list(dict.fromkeys(layout.numbers))))
    sources = list(identify_sources(files, held, folder))
    if core.predictions.layout == "rft" and held.texts["unit"].categories.empty:
        layout = replace(layout, unit=None)  # none was declared
    for attribute, column in layout.groups.items():
        check_levels(attribute, held.texts[column], held.places.source)
    if layout.unit is not None:
        check_units(layout.unit, held.texts[layout.unit], held.places.source)
    held, skipped = _complete_rows(held, layout, skip=core.data.on_error == "skip")
    check_ids(held.texts.get(layout.id or ""), held.places)
    split = read_splits(held, layout.split)
    classes = _find_classes(held, layout, split, core.data)
    scores = _class_scores(held, layout, classes, core.data.positive)
    label = _restrict_to(held.texts[layout.label], classes, "label", held.places)
    prediction = _read_decisions(held, layout, classes, scores, core)
    rows = _Rows(
        split=split,
        id=pack_texts(held.texts[layout.id]) if layout.id else number_rows(len(split)),
        unit=pack_texts(held.texts[layout.unit]) if layout.unit else None,
        label=label,
        prediction=prediction,
        scores=scores,
        groups={attribute: held.texts[column] for attribute, column in layout.groups.items()},
    )
    remarks = [*held.remarks, *_split_remarks(held, layout), *_spelling_remarks(held, layout)]
    log_warnings(remarks)
    return Dataset(rows.splits(), classes, skipped, sources, remarks), rows.to_frame()


@dataclass(frozen=True)
class _Rows:
    """The complete rows, (N,) each; ``label`` and ``prediction`` have the classes as their categories, in order."""

    split: pd.Categorical
    id: ExtensionArray
    unit: ExtensionArray | None
    label: pd.Categorical
    prediction: pd.Categorical
    scores: Mapping[str, np.ndarray]
    groups: Mapping[str, pd.Categorical]

    def splits(self) -> dict[str, Split]:
        """Return the splits that have rows, in the usual order."""
        masks = {name: np.asarray(self.split == name) for name in SPLITS}
        return {name: self._build_split(name, mask) for name, mask in masks.items() if mask.any()}

    def _build_split(self, name: str, mask: np.ndarray) -> Split:
        return Split(
            name=name,
            ids=self.id[mask],
            items=(),
            labels=self.label.codes[mask].astype(np.int64),
            groups={attribute: values[mask] for attribute, values in self.groups.items()},
            units=None if self.unit is None else self.unit[mask],
        )

    def to_frame(self) -> pd.DataFrame:
        """Return the table of predictions, one row an example; it shares memory with these rows."""
        nobody = pd.Series(pa.nulls(len(self.label), pa.string()), dtype=PACKED_TEXT).array
        columns: dict[str, Any] = {
            "split": self.split,
            "id": self.id,
            "unit": nobody if self.unit is None else self.unit,
            "label": self.label,
            "prediction": self.prediction,
        }
        columns |= {f"score_{name}": values for name, values in self.scores.items()}
        columns |= {f"group_{attribute}": values for attribute, values in self.groups.items()}
        return pd.DataFrame(columns, copy=False)


def _complete_rows(held: Columns, layout: _Layout, *, skip: bool) -> tuple[Columns, int]:
    """Return the columns without the rows that lack what they need, and how many these are; groups may be missing."""
    needed = (layout.label, layout.prediction, layout.split, layout.id, layout.unit)
    return keep_complete_rows(held, [name for name in needed if name is not None], skip=skip)


def _split_remarks(held: Columns, layout: _Layout) -> list[Remark]:
    return split_names_remark(held.texts[layout.split].categories) if layout.split else []


def _spelling_remarks(held: Columns, layout: _Layout) -> Iterator[Remark]:
    groups = {attribute: held.texts[column] for attribute, column in layout.groups.items()}
    return spelling_remarks(held.texts[layout.label], groups, held.texts[layout.unit] if layout.unit else None)


def _restrict_to(values: pd.Categorical, allowed: Sequence[str], kind: str, places: Places) -> pd.Categorical:
    """Return values with ``allowed`` as their categories; raise ``DataError`` for any other value."""
    restricted = values.set_categories(list(allowed))
    outside = restricted.codes < 0
    if outside.any():
        first = str(values[int(outside.argmax())])
        remedy = near(first, list(allowed)) or f"Expected {', '.join(allowed[:20])}."
        raise DataError(
            f"the {kind} {first!r} in {places.name_rows(outside)} is none of those expected",
            where=places.source,
            remedy=remedy,
        )
    return restricted


def _find_classes(held: Columns, layout: _Layout, split: pd.Categorical, data: DataConfig) -> tuple[str, ...]:
    """Return the classes: those that the config declares, those with scores, or the labels that occur."""
    source = held.places.source
    if layout.scores and data.classes is not None and set(data.classes) != set(layout.scores):
        scored = ", ".join(layout.scores)
        raise DataError(f"data.classes are {', '.join(data.classes)}, but there are scores of {scored}", where=source)
    declared = data.classes or sorted(layout.scores) or None
    labels = pd.DataFrame({"label": held.texts[layout.label], "split": split}, copy=False)
    classes = check_labels(labels, data.model_copy(update={"classes": declared}), source, external=True)
    if layout.score is not None and len(classes) != 2:
        raise DataError(
            f"there are {len(classes)} classes, {', '.join(classes[:10])}; predictions.score is for two",
            where=source,
            remedy="Give predictions.scores a column for each class.",
        )
    return classes


def _class_scores(
    held: Columns, layout: _Layout, classes: Sequence[str], positive: str | None
) -> dict[str, np.ndarray]:
    """Return class -> (N,) its probability; empty where only decisions are known."""
    for name, values in held.numbers.items():
        _check_probabilities(name, values, held.places)
    numbers = {name: np.clip(values, 0.0, 1.0) for name, values in held.numbers.items()}
    if layout.score is not None:
        favourable = numbers[layout.score]
        return {name: favourable if name == positive else 1 - favourable for name in classes}
    scores = {name: numbers[layout.scores[name]] for name in classes if layout.scores}
    if scores:
        off = np.abs(sum(scores.values()) - 1) > SUM_TO_ONE
        if off.any():
            first = int(off.argmax())
            total = float(sum(values[first] for values in scores.values()))
            raise DataError(
                f"the scores of {held.places.name_rows(off)} do not sum to 1: {total:.4g} in "
                f"{held.places.name_row(first)}",
                where=held.places.source,
                remedy="Give the probability of each class; they may miss 1 by their rounding, 0.001 at most.",
            )
    return scores


def _check_probabilities(column: str, values: np.ndarray, places: Places) -> None:
    outside = ~((values >= -ROUNDING) & (values <= 1 + ROUNDING))
    if outside.any():
        first = values[int(outside.argmax())]
        raise DataError(
            f"column {column!r} holds {first:g} in {places.name_rows(outside)}: no probability, which lies in [0, 1]",
            where=places.source,
            remedy="If these are logits, write their softmax (or sigmoid) into the table.",
        )


def _read_decisions(
    held: Columns, layout: _Layout, classes: Sequence[str], scores: Mapping[str, np.ndarray], core: Config
) -> pd.Categorical:
    """Return (N,) what was predicted: as given, by the threshold, or the class with the highest probability."""
    assert core.predictions is not None
    if layout.prediction is not None:
        return _restrict_to(held.texts[layout.prediction], classes, "prediction", held.places)
    if layout.score is not None:
        positive = classes.index(core.data.positive or "")
        favoured = scores[classes[positive]] >= core.predictions.threshold
        return from_codes(np.where(favoured, positive, 1 - positive), classes)
    best, highest = np.zeros(len(scores[classes[0]]), np.int32), scores[classes[0]].copy()
    for index, name in enumerate(classes[1:], 1):
        higher = scores[name] > highest
        best[higher], highest[higher] = index, scores[name][higher]
    return from_codes(best, classes)
