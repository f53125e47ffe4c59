"""A folder of images with tables beside them: the layout "imagefolder with metadata" of Hugging Face's datasets.

``metadata.csv`` (or ``.jsonl``, ``.parquet``) names in its column ``file_name`` the image of each row, relative to
itself, and in others its label, groups and unit. The first folder on the way to an image may say its split.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from rft.config.schema import DataConfig
from rft.data.folders.tree import is_hidden
from rft.data.images.decoding import SUFFIXES
from rft.data.remarks import Remark
from rft.data.splits import expected_splits, split_named
from rft.data.tables.columnar import column_names
from rft.data.tables.example_columns import GROUP, read_examples
from rft.data.tables.separators import settle_separator
from rft.data.tables.table_file import TableFile, TextLayout
from rft.errors import DataError

FILE_NAME = "file_name"
LABEL = "label"  # unless data.label names another
SUFFIXES_OF_TABLES = (".csv", ".jsonl", ".parquet")


def metadata_tables(root: Path, layout: TextLayout) -> list[TableFile]:
    """Return the tables in a folder that name images beside them, sorted; empty where there are none.

    Args:
        root: the folder.
        layout: how they are written, as far as the config says it.
    """
    named = sorted(path for path in _visible_files(root, "metadata.*") if path.suffix.lower() in SUFFIXES_OF_TABLES)
    files = [TableFile(path, _relative_path(path, root).as_posix(), None, layout) for path in named]
    settled = [settle_separator(file, [FILE_NAME], column_names) for file in files]
    return [file for file in settled if FILE_NAME in column_names(file)]


def read_metadata(config: DataConfig, root: Path, tables: Sequence[TableFile]) -> tuple[pd.DataFrame, list[Remark]]:
    """Return one row an image that the tables name, as ``read_folder`` does, and what was noticed.

    A table without labels leaves them to the class folders that its images lie in.

    Raises:
        DataError: as ``read_examples``, an image that is named twice, or splits that not all images have.
    """
    columns = {"file_name": FILE_NAME, "label": config.label or LABEL}
    columns |= {name: column for name, column in (("unit", config.unit), ("id", config.id)) if column is not None}
    columns |= {f"{GROUP}{name}": name for name in config.groups}
    parts: list[pd.DataFrame] = []
    remarks: list[Remark] = []
    for file in tables:
        by_folder = config.label is None and LABEL not in column_names(file)
        wanted = {name: column for name, column in columns.items() if not (by_folder and name == "label")}
        examples = read_examples([file], wanted, ("file_name", "label", "unit", "id"))
        remarks += examples.remarks
        items = [file.path.parent / name for name in examples.table["file_name"]]
        labels = {"label": [_label_by_folder(item, root, file.name) for item in items]} if by_folder else {}
        parts.append(examples.table.assign(item=items, **labels))
    table = pd.concat(parts, ignore_index=True).drop(columns="file_name")
    places = [_relative_path(item, root) for item in table["item"]]
    if "id" not in table:
        table["id"] = pd.Series([place.as_posix() for place in places], dtype="object")
    doubled = table["id"].duplicated()
    if doubled.any():
        raise DataError(f"{table.loc[doubled, 'id'].iloc[0]!r} stands in more than one row", where=tables[0].name)
    firsts = [place.parts[0] if len(place.parts) > 1 else "" for place in places]
    splits = [split_named(name) for name in firsts]
    if any(splits):
        if not all(splits):
            outside = firsts[splits.index(None)]
            raise DataError(
                f"images lie in folders of splits, but others in {outside or 'none'}",
                where=root.name,
                remedy=f"Expected {expected_splits()}.",
            )
        table["declared_split"] = pd.Series(firsts, dtype="object")
    return table, [*remarks, *_unlisted_remarks(root, {item.resolve() for item in table["item"]})]


def _label_by_folder(item: Path, root: Path, table: str) -> str:
    """Return the class folder that an image lies in, within a folder of a split or not."""
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


def _unlisted_remarks(root: Path, listed_items: set[Path]) -> list[Remark]:
    """Return the remark that counts images which no table names."""
    images = [path for path in _visible_files(root, "*") if path.suffix.lower() in SUFFIXES]
    others = sorted(path for path in images if path.resolve() not in listed_items)
    if not others:
        return []
    return [
        Remark(
            id="unlisted_images",
            title="Images that no metadata table names",
            value=len(others),
            unit="images",
            n=len(images),
            description=f"{len(others)} of {len(images)} images are named by no metadata table, have no label and "
            "were "
            "left out.",
            names=[f"{path.parent.name}/{path.name}" for path in others],
        )
    ]


def _visible_files(root: Path, pattern: str) -> list[Path]:
    return [path for path in root.rglob(pattern) if not any(map(is_hidden, path.relative_to(root).parts))]
