"""Which file of a folder a cell of a table names: the one place where names become files, for every such table."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path, PureWindowsPath

from rft.config.item_files import FileKind
from rft.data.folders.tree import Folder, list_folder
from rft.data.remarks import join_names
from rft.errors import DataError

SHOWN_PLACES = 3


class ItemNames:
    """The images or recordings of a folder by their names.

    A name is a path relative to its table. Where no such file is there, it is the end of a path: ``smiling/a.jpg``, or
    ``a.jpg``, is the one file of the folder whose path ends so.
    """

    def __init__(self, root: Path, items: Iterable[Path], kind: FileKind) -> None:
        self.root, self.kind = root, kind
        self.items = list(items)
        self._by_place = {os.path.abspath(path): path for path in self.items}
        self._by_file_name: dict[str, list[Path]] = defaultdict(list)
        for path in self.items:
            self._by_file_name[path.name].append(path)

    @classmethod
    def from_folder(cls, root: Path, kind: FileKind) -> ItemNames:
        """Return the examples in a folder, at any depth, without those in hidden and system folders."""
        return cls.from_listing(list_folder(root, kind))

    @classmethod
    def from_listing(cls, root: Folder) -> ItemNames:
        """Return the examples in a folder that was listed."""
        return cls(root.path, (path for folder in root.walk_folders() for path in folder.items), root.kind)

    def below(self, folder: Path) -> ItemNames:
        """Return the names of those files alone that lie in a folder, at any depth."""
        place = Path(os.path.abspath(folder))
        inside = (path for path in self.items if place in Path(os.path.abspath(path)).parents)
        return ItemNames(self.root, inside, self.kind)

    def list_named(self, name: str, table_folder: Path) -> Sequence[Path]:
        """Return the files that a name may mean: none, one, or several that a longer name would tell apart.

        Args:
            name: the cell.
            table_folder: where its table is.
        """
        place = table_folder / name
        known = self._by_place.get(os.path.abspath(place))
        if known is not None or place.is_file():
            return [known or place]
        parts = PureWindowsPath(name).parts  # which knows both kinds of slashes
        return [path for path in self._by_file_name.get(parts[-1] if parts else "", ()) if _ends_with(path, parts)]

    def is_named(self, name: str, table_folder: Path) -> bool:
        """Tell whether a name means files of the folder, one or several; arguments as for ``list_named``."""
        return any(os.path.abspath(path) in self._by_place for path in self.list_named(name, table_folder))

    def find_named(self, names: Sequence[str | None], table_folder: Path, table: str) -> list[Path | None]:
        """Return the file that each of (N,) names means, None where there is none.

        Args:
            names: cells, None where one is empty.
            table_folder: where their table is.
            table: what messages call it.

        Raises:
            DataError: several files have such a name.
        """
        named = {name: self.list_named(name, table_folder) for name in dict.fromkeys(names) if name is not None}
        if ambiguous := {name: paths for name, paths in named.items() if len(paths) > 1}:
            first, paths = next(iter(ambiguous.items()))
            places = [path.relative_to(self.root).as_posix() for path in paths]
            others = f", and {len(ambiguous) - 1} more names stand for several" * (len(ambiguous) > 1)
            raise DataError(
                f"{first!r} is the name of {len(paths)} {self.kind.many}, {join_names(places, SHOWN_PLACES)}{others}",
                where=table,
                remedy=f"Write the folder before such names: {places[0]}.",
            )
        return [named[name][0] if name is not None and named[name] else None for name in names]


def _ends_with(path: Path, parts: Sequence[str]) -> bool:
    return Path(os.path.abspath(path)).parts[-len(parts) :] == tuple(parts)
