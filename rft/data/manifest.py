"""A manifest (one row an example) or a folder of class sub-folders -> splits.

Labels, groups, units and ids are strings, read as they stand: ``001``, ``NA`` and ``None`` are values. Only an empty
cell is missing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.extensions import ExtensionArray

from rft.config.item_files import FILE_KINDS, find_zip
from rft.config.schema import DataConfig
from rft.data.decoders import open_decoders
from rft.data.example_files import find_example_files
from rft.data.folders.class_folders import read_folder
from rft.data.folders.metadata import FILE_NAME, find_metadata_tables, read_metadata
from rft.data.items import select_items
from rft.data.modalities import MODALITIES, CheckedItem, join_measured
from rft.data.remarks import Remark, join_names, log_warnings
from rft.data.splits import SPLITS, assign_splits, describe_splits, drawn_test_share, empty_split_error, required_splits
from rft.data.tables.example_columns import FEWEST_ROWS, GROUP, read_examples
from rft.data.tables.listing import refuse_shards
from rft.data.tables.places import Places
from rft.data.tables.spelling import spelling_remarks
from rft.data.tables.table_file import TableFile
from rft.data.transcripts.speakers import require_speakers
from rft.errors import DataError, near
from rft.records import DataFacts, InputFile, Split, SplitFacts
from rft.runtime.progress import track_progress
from rft.runtime.remote.files import RemoteFile
from rft.runtime.remote.urls import Url

CHECKED_AT_ONCE = 4096  # items
CHECKED_BY_A_THREAD = 32  # items in turn: to hand over a small file takes as long as to check it
NO_LABELS = np.zeros(0, dtype=np.int64)  # transcripts have no classes


@dataclass(frozen=True)
class Dataset:
    """The splits of a run.

    Attributes:
        splits: ``train``, ``validation`` and ``test``, in this order; the second may be absent, and so may the first
            where the model was trained by others.
        classes: the class names, sorted; labels index them.
        skipped: rows left out because their item could not be read.
        inputs: the manifest, and every item that is a file.
        remarks: what was noticed when it was read.
        drawn_share: the share of test, where rft drew the split; None where the data declares it.
    """

    splits: dict[str, Split]
    classes: tuple[str, ...]
    skipped: int
    inputs: list[InputFile]
    remarks: Sequence[Remark] = ()
    drawn_share: float | None = None

    def facts(self) -> DataFacts:
        """Return the counts that the report states."""
        return DataFacts(
            splits={name: _split_facts(split, self.classes) for name, split in self.splits.items()},
            skipped=self.skipped,
        )


def read_dataset(config: DataConfig, folder: Path, seed: int, *, external: bool = False) -> Dataset:
    """Read the examples that ``[data]`` describes.

    Args:
        config: the ``[data]`` table.
        folder: what its paths are relative to.
        seed: keys the hash that assigns units to splits when ``test`` is a fraction.
        external: the model was trained by others. Test examples are enough then, and those of ``train`` are the ones
            that the user says it was trained on.

    Raises:
        DataError: for a missing file or column, an empty table, a label or unit that is absent, a class that only
            the test split has, one class only, or an item that cannot be read.
    """
    config = config.in_folder(folder)
    read = _read_folder if config.folder is not None else _read_manifest
    rows = read(config, folder, external)
    table = rows.table
    table["split"] = assign_splits(table, config, seed, rows.source, external)
    remarks = [*rows.remarks, *describe_splits(table, config, external), *_spelling_remarks(table, config)]
    # Checked, counted and told before anything is decoded: a cheap error should not wait for an expensive one.
    classes = check_labels(table, config, rows.source, external)
    log_warnings(remarks)
    table, noticed = _check_items(rows, config)
    skipped = len(rows.table) - len(table)
    if skipped:
        classes = check_labels(table, config, rows.source, external)
    log_warnings(noticed)
    splits = {
        name: _build_split(name, part, rows.items, classes, config)
        for name in SPLITS
        if len(part := table[table["split"] == name])
    }
    inputs = [*hash_files(rows.files, folder), *_item_files(table, rows.items, folder)]
    drawn_share = drawn_test_share(table, config, external)
    return Dataset(splits, classes, skipped, inputs, [*remarks, *noticed], drawn_share)


@dataclass(frozen=True)
class _ExampleRows:
    """Examples as they were found.

    Attributes:
        table: one row an example: ``row`` of its item, ``label`` or ``transcript``, ``id``, perhaps ``unit``,
            ``declared_split``, ``group_<attribute>``.
        items: images, texts or recordings.
        source: what messages call the manifest or folder.
        places: where rows stand in the files of a manifest.
        files: that say which examples there are; not those of items.
        remarks: what was noticed.
    """

    table: pd.DataFrame
    items: Sequence[Any]
    source: str
    places: Places | None
    files: Sequence[Path | TableFile]
    remarks: Sequence[Remark]


def hash_files(files: Iterable[Path | TableFile], folder: Path) -> Iterator[InputFile]:
    """Yield files with their hashes, named by their URL, or relative to a folder where they are in it."""
    for file in files:
        path, origin = (file.path, file.origin) if isinstance(file, TableFile) else (file, None)
        with path.open("rb") as stream:
            yield InputFile(relative_name(origin or path, folder), hashlib.file_digest(stream, "sha256").hexdigest())


def _item_files(table: pd.DataFrame, items: Sequence[Any], folder: Path) -> Iterator[InputFile]:
    """Yield the items that are files of their own."""
    for row, sha256 in zip(table["row"].tolist(), table["digest"], strict=True):
        if isinstance(item := items[row], Path | RemoteFile):
            yield InputFile(relative_name(item if isinstance(item, Path) else item.url, folder), sha256)


def relative_name(place: Path | Url, folder: Path) -> str:
    """Return a path as it was named relative to a folder, absolute where it was not; or the URL of an object store."""
    if isinstance(place, Url) and not place.is_local:
        return str(place)
    path = Path(place.path) if isinstance(place, Url) else place
    return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()


def _read_manifest(config: DataConfig, folder: Path, external: bool) -> _ExampleRows:
    files = find_example_files(config, folder)
    columns = {"label": config.label, "id": config.id, "unit": config.unit, "declared_split": config.split}
    columns["transcript"] = config.transcript
    columns |= {f"{GROUP}{name}": name for name in config.groups}
    wanted = {name: column for name, column in columns.items() if column is not None}
    modality = MODALITIES[config.modality]
    may_lack = modality.empty_is_unreadable
    required = [
        "label",
        "transcript",
        "unit",
        "id",
        "declared_split",
        *([] if may_lack and config.on_error == "skip" else ["item"]),
    ]
    item = config.item_column
    assert item is not None  # the config model guarantees that there are items
    sentences = [] if config.transcript is None else [config.transcript]
    examples = read_examples(files.tables, wanted, required, item=item, skipped=may_lack, sentences=sentences)
    table, places, cells = examples.table, examples.places, examples.cells
    assert cells is not None
    table["row"] = np.arange(len(table))
    if files.declare_splits:
        table["declared_split"] = places.split_of_rows()
    if "id" not in table:
        table["id"] = pd.Series([str(row) for row in range(len(table))], dtype="object")
    twice = table["id"].duplicated(keep=False)
    if twice.any():
        first = table.loc[twice, "id"].iloc[0]
        raise DataError(f"the id {first!r} stands in {places.name_rows(table['id'] == first)}", where=places.source)
    items = modality.list_items(cells, places, item)
    if modality.items_are_files:
        _check_one_owner(table, items, places.source)
    read: list[Path | TableFile] = [*files.tables, *files.beside]
    return _ExampleRows(table, items, places.source, places, read, [*files.remarks, *examples.remarks])


def _read_folder(config: DataConfig, folder: Path, external: bool) -> _ExampleRows:
    """Return one row an example of a folder: those that metadata tables name, or those in folders of classes."""
    assert config.folder is not None
    top = folder / config.folder
    refuse_shards(config.folder, folder)
    archive = find_zip(top)
    if archive is not None and config.metadata is not None:
        raise DataError("is a zip file, of which no metadata is read", where=config.folder, remedy="Unpack it.")
    if config.metadata is not None and not top.is_dir():
        raise DataError("no such folder", where=config.folder, remedy="Its path is relative to the config.")
    tables = find_metadata_tables(config, folder)
    if tables:
        table, remarks = read_metadata(config, top, tables, FILE_KINDS[config.modality])
    else:
        keys = ("image", "audio", "label", "transcript", "id", "unit", "groups", "split", "separator", "encoding")
        if idle := [f"data.{key}" for key in keys if getattr(config, key)]:
            raise DataError(
                f"holds no metadata table with a column {config.item_column or FILE_NAME!r}, so there is no use for "
                f"{join_names(idle)}",
                where=config.folder,
                remedy=f"Remove {join_names(idle)}; or name a table that names the files, with data.metadata, and its "
                f"column of file names, with data.{config.modality}.",
            )
        table, remarks = read_folder(config, folder, required_splits(external))
    items = list(table.pop("item"))
    table["row"] = np.arange(len(table))
    files = [archive[0]] if archive is not None else tables
    return _ExampleRows(table, items, config.folder, None, files, remarks)


def _spelling_remarks(table: pd.DataFrame, config: DataConfig) -> Iterator[Remark]:
    groups = {name: pd.Categorical(table[f"{GROUP}{name}"]) for name in config.groups}
    units = pd.Categorical(table["unit"]) if "unit" in table else None
    labels = pd.Categorical(table["label"]) if "label" in table else None
    return spelling_remarks(labels, groups, units)


def _check_one_owner(table: pd.DataFrame, items: Sequence[Any], source: str) -> None:
    """Raise ``DataError`` when one file is given to two units: what bounds the one would not bound the other."""
    if "unit" not in table:
        return
    # Those within the table are of one row each.
    names = [item if isinstance(item, Path | RemoteFile) else None for item in items]
    files = table.assign(item=pd.Series(names, dtype=object)).dropna(subset=["item"])
    units_of_item = files.groupby("item", sort=False)["unit"].unique()
    shared = units_of_item[units_of_item.str.len() > 1]
    if len(shared):
        first, second = shared.iloc[0][:2]
        raise DataError(
            f"{shared.index[0].name} is of two units, {first!r} and {second!r}",
            where=source,
            remedy="Give each file to one unit; name those who belong together as one, or leave the file out.",
        )


def check_labels(table: pd.DataFrame, config: DataConfig, source: str, external: bool) -> tuple[str, ...]:
    """Return the classes; raise when the labels cannot be learned or judged. Training must know all of them.

    Transcripts have none.
    """
    for name in ("train", "test"):
        if name in required_splits(external) and not (table["split"] == name).any():
            n_units = table["unit"].nunique() if "unit" in table else None
            raise empty_split_error(name, table["split"], source, column=config.split, n_units=n_units)
    if config.transcript is not None:
        require_speakers(table.loc[table["split"] == "test", "unit"], str(config.unit), source, "test")
        return ()
    if config.classes is not None:
        return _check_declared(table, config, source)
    known = table["label"] if external else table.loc[table["split"] == "train", "label"]
    classes = tuple(sorted(known.unique()))
    n_labels = table["label"].nunique()
    if n_labels > max(100, len(table) // 2) or n_labels == len(table) >= FEWEST_ROWS:
        raise DataError(
            f"{n_labels:,} different labels in {len(table):,} rows look like numbers to regress on, or names",
            where=_label_place(config, source),
            remedy="Regression and multi-label data are not supported: one class name a row is expected.",
        )
    unseen = sorted(set(table["label"].unique()) - set(classes))
    if unseen:
        n_unseen = int((table["label"] == unseen[0]).sum())
        others = "1 other example has" if n_unseen == 1 else f"{n_unseen:,} other examples have"
        more = f", as are {len(unseen) - 1} of the other labels" * (len(unseen) > 1)
        raise DataError(
            f"the label {unseen[0]!r} is in no training example{more}: {others} it, and the {len(known):,} for "
            f"training have {join_names([repr(name) for name in classes[:5]])}",
            where=_label_place(config, source),
            remedy=near(unseen[0], list(classes))
            or "Each class needs training examples: mend the split, or remove these rows.",
        )
    if len(classes) < 2:
        who = "the data" if external else "training"
        raise DataError(
            f"{who} has one class only, {classes[0]!r}, in {len(known):,} examples; at least two are needed",
            where=_label_place(config, source),
            remedy="Where another class has no example here, name all of them in data.classes."
            if external
            else "Name the column of the labels in data.label, or mend the split: each class needs training examples.",
        )
    _check_positive(config, classes, source)
    return classes


def _label_place(config: DataConfig, source: str) -> str:
    return source if config.label is None else f"{source}, column {config.label!r}"


def _check_declared(table: pd.DataFrame, config: DataConfig, source: str) -> tuple[str, ...]:
    """Return the classes that the config declares, whether or not each has an example; raise for any other label."""
    assert config.classes is not None
    classes = tuple(config.classes)
    for label in sorted(set(table["label"].unique()) - set(classes)):
        rows = int((table["label"] == label).sum())
        raise DataError(
            f"the label {label!r} is none of data.classes ({rows:,} row{'s' * (rows != 1)})",
            where=_label_place(config, source),
            remedy=near(label, list(classes))
            or "Correct or remove these rows; add it to data.classes only if it belongs to the task whoever is in the "
            "data, since the classes are published with the model.",
        )
    _check_positive(config, classes, source)
    return classes


def _check_positive(config: DataConfig, classes: tuple[str, ...], source: str) -> None:
    if config.positive is not None and config.positive not in classes:
        raise DataError(
            f"data.positive is {config.positive!r}, which is no label",
            where=source,
            remedy=near(config.positive, list(classes)) or f"The labels are {', '.join(classes[:10])}.",
        )


def _check_items(rows: _ExampleRows, config: DataConfig) -> tuple[pd.DataFrame, list[Remark]]:
    """Add the hash of each item; leave out items that cannot be read if the config says so, with remarks."""
    skip, modality = config.on_error == "skip", MODALITIES[config.modality]
    outcomes: list[CheckedItem | DataError] = []
    with modality.open_check(config) as check_item:

        def attempt_check(row: int) -> CheckedItem | DataError:
            try:
                return check_item(rows.items[row])
            except DataError as error:
                return error

        checks = _check_in_threads(attempt_check, rows.table["row"].tolist())
        for row, checked_item in enumerate(track_progress(checks, "Reading", total=len(rows.table))):
            outcomes.append(
                _add_place(checked_item, row, rows.places) if isinstance(checked_item, DataError) else checked_item
            )
            if isinstance(outcomes[-1], DataError) and not skip:
                raise outcomes[-1]
    checked = rows.table.assign(checked=pd.Series(outcomes, index=rows.table.index, dtype=object))
    errors = [outcome for outcome in outcomes if isinstance(outcome, DataError)]
    lost = checked["checked"].map(lambda outcome: isinstance(outcome, DataError)).astype(bool)
    kept = checked[~lost].reset_index(drop=True)
    kept["digest"] = pd.Series([item.digest for item in kept["checked"]], dtype=object)
    noticed = modality.describe_items(kept["checked"].tolist())
    return kept, [*(_unreadable_remarks(checked[lost], kept, errors) if errors else []), *noticed]


def _check_in_threads(
    check_item: Callable[[int], CheckedItem | DataError], rows: Sequence[int]
) -> Iterator[CheckedItem | DataError]:
    """Yield what a check gives for each of some rows, in order; few are under way, since each holds its item."""

    def check_chunk(start: int) -> list[CheckedItem | DataError]:
        return [check_item(row) for row in rows[start : start + CHECKED_BY_A_THREAD]]

    with open_decoders() as pool:
        for start in range(0, len(rows), CHECKED_AT_ONCE):
            chunks = range(start, min(start + CHECKED_AT_ONCE, len(rows)), CHECKED_BY_A_THREAD)
            yield from chain.from_iterable(pool.map(check_chunk, chunks))


def _add_place(error: DataError, row: int, places: Places | None) -> DataError:
    """Return the error of an item with the place of its row, unless the item has a name."""
    if error.where or places is None:
        return error
    return DataError(error.what, where=places.locate_row(row), remedy=error.remedy)


def _unreadable_remarks(lost: pd.DataFrame, kept: pd.DataFrame, errors: Sequence[DataError]) -> Iterator[Remark]:
    """Yield how many examples were left out, and which classes were left out with them."""
    labelled = "label" in lost
    by_class = [f"{n} of {label}" for label, n in lost["label"].value_counts().items()] if labelled else []
    total = len(lost) + len(kept)
    yield Remark(
        id="unreadable_items",
        title="Examples left out because they cannot be read",
        value=len(lost),
        unit="examples",
        n=total,
        description=f"{len(lost)} of {total} examples were left out because their item cannot be read"
        f"{f': {join_names(by_class)}' if labelled else ''}.",
        names=[f"{error.where}: {error.what}" for error in errors],
    )
    gone = sorted(set(lost["label"]) - set(kept["label"])) if labelled else []
    if gone:
        yield Remark(
            id="lost_classes",
            title="Classes of which no example can be read",
            value=len(gone),
            unit="classes",
            n=len(gone) + kept["label"].nunique(),
            description=f"No example of {join_names(gone)} can be read: all were left out.",
        )


def _build_split(
    name: str, part: pd.DataFrame, items: Sequence[Any], classes: tuple[str, ...], config: DataConfig
) -> Split:
    index = {label: number for number, label in enumerate(classes)}
    split = Split(
        name=name,
        ids=part["id"].to_numpy(object),
        items=select_items(items, part["row"].to_numpy()),
        labels=part["label"].map(index).to_numpy(np.int64, copy=True) if "label" in part else NO_LABELS,
        groups={attribute: part[f"group_{attribute}"].to_numpy(object) for attribute in config.groups},
        digests=part["digest"].to_numpy(object),
        recordings=join_measured(part["checked"].tolist()),
        transcripts=part["transcript"].to_numpy(object) if "transcript" in part else None,
    )
    return replace(split, units=part["unit"].to_numpy(object)) if "unit" in part else split


def _split_facts(split: Split, classes: tuple[str, ...]) -> SplitFacts:
    counts = np.bincount(split.labels, minlength=len(classes)).tolist() if classes else []
    labels: dict[str, int | None] = dict(zip(classes, counts, strict=True))
    groups: dict[str, dict[str, int | None]] = {
        attribute: dict(sorted(_count_values(values).items())) for attribute, values in split.groups.items()
    }
    n_units = None if split.units is None else len(pd.unique(split.units))
    return SplitFacts(n=len(split), n_units=n_units, labels=labels, groups=groups)


def _count_values(values: np.ndarray | ExtensionArray) -> dict[str, int]:
    """Return how often each of (N,) values occurs; a missing one is ``""``."""
    named = values if isinstance(values, pd.Categorical) else pd.Categorical(values)
    counts = np.bincount(named.codes + 1, minlength=len(named.categories) + 1).tolist()
    return {str(name): n for name, n in zip(["", *named.categories], counts, strict=True) if n}
