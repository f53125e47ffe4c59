"""A folder with a table about its files: who is in them; "imagefolder" and "audiofolder" with metadata of Hugging Face.

A table names in one column the image or recording of each row, and in others its label or transcript, groups and unit.
It is the one that ``data.metadata`` names, of any kind, or those called ``metadata`` in the folder (``.csv``,
``.jsonl``, ``.parquet``), which have the names in ``file_name``. The first folder on the way to a file may say its
split.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from rft.config.item_files import FileKind, is_hidden
from rft.config.schema import DataConfig
from rft.data.folders.item_names import ItemNames
from rft.data.folders.tree import list_folder
from rft.data.remarks import Remark, join_names
from rft.data.splits import expected_splits, split_named
from rft.data.tables.columnar import column_names
from rft.data.tables.example_columns import GROUP, Examples, read_examples
from rft.data.tables.listing import find_table_files
from rft.data.tables.separators import settle_separator
from rft.data.tables.table_file import TableFile, TextLayout
from rft.errors import DataError

FILE_NAME = "file_name"
LABEL = "label"  # unless data.label names another
SUFFIXES_OF_TABLES = (".csv", ".jsonl", ".parquet")


def find_metadata_tables(config: DataConfig, folder: Path) -> list[TableFile]:
    """Return the tables that name the files of ``config.folder``, sorted; empty where there are none.

    Args:
        config: the ``[data]`` table: ``metadata`` names them; otherwise they are those called so in the folder.
        folder: what its paths are relative to.

    Raises:
        DataError: no file has the name that ``metadata`` says, or it is of no kind that is read.
    """
    assert config.folder is not None
    layout = TextLayout(config.separator, config.encoding)
    column = config.item_column or FILE_NAME
    if config.metadata is None:
        return list_metadata_tables(folder / config.folder, layout, column)
    files = find_table_files(config.metadata, folder, None, layout)
    return [settle_separator(file, [column], column_names) for file in files]


def list_metadata_tables(root: Path, layout: TextLayout, column: str = FILE_NAME) -> list[TableFile]:
    """Return the tables called ``metadata`` in a folder that have a column with the names of files, sorted.

    Args:
        root: the folder.
        layout: how they are written, as far as the config says it.
        column: the name of that column.
    """
    named = sorted(path for path in _visible_files(root, "metadata.*") if path.suffix.lower() in SUFFIXES_OF_TABLES)
    files = [TableFile(path, _relative_path(path, root).as_posix(), None, layout) for path in named]
    settled = [settle_separator(file, [column], column_names) for file in files]
    return [file for file in settled if column in column_names(file)]


def read_metadata(
    config: DataConfig, root: Path, tables: Sequence[TableFile], kind: FileKind
) -> tuple[pd.DataFrame, list[Remark]]:
    """Return one row an example that the tables name, as ``read_folder`` does, and what was noticed.

    A table without labels leaves them to the class folders that its files lie in.

    Raises:
        DataError: as ``read_examples``, a name that several files have, a row without a file in a table that no key
            names, a file that is named twice, or splits that not all files have.
    """
    listing = list_folder(root, kind)
    if config.item_column is None:
        listing.require_one_kind(root.name)
    known = ItemNames.from_listing(listing)
    readings = [_read_table(config, known, file) for file in tables]
    remarks = [remark for _, noticed, _ in readings for remark in noticed]
    table = pd.concat([rows for rows, _, _ in readings], ignore_index=True)
    places = [_relative_path(item, root) for item in table["item"]]
    _check_named_once(table, places, tables[0].name)
    if "id" not in table:
        table["id"] = pd.Series([place.as_posix() for place in places], dtype="object")
    _declare_splits(table, places, root, config)
    lost = [name for _, _, names in readings for name in names]
    listed = {item.resolve() for item in table["item"]}
    return table, [*remarks, *_lost_remarks(lost, len(table), kind), *_unlisted_remarks(known, listed)]


def _read_table(
    config: DataConfig, known: ItemNames, file: TableFile
) -> tuple[pd.DataFrame, Sequence[Remark], list[str]]:
    """Return the rows of a table whose file is there, what was noticed, and the names of which there is no file."""
    column = config.item_column or FILE_NAME
    recognizes = config.transcript is not None
    by_folder = not recognizes and config.label is None and LABEL not in column_names(file)
    roles = {"label": None if by_folder or recognizes else config.label or LABEL, "transcript": config.transcript}
    roles |= {"unit": config.unit, "id": config.id, "declared_split": config.split}
    roles |= {f"{GROUP}{name}": name for name in config.groups}
    wanted = {"file_name": column} | {name: named for name, named in roles.items() if named is not None}
    required = ("label", "transcript", "unit", "id", "declared_split")
    sentences = [] if config.transcript is None else [config.transcript]
    examples = read_examples([file], wanted, required, sentences=sentences)
    names = examples.table["file_name"].tolist()
    meant = known.below(file.path.parent) if config.metadata is None else known  # that of a split has no other's
    items = meant.find_named(names, file.path.parent, file.name)
    there = [item for item in items if item is not None]
    if not there:
        first = next((name for name in names if name is not None), "")
        raise DataError(
            f"names no {known.kind.one} of {known.root.name}/ in its column {column!r}: there is no {first!r}",
            where=file.name,
            remedy="A name is a path relative to the table, or the end of a path in the folder, such as the name of "
            f"the file alone; data.{known.kind.modality} says which column holds it.",
        )
    if config.metadata is None and len(there) < len(items):
        _refuse_lost_rows(examples, items, file, known.kind)
    rows = examples.table[[item is not None for item in items]].reset_index(drop=True).drop(columns="file_name")
    rows["item"] = pd.Series(there, dtype="object")
    if by_folder:
        rows["label"] = pd.Series([_label_by_folder(item, known.root, file.name) for item in there], dtype="object")
    lost = [name or "(empty)" for name, item in zip(names, items, strict=True) if item is None]
    return rows, examples.remarks, lost


def _refuse_lost_rows(examples: Examples, items: Sequence[Path | None], file: TableFile, kind: FileKind) -> None:
    """Raise ``DataError`` for rows without a file in a table that belongs to its folder: files were lost.

    A table that ``data.metadata`` names may be of more people than the folder has files of.
    """
    lost = np.array([item is None for item in items])
    first = examples.table["file_name"].iloc[int(lost.argmax())]
    named = "is empty" if first is None else f"names {first!r}, which is not there"
    raise DataError(
        f"{named} ({examples.places.name_rows(lost)} without {kind.indefinite})",
        where=file.name,
        remedy=f"A table called metadata belongs to the {kind.many} beside it: get the whole folder again, or take the "
        f"rows out. A table of more than these {kind.many} is named by data.metadata.",
    )


def _check_named_once(table: pd.DataFrame, places: Sequence[Path], source: str) -> None:
    """Raise ``DataError`` where a file, or an id, stands in more than one row."""
    for values in (pd.Series([place.as_posix() for place in places]), table.get("id")):
        if values is not None and (doubled := values.duplicated()).any():
            raise DataError(f"{values[doubled].iloc[0]!r} stands in more than one row", where=source)


def _declare_splits(table: pd.DataFrame, places: Sequence[Path], root: Path, config: DataConfig) -> None:
    """Add the splits that the first folders on the way to the files are called after, where these are any."""
    firsts = [place.parts[0] if len(place.parts) > 1 else "" for place in places]
    splits = [split_named(name) for name in firsts]
    if not any(splits):
        return
    if "declared_split" in table:
        named = join_names([f"{name}/" for name in sorted({*firsts} - {""}) if split_named(name)])
        raise DataError(f"has {named} folders, so data.split has nothing to say", where=config.folder)
    if not all(splits):
        outside = firsts[splits.index(None)]
        raise DataError(
            f"files lie in folders of splits, but others in {outside or 'none'}",
            where=root.name,
            remedy=f"Expected {expected_splits()}.",
        )
    table["declared_split"] = pd.Series(firsts, dtype="object")


def _label_by_folder(item: Path, root: Path, table: str) -> str:
    """Return the class folder that a file lies in, within a folder of a split or not."""
    folders = [name for name in _relative_path(item, root).parts[:-1] if split_named(name) is None]
    if len(folders) != 1:
        raise DataError(
            f"has no column {LABEL!r}, and {item.name!r} lies in no class folder",
            where=table,
            remedy=f'Add a column {LABEL!r}, or name another with label = "..." in [data], or use class folders.',
        )
    return folders[0]


def _relative_path(item: Path, root: Path) -> Path:
    return item.relative_to(root) if item.is_relative_to(root) else item


def _lost_remarks(lost: Sequence[str], n_there: int, kind: FileKind) -> list[Remark]:
    """Return the remark that counts rows which name no file."""
    if not lost:
        return []
    total = len(lost) + n_there
    return [
        Remark(
            id=f"rows_without_{kind.one}",
            title=f"Rows of the metadata that name no {kind.one}",
            value=len(lost),
            unit="rows",
            n=total,
            description=f"{len(lost)} of {total} rows of the metadata name no {kind.one} that is there, and "
            "were left out.",
            names=lost,
        )
    ]


def _unlisted_remarks(known: ItemNames, listed: set[Path]) -> list[Remark]:
    """Return the remark that counts files which no table names."""
    others = sorted(path for path in known.items if path.resolve() not in listed)
    if not others:
        return []
    n, kind = len(known.items), known.kind
    return [
        Remark(
            id=f"unlisted_{kind.many}",
            title=f"{kind.many.capitalize()} that no metadata table names",
            value=len(others),
            unit=kind.many,
            n=n,
            description=f"{len(others)} of {n} {kind.many} are named by no metadata table, and were left out.",
            names=[f"{path.parent.name}/{path.name}" for path in others],
        )
    ]


def _visible_files(root: Path, pattern: str) -> list[Path]:
    return [path for path in root.rglob(pattern) if not any(map(is_hidden, path.relative_to(root).parts))]
