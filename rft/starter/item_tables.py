"""Tables about files: which column of which table names those of a folder, and what their places say."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rft.config.item_files import FileKind, is_hidden
from rft.data.folders.item_names import ItemNames
from rft.data.splits import split_named
from rft.data.tables.formats import FORMATS
from rft.data.tables.table_file import TableFile
from rft.errors import DataError
from rft.starter.tables.columns import list_naming_columns
from rft.starter.tables.sample import TableSample, sample_table

NAMED_SHARE = 0.5  # of the names in a column, from which it names the files of a folder
FIRST_ROWS = 2000  # by which a table that may be about other things is judged
FILES_LOOKED_FOR = 20


@dataclass(frozen=True)
class ItemTable:
    """A table, or several with the same columns, about the files of a folder.

    Attributes:
        path: the table; None for those called ``metadata`` in the folder, which need not be named.
        column: which names the files.
        items: the file of each row that has one.
        n_files: how many are in the folder.
        n_lost: how many rows name no file.
    """

    path: Path | None
    column: str
    items: tuple[Path, ...]
    n_files: int
    n_lost: int


def list_tables(folder: Path) -> list[Path]:
    """Return the tables that lie in a folder itself, sorted by name; none where it must not be looked into."""
    if not os.access(folder, os.R_OK | os.X_OK):
        return []
    return sorted(path for path in folder.iterdir() if path.is_file() and _is_table(path))


def _is_table(path: Path) -> bool:
    return not is_hidden(path.name) and TableFile.from_path(path).suffix in FORMATS


def list_tables_about(known: ItemNames, tables: Iterable[Path]) -> list[Path]:
    """Return those of some tables that have a column with names of these files, as far as their first rows show."""
    return [path for path in tables if known.items and _names_any(known, path)]


def _names_any(known: ItemNames, path: Path) -> bool:
    try:
        sample = sample_table(TableFile.from_path(path), enough_rows=FIRST_ROWS)
    except DataError:  # a table about other things, which nobody asked to read
        return False
    return find_naming_column(sample, known, path.parent) is not None


def find_naming_column(sample: TableSample, known: ItemNames, folder: Path) -> str | None:
    """Return the column that names most files of a folder, where it names half of what is in its cells, or None."""
    shares = {
        column.name: sum(known.is_named(name, folder) for name in column.counts) / column.distinct
        for column in list_naming_columns(sample, known.kind)
    }
    best = max(shares, key=lambda name: shares[name], default=None)
    return best if best is not None and shares[best] >= NAMED_SHARE else None


def join_table(
    known: ItemNames, tables: Sequence[tuple[TableFile, TableSample]], column: str, *, path: Path | None
) -> ItemTable:
    """Return what tables say of the files of a folder; raises ``DataError`` for a name that several files have.

    Args:
        images: of the folder.
        tables: each with its columns.
        column: which names the files.
        path: as in ``ItemTable``.
    """
    items: list[Path | None] = []
    for file, sample in tables:
        values = sample.columns[column].values
        items += known.find_named(
            [None if missing else name for name, missing in zip(values, values.isna(), strict=True)],
            file.path.parent,
            file.name,
        )
    there = tuple(item for item in items if item is not None)
    return ItemTable(path, column, there, len(known.items), len(items) - len(there))


def find_items_of(table: Path, names: Sequence[str], kind: FileKind) -> tuple[list[Path], bool]:
    """Return the files that the cells of a table name, and whether all are paths relative to it; none where not found.

    Args:
        table: whose folder is searched where the names are no paths relative to it.
        names: different cells.
        kind: of the files.

    Raises:
        DataError: a name that several files have.
    """
    folder = table.parent
    if all((folder / name).is_file() for name in names[:FILES_LOOKED_FOR]):
        return [folder / name for name in names], True
    known = ItemNames.from_folder(folder, kind)
    there = [item for item in known.find_named(names, folder, table.name) if item is not None]
    return there if len(there) >= NAMED_SHARE * len(names) else [], False


def find_folder_around(items: Iterable[Path]) -> Path:
    """Return the innermost folder that holds all of some files."""
    return Path(os.path.commonpath([item.parent for item in items]))


def count_class_folders(items: Iterable[Path], root: Path) -> dict[str, int]:
    """Return class folder -> its files, where each lies in one beneath ``root``, in that of a split or not; or {}."""
    folders = [[part for part in item.relative_to(root).parts[:-1] if split_named(part) is None] for item in items]
    if not all(len(parts) == 1 for parts in folders):
        return {}
    return dict(sorted(Counter(parts[0] for parts in folders).items()))


def count_split_folders(items: Iterable[Path], root: Path) -> dict[str, int]:
    """Return split -> its files, where the first folders beneath ``root`` are called after splits; otherwise {}."""
    folders = Counter(split_named(item.relative_to(root).parts[0]) for item in items)
    return {str(name): count for name, count in folders.items()} if None not in folders else {}
