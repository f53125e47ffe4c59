"""What a path holds that a user wants audited: a table, class folders of images, or images with a table beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from rft.config.schema import DataConfig
from rft.data.folders.class_folders import read_folder
from rft.data.folders.metadata import FILE_NAME, LABEL, metadata_tables
from rft.data.folders.tree import is_hidden
from rft.data.remarks import join_names
from rft.data.splits import split_named
from rft.data.tables.formats import FORMATS
from rft.data.tables.table_file import TableFile, TextLayout
from rft.errors import DataError
from rft.starter.sample import ColumnSample, TableSample, join_samples, sample_table


@dataclass(frozen=True)
class Source:
    """Where examples, or predictions, come from.

    Attributes:
        kind: ``table``: a file. ``folders``: class folders of images. ``metadata``: a folder of images with tables
            that name them.
        path: the table, or the folder.
        sample: the columns of the table, or of the metadata tables; empty for class folders.
        class_counts: class folder -> its images.
        split_counts: split that a folder is called after -> its images; empty where no folders are splits.
        ignored_tables: names of tables beside class folders, which are not read.
    """

    kind: Literal["table", "folders", "metadata"]
    path: Path
    sample: TableSample = field(default_factory=lambda: TableSample({}))
    class_counts: Mapping[str, int] = field(default_factory=dict)
    split_counts: Mapping[str, int] = field(default_factory=dict)
    ignored_tables: tuple[str, ...] = ()

    def count_class_folders(self) -> dict[str, int]:
        """Return class folder -> its images that metadata tables without a column of labels name; empty otherwise."""
        if LABEL in self.sample.columns:
            return {}
        names = self.sample.columns[FILE_NAME].counts
        folders = [[part for part in Path(name).parts[:-1] if split_named(part) is None] for name in names]
        if not all(len(parts) == 1 for parts in folders):
            return {}
        return dict(sorted(Counter(parts[0] for parts in folders).items()))


def find_source(path: Path) -> Source:
    """Look at a file or folder; raises ``DataError`` for one that holds no examples in a layout that rft reads."""
    if path.is_file():
        return Source("table", path, sample_table(TableFile.from_path(path)))
    if not path.is_dir():
        raise DataError("no such file or folder", where=str(path), remedy="Name a table, or a folder of images.")
    if tables := metadata_tables(path, TextLayout()):
        sample = join_samples([_sample_from(path, table) for table in tables])
        return Source("metadata", path, sample, split_counts=_count_splits(sample))
    beside = sorted(file for file in path.iterdir() if _is_table(file))
    try:
        return _read_class_folders(path, tuple(file.name for file in beside))
    except DataError:
        if len(beside) == 1:
            return Source("table", beside[0], sample_table(TableFile.from_path(beside[0])))
        if not beside:
            raise
    raise DataError(
        f"holds several tables: {join_names([file.name for file in beside])}",
        where=str(path),
        remedy="Name the one to audit, such as  rft init " + str(beside[0]),
    )


def _is_table(file: Path) -> bool:
    return file.is_file() and not is_hidden(file.name) and TableFile.from_path(file).suffix in FORMATS


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


def _count_splits(sample: TableSample) -> dict[str, int]:
    """Return how many images lie in folders of splits; empty unless all do."""
    folders = Counter(split_named(Path(name).parts[0]) for name in sample.columns[FILE_NAME].counts)
    return {str(name): count for name, count in folders.items()} if None not in folders else {}


def _sample_from(root: Path, table: TableFile) -> TableSample:
    """Return the sample of a metadata table, with its images named from the folder that was given."""
    sample, above = sample_table(table), table.path.parent.relative_to(root)
    names = sample.columns[FILE_NAME]
    values = names.values.rename_categories(lambda name: (above / name).as_posix())
    return replace(sample, columns={**sample.columns, FILE_NAME: ColumnSample(FILE_NAME, values)})
