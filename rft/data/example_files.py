"""Which files a manifest consists of: tables, patterns of them, or a folder that the library datasets saved."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rft.config.schema import DataConfig
from rft.data.remarks import Remark, join_names
from rft.data.splits import expected_splits, split_named
from rft.data.tables.listing import describe_left_out, find_table_files
from rft.data.tables.table_file import TableFile, TextLayout
from rft.errors import DataError
from rft.runtime.remote.urls import Url, parse_url

# What `Dataset.save_to_disk` and `DatasetDict.save_to_disk` of datasets write beside the tables.
SAVED, SAVED_SPLITS = "state.json", "dataset_dict.json"


@dataclass(frozen=True)
class ExampleFiles:
    """The files of a manifest.

    Attributes:
        tables: those with rows, in the order in which they are read.
        beside: others that say which these are.
        remarks: what lies among them and was not read.
    """

    tables: list[TableFile]
    beside: list[Path]
    remarks: list[Remark]

    @property
    def declare_splits(self) -> bool:
        """Whether each file says which split its rows are in."""
        return all(file.split is not None for file in self.tables)


def find_example_files(config: DataConfig, folder: Path) -> ExampleFiles:
    """Return the files that ``manifest``, or ``train``, ``validation`` and ``test``, stand for.

    Args:
        config: the ``[data]`` table.
        folder: what its paths are relative to.

    Raises:
        DataError: a pattern that stands for no file, one file for two splits, or a saved folder that contradicts the
            config.
    """
    layout = TextLayout(config.separator, config.encoding)
    root = None if config.root is None else parse_url(config.root) or folder / config.root
    tables: list[TableFile] = []
    beside: list[Path] = []
    remarks: list[Remark] = []
    for key, named in config.tables.items():
        split = None if key == "manifest" else key
        place = folder / named
        if (place / SAVED_SPLITS).is_file():
            _check_splits_alone(key, named, config)
            beside.append(place / SAVED_SPLITS)
            for name in _read_split_names(place, named):
                tables += _list_saved(place / name, f"{named}/{name}", name, layout, root)
                beside.append(place / name / SAVED)
        elif (place / SAVED).is_file():
            tables += _list_saved(place, named, split, layout, root)
            beside.append(place / SAVED)
        else:
            tables += find_table_files(named, folder, split, layout, root)
            remarks += describe_left_out(named, folder)
    _check_distinct(tables)
    return ExampleFiles(tables, beside, remarks)


def _check_distinct(tables: list[TableFile]) -> None:
    """Raise ``DataError`` where one file stands for two splits, or is there under two names."""
    owners: dict[Path | Url, TableFile] = {}
    for file in tables:
        first = owners.setdefault(file.place, file)
        if first is file:
            continue
        problem = f"is in both data.{first.split} and data.{file.split}"
        if first.split == file.split:
            problem = f"is the same file as {first.name}"
        raise DataError(problem, where=file.name, remedy="Name it once.")


def _check_splits_alone(key: str, named: str, config: DataConfig) -> None:
    """Raise ``DataError`` where the config says something else of the splits of a folder that has its own."""
    if key != "manifest":
        raise DataError(
            "holds all splits of a data set",
            where=named,
            remedy=f'Name it with data.manifest, or one of its splits: {key} = "{named}/{key}".',
        )
    if given := [f"data.{name}" for name in ("split", "test") if getattr(config, name) is not None]:
        raise DataError(
            f"has splits of its own, so there is no use for {join_names(given)}",
            where=named,
            remedy=f"Remove {join_names(given)}.",
        )


def _read_split_names(folder: Path, named: str) -> list[str]:
    names = _read_json(folder / SAVED_SPLITS, named).get("splits")
    if not isinstance(names, list) or not names or not all(map(_is_plain_name, names)):
        raise DataError(f"{SAVED_SPLITS} names no splits", where=named)
    if unknown := [name for name in names if split_named(name) is None]:
        raise DataError(
            f"{unknown[0]!r} is no split",
            where=named,
            remedy=f"Expected {expected_splits()}; or name one of its folders with data.train and one with data.test.",
        )
    return names


def _list_saved(
    folder: Path, named: str, split: str | None, layout: TextLayout, root: Path | Url | None
) -> Iterator[TableFile]:
    """Yield the tables of one data set that was saved; raises ``DataError``."""
    state = _read_json(folder / SAVED, named)
    if state.get("_indices_files"):
        raise DataError(
            "was saved with rows left out or in another order, which its tables do not show",
            where=named,
            remedy="Save it once more with datasets: flatten_indices().save_to_disk(...).",
        )
    entries = [entry for entry in state.get("_data_files") or [] if isinstance(entry, dict)]
    names = [str(entry.get("filename", "")) for entry in entries]
    if not names or not all(map(_is_plain_name, names)):
        raise DataError(f"{SAVED} names no tables", where=named)
    for name in names:
        yield TableFile(folder / name, f"{named}/{name}", split, layout, root=root)


def _is_plain_name(name: object) -> bool:
    """Tell whether a name leads nowhere else than into its folder."""
    return isinstance(name, str) and Path(name).name == name and name not in ("", ".", "..")


def _read_json(path: Path, named: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path.name} cannot be read: {error}", where=named) from None
    if not isinstance(content, dict):
        raise DataError(f"{path.name} holds no object", where=named)
    return content
