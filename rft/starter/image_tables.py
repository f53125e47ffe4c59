"""Tables about images: which column of which table names the images of a folder, and what their places say."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rft.config.item_files import is_hidden
from rft.data.folders.item_names import ItemNames
from rft.data.splits import split_named
from rft.data.tables.formats import FORMATS
from rft.data.tables.table_file import TableFile
from rft.errors import DataError
from rft.starter.tables.columns import list_naming_columns
from rft.starter.tables.sample import TableSample, sample_table

NAMED_SHARE = 0.5  # of the names in a column, from which it names the images of a folder
FIRST_ROWS = 2000  # by which a table that may be about other things is judged
FILES_LOOKED_FOR = 20


@dataclass(frozen=True)
class ImageTable:
    """A table, or several with the same columns, about the images of a folder.

    Attributes:
        path: the table; None for those called ``metadata`` in the folder, which need not be named.
        column: which names the images.
        items: the image of each row that has one.
        n_images: how many are in the folder.
        n_lost: how many rows name no image.
    """

    path: Path | None
    column: str
    items: tuple[Path, ...]
    n_images: int
    n_lost: int


def list_tables(folder: Path) -> list[Path]:
    """Return the tables that lie in a folder itself, sorted by name; none where it must not be looked into."""
    if not os.access(folder, os.R_OK | os.X_OK):
        return []
    return sorted(path for path in folder.iterdir() if path.is_file() and _is_table(path))


def _is_table(path: Path) -> bool:
    return not is_hidden(path.name) and TableFile.from_path(path).suffix in FORMATS


def list_tables_about(images: ItemNames, tables: Iterable[Path]) -> list[Path]:
    """Return those of some tables that have a column with names of these images, as far as their first rows show."""
    return [path for path in tables if images.items and _names_any(images, path)]


def _names_any(images: ItemNames, path: Path) -> bool:
    try:
        sample = sample_table(TableFile.from_path(path), enough_rows=FIRST_ROWS)
    except DataError:  # a table about other things, which nobody asked to read
        return False
    return find_naming_column(sample, images, path.parent) is not None


def find_naming_column(sample: TableSample, images: ItemNames, folder: Path) -> str | None:
    """Return the column that names most images of a folder, where it names half of what is in its cells, or None."""
    shares = {
        column.name: sum(images.is_named(name, folder) for name in column.counts) / column.distinct
        for column in list_naming_columns(sample)
    }
    best = max(shares, key=lambda name: shares[name], default=None)
    return best if best is not None and shares[best] >= NAMED_SHARE else None


def join_table(
    images: ItemNames, tables: Sequence[tuple[TableFile, TableSample]], column: str, *, path: Path | None
) -> ImageTable:
    """Return what tables say of the images of a folder; raises ``DataError`` for a name that several images have.

    Args:
        images: of the folder.
        tables: each with its columns.
        column: which names the images.
        path: as in ``ImageTable``.
    """
    items: list[Path | None] = []
    for file, sample in tables:
        values = sample.columns[column].values
        items += images.find_named(
            [None if missing else name for name, missing in zip(values, values.isna(), strict=True)],
            file.path.parent,
            file.name,
        )
    there = tuple(item for item in items if item is not None)
    return ImageTable(path, column, there, len(images.items), len(items) - len(there))


def find_images_of(table: Path, names: Sequence[str]) -> tuple[list[Path], bool]:
    """Return the images that the cells of a table name, and whether all are paths relative to it; none where not found.

    Args:
        table: whose folder is searched where the names are no paths relative to it.
        names: different cells.

    Raises:
        DataError: a name that several images have.
    """
    folder = table.parent
    if all((folder / name).is_file() for name in names[:FILES_LOOKED_FOR]):
        return [folder / name for name in names], True
    images = ItemNames.from_folder(folder)
    there = [item for item in images.find_named(names, folder, table.name) if item is not None]
    return there if len(there) >= NAMED_SHARE * len(names) else [], False


def find_folder_around(items: Iterable[Path]) -> Path:
    """Return the innermost folder that holds all of some images."""
    return Path(os.path.commonpath([item.parent for item in items]))


def count_class_folders(items: Iterable[Path], root: Path) -> dict[str, int]:
    """Return class folder -> its images, where each lies in one beneath ``root``, in that of a split or not; or {}."""
    folders = [[part for part in item.relative_to(root).parts[:-1] if split_named(part) is None] for item in items]
    if not all(len(parts) == 1 for parts in folders):
        return {}
    return dict(sorted(Counter(parts[0] for parts in folders).items()))


def count_split_folders(items: Iterable[Path], root: Path) -> dict[str, int]:
    """Return split -> its images, where the first folders beneath ``root`` are called after splits; otherwise {}."""
    folders = Counter(split_named(item.relative_to(root).parts[0]) for item in items)
    return {str(name): count for name, count in folders.items()} if None not in folders else {}
