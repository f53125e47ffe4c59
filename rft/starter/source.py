"""What a path holds that a user wants audited: a table, class folders of files, or files with a table about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from rft.config.item_files import FILE_KINDS, IMAGE_FILES, FileKind, find_folder_kind
from rft.config.schema import DataConfig
from rft.data.folders.class_folders import read_folder
from rft.data.folders.item_names import ItemNames
from rft.data.folders.metadata import FILE_NAME, list_metadata_tables
from rft.data.remarks import join_names
from rft.data.splits import split_named
from rft.data.tables.table_file import TableFile, TextLayout
from rft.errors import ConfigError, DataError
from rft.starter import item_tables
from rft.starter.item_tables import ItemTable
from rft.starter.tables.columns import find_called_labels, list_naming_columns
from rft.starter.tables.sample import TableSample, join_samples, sample_table
from rft.starter.wishes import ColumnWishes


@dataclass(frozen=True)
class Source:
    """Where examples, or predictions, come from.

    Attributes:
        kind: ``table``: a file. ``folders``: class folders of images or recordings. ``metadata``: a folder of
            these with tables that name them.
        path: the table, or the folder.
        sample: the columns of the table, or of the metadata tables; empty for class folders.
        files: what the files of a folder are.
        class_counts: class folder -> its files; empty where files lie in none.
        split_counts: split that a folder is called after -> its files; empty where no folders are splits.
        item_table: of ``metadata``, how its tables name the files.
        ignored_tables: names of tables beside the files, which are not read.
    """

    kind: Literal["table", "folders", "metadata"]
    path: Path
    sample: TableSample = field(default_factory=lambda: TableSample({}))
    files: FileKind = IMAGE_FILES
    class_counts: Mapping[str, int] = field(default_factory=dict)
    split_counts: Mapping[str, int] = field(default_factory=dict)
    item_table: ItemTable | None = None
    ignored_tables: tuple[str, ...] = ()


def find_source(path: Path, wishes: ColumnWishes, metadata: Path | None = None) -> Source:
    """Look at a file or folder.

    Args:
        path: a table, or a folder.
        wishes: the columns that the user named.
        metadata: the table about the files of a folder, as the user named it; None: one is looked for.

    Raises:
        DataError: it holds no examples in a layout that rft reads, or several tables could be meant.
        ConfigError: ``metadata`` is named beside a table.
    """
    if path.is_file():
        if metadata is not None:
            raise ConfigError("is about the files of a folder: name the folder, not a table", where="--metadata")
        return _look_at_table(path, wishes)
    if not path.is_dir():
        raise DataError(
            "no such file or folder", where=str(path), remedy="Name a table, or a folder of images or recordings."
        )
    if metadata is not None:
        return _join_table(path, metadata, wishes)
    return _look_at_folder(path, wishes)


def _look_at_folder(path: Path, wishes: ColumnWishes) -> Source:
    """Return the source that a folder is, with the table about its images, inside or beside it, where there is one."""
    inside, beside = item_tables.list_tables(path), item_tables.list_tables(path.resolve().parent)
    known = ItemNames.from_folder(path, find_folder_kind(path))
    about = item_tables.list_tables_about(known, [*inside, *beside])
    if tables := list_metadata_tables(path, TextLayout()):
        called = {table.path.resolve() for table in tables}
        ignored = tuple(table.name for table in about if table.resolve() not in called)
        return replace(_join_metadata(path, tables), ignored_tables=ignored)
    try:
        folders = _read_class_folders(path, tuple(table.name for table in inside))
    except DataError as error:
        return _look_at_other_folder(path, wishes, inside, about, error)
    if len(about) > 1:
        raise _several_tables(f"several tables name {find_folder_kind(path).many} of it", path, about)
    return _join_table(path, about[0], wishes) if about else folders


def _look_at_other_folder(
    path: Path, wishes: ColumnWishes, inside: Sequence[Path], about: Sequence[Path], error: DataError
) -> Source:
    """Return the source that a folder without class folders is: its one table, or images with one; or raise."""
    if len(inside) == 1:
        return _look_at_table(inside[0], wishes)
    if len(about) == 1:
        return _join_table(path, about[0], wishes)
    if about:
        raise _several_tables(f"several tables name {find_folder_kind(path).many} of it", path, about)
    if not inside:
        raise error
    remedy = f"Name the one to audit, such as  rft init {inside[0]}"
    raise DataError(
        f"holds several tables: {join_names([table.name for table in inside])}", where=str(path), remedy=remedy
    )


def _several_tables(problem: str, path: Path, tables: Sequence[Path]) -> DataError:
    named = join_names([str(table) for table in tables])
    return DataError(f"{problem}: {named}", where=str(path), remedy=f"Name the one to read: --metadata {tables[0]}")


def _look_at_table(path: Path, wishes: ColumnWishes) -> Source:
    """Return the source that a table is: examples of its own, or what it says of images in class folders."""
    sample = sample_table(TableFile.from_path(path))
    table = Source("table", path, sample)
    naming = _find_file_column(sample, wishes)
    if naming is None:
        return table
    column, kind = naming
    names = list(sample.columns[column].counts)
    items, are_paths = item_tables.find_items_of(path, names, kind)
    if not items:  # what reads them says which is missing
        return table
    root = item_tables.find_folder_around(items)
    has_label = wishes.label is not None or bool(find_called_labels(sample, ()))
    by_folder = len(item_tables.count_class_folders(items, root)) > 1 and not has_label
    return _join_column(root, path, column, kind) if by_folder or not are_paths else table


def _find_file_column(sample: TableSample, wishes: ColumnWishes) -> tuple[str, FileKind] | None:
    """Return the column of a table that names files, as the user said or as its cells are, and their kind, or None."""
    if wishes.item is not None:
        modality, named = wishes.item
        return (named, FILE_KINDS[modality]) if named in sample.columns and modality in FILE_KINDS else None
    if sample.bytes_columns or any((wishes.prediction, wishes.score)):
        return None
    naming = ((column.name, kind) for kind in FILE_KINDS.values() for column in list_naming_columns(sample, kind))
    return next(naming, None)


def _join_table(root: Path, table: Path, wishes: ColumnWishes) -> Source:
    """Return a folder of files with one table about them; raises ``DataError`` where it names none of them."""
    kind = find_folder_kind(root)
    return _join_column(root, table, wishes.item[1] if wishes.item is not None else None, kind)


def _join_column(root: Path, table: Path, column: str | None, kind: FileKind) -> Source:
    """Return a folder of files with a table that names them in a column, which is looked for where none is given."""
    file, known = TableFile.from_path(table), ItemNames.from_folder(root, kind)
    sample = sample_table(file)
    if column is None or column not in sample.columns:
        column = item_tables.find_naming_column(sample, known, table.parent)
    if column is None:
        raise DataError(
            f"no column names {kind.many} of {root}",
            where=str(table),
            remedy="A cell is a path relative to the table, or the end of a path in the folder, such as "
            f"a{sorted(kind.read)[0]}.",
        )
    joined = item_tables.join_table(known, [(file, sample)], column, path=table)
    return _with_counts(root, sample, joined, kind)


def _join_metadata(root: Path, files: Sequence[TableFile]) -> Source:
    """Return a folder of files with the tables called ``metadata`` in it."""
    kind = find_folder_kind(root)
    tables = [(file, sample_table(file)) for file in files]
    joined = item_tables.join_table(ItemNames.from_folder(root, kind), tables, FILE_NAME, path=None)
    return _with_counts(root, join_samples([sample for _, sample in tables]), joined, kind)


def _with_counts(root: Path, sample: TableSample, joined: ItemTable, kind: FileKind) -> Source:
    inside = [item for item in joined.items if item.is_relative_to(root)]
    classes = item_tables.count_class_folders(inside, root) if len(inside) == len(joined.items) else {}
    splits = item_tables.count_split_folders(inside, root)
    return Source("metadata", root, sample, kind, classes, splits, joined)


def _read_class_folders(path: Path, ignored_tables: tuple[str, ...]) -> Source:
    resolved = path.resolve()
    examples, _ = read_folder(DataConfig(folder=resolved.name or "."), resolved.parent, {"train", "test"})
    class_counts = Counter(examples["label"])
    splits = Counter(map(split_named, examples["declared_split"])) if "declared_split" in examples else {}
    split_counts = {str(name): count for name, count in splits.items()}
    return Source(
        "folders",
        path,
        files=find_folder_kind(path),
        class_counts=dict(sorted(class_counts.items())),
        split_counts=split_counts,
        ignored_tables=ignored_tables,
    )
