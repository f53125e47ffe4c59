"""What a path holds that a user wants audited: a table, class folders of images, or images with a table about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from rft.config.schema import DataConfig
from rft.data.folders.class_folders import read_folder
from rft.data.folders.item_names import ItemNames
from rft.data.folders.metadata import FILE_NAME, list_metadata_tables
from rft.data.remarks import join_names
from rft.data.splits import split_named
from rft.data.tables.table_file import TableFile, TextLayout
from rft.errors import ConfigError, DataError
from rft.starter import image_tables
from rft.starter.image_tables import ImageTable
from rft.starter.tables.columns import find_called_labels, list_naming_columns
from rft.starter.tables.sample import TableSample, join_samples, sample_table
from rft.starter.wishes import ColumnWishes


@dataclass(frozen=True)
class Source:
    """Where examples, or predictions, come from.

    Attributes:
        kind: ``table``: a file. ``folders``: class folders of images. ``metadata``: a folder of images with tables
            that name them.
        path: the table, or the folder.
        sample: the columns of the table, or of the metadata tables; empty for class folders.
        class_counts: class folder -> its images; empty where images lie in none.
        split_counts: split that a folder is called after -> its images; empty where no folders are splits.
        image_table: of ``metadata``, how its tables name the images.
        ignored_tables: names of tables beside the images, which are not read.
    """

    kind: Literal["table", "folders", "metadata"]
    path: Path
    sample: TableSample = field(default_factory=lambda: TableSample({}))
    class_counts: Mapping[str, int] = field(default_factory=dict)
    split_counts: Mapping[str, int] = field(default_factory=dict)
    image_table: ImageTable | None = None
    ignored_tables: tuple[str, ...] = ()


def find_source(path: Path, wishes: ColumnWishes, metadata: Path | None = None) -> Source:
    """Look at a file or folder.

    Args:
        path: a table, or a folder.
        wishes: the columns that the user named.
        metadata: the table about the images of a folder, as the user named it; None: one is looked for.

    Raises:
        DataError: it holds no examples in a layout that rft reads, or several tables could be meant.
        ConfigError: ``metadata`` is named beside a table.
    """
    if path.is_file():
        if metadata is not None:
            raise ConfigError("is about the images of a folder: name the folder, not a table", where="--metadata")
        return _look_at_table(path, wishes)
    if not path.is_dir():
        raise DataError("no such file or folder", where=str(path), remedy="Name a table, or a folder of images.")
    if metadata is not None:
        return _join_table(path, metadata, wishes.image)
    return _look_at_folder(path, wishes)


def _look_at_folder(path: Path, wishes: ColumnWishes) -> Source:
    """Return the source that a folder is, with the table about its images, inside or beside it, where there is one."""
    inside, beside = image_tables.list_tables(path), image_tables.list_tables(path.resolve().parent)
    about = image_tables.list_tables_about(ItemNames.from_folder(path), [*inside, *beside])
    if tables := list_metadata_tables(path, TextLayout()):
        called = {table.path.resolve() for table in tables}
        ignored = tuple(table.name for table in about if table.resolve() not in called)
        return replace(_join_metadata(path, tables), ignored_tables=ignored)
    try:
        folders = _read_class_folders(path, tuple(table.name for table in inside))
    except DataError as error:
        return _look_at_other_folder(path, wishes, inside, about, error)
    if len(about) > 1:
        raise _several_tables("several tables name images of it", path, about)
    return _join_table(path, about[0], wishes.image) if about else folders


def _look_at_other_folder(
    path: Path, wishes: ColumnWishes, inside: Sequence[Path], about: Sequence[Path], error: DataError
) -> Source:
    """Return the source that a folder without class folders is: its one table, or images with one; or raise."""
    if len(inside) == 1:
        return _look_at_table(inside[0], wishes)
    if len(about) == 1:
        return _join_table(path, about[0], wishes.image)
    if about:
        raise _several_tables("several tables name images of it", path, about)
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
    column = _find_file_column(sample, wishes)
    if column is None:
        return table
    names = list(sample.columns[column].counts)
    items, are_paths = image_tables.find_images_of(path, names)
    if not items:  # what reads them says which is missing
        return table
    root = image_tables.find_folder_around(items)
    has_label = wishes.label is not None or bool(find_called_labels(sample, ()))
    by_folder = len(image_tables.count_class_folders(items, root)) > 1 and not has_label
    return _join_table(root, path, column) if by_folder or not are_paths else table


def _find_file_column(sample: TableSample, wishes: ColumnWishes) -> str | None:
    """Return the column of a table that names files of images, as the user said or as its cells are; None: none."""
    if wishes.image is not None:
        return wishes.image if wishes.image in sample.columns else None
    if sample.images or any((wishes.text, wishes.prediction, wishes.score)):
        return None
    return next((column.name for column in list_naming_columns(sample)), None)


def _join_table(root: Path, table: Path, column: str | None) -> Source:
    """Return a folder of images with one table about them; raises ``DataError`` where it names none of them."""
    file, images = TableFile.from_path(table), ItemNames.from_folder(root)
    sample = sample_table(file)
    if column is None or column not in sample.columns:
        column = image_tables.find_naming_column(sample, images, table.parent)
    if column is None:
        raise DataError(
            f"no column names images of {root}",
            where=str(table),
            remedy="A cell is a path relative to the table, or the end of a path in the folder, such as a.jpg.",
        )
    joined = image_tables.join_table(images, [(file, sample)], column, path=table)
    return _with_counts(root, sample, joined)


def _join_metadata(root: Path, files: Sequence[TableFile]) -> Source:
    """Return a folder of images with the tables called ``metadata`` in it."""
    tables = [(file, sample_table(file)) for file in files]
    joined = image_tables.join_table(ItemNames.from_folder(root), tables, FILE_NAME, path=None)
    return _with_counts(root, join_samples([sample for _, sample in tables]), joined)


def _with_counts(root: Path, sample: TableSample, joined: ImageTable) -> Source:
    inside = [item for item in joined.items if item.is_relative_to(root)]
    classes = image_tables.count_class_folders(inside, root) if len(inside) == len(joined.items) else {}
    splits = image_tables.count_split_folders(inside, root)
    return Source("metadata", root, sample, classes, splits, joined)


def _read_class_folders(path: Path, ignored_tables: tuple[str, ...]) -> Source:
    resolved = path.resolve()
    images, _ = read_folder(DataConfig(folder=resolved.name or "."), resolved.parent, {"train", "test"})
    class_counts = Counter(images["label"])
    splits = Counter(map(split_named, images["declared_split"])) if "declared_split" in images else {}
    split_counts = {str(name): count for name, count in splits.items()}
    return Source(
        "folders",
        path,
        class_counts=dict(sorted(class_counts.items())),
        split_counts=split_counts,
        ignored_tables=ignored_tables,
    )
