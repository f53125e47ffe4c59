"""Which files a name in a config stands for: one table, a pattern of tables, or a folder of Parquet files or shards.

Folders that are named ``key=value``, as Hive, Spark and pyarrow write partitions, are columns of the files in them.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from rft.config.item_files import FILE_KINDS, walk_files
from rft.data.remarks import Remark, join_names
from rft.data.tables.table_file import TableFile, TextLayout
from rft.errors import DataError
from rft.runtime.remote.copies import copy_to_disk
from rft.runtime.remote.files import list_matching
from rft.runtime.remote.urls import Url, parse_url

SHARD = ".tar"
FOLDER_KINDS = (".parquet", SHARD)  # of files that a folder may be a table of
MISSING = "__HIVE_DEFAULT_PARTITION__"  # Hive's word for no value
# Folders in which other files say which of the Parquet files count.
LOGS = {"_delta_log": "a table of Delta Lake", ".hoodie": "a table of Apache Hudi", "metadata": "a table of Iceberg"}
ICEBERG = "*.metadata.json"
MOST_BRACED = 100_000  # names that braces stand for
_BRACES = re.compile(r"\{(?:(\d+)\.\.(\d+)|([^{}]*,[^{}]*))\}")
_SIGNS = re.compile(r"[*?\[{]")


@dataclass(frozen=True)
class _FoundFile:
    """A file of a table: where it is, and its path as the config, or a folder, says it."""

    place: Path | Url
    named: PurePosixPath


def find_table_files(
    named: str, folder: Path, split: str | None, layout: TextLayout, root: Path | Url | None = None
) -> list[TableFile]:
    """Return the files that a name, a pattern or a folder stands for, sorted by their paths.

    A pattern holds ``*``, ``?``, ``[ab]``, ``{000..009}`` or ``{a,b}``; each name that braces alone give must be there.

    Args:
        named: as the config says it.
        folder: what it is relative to.
        split: that all of its rows are in; None where something else says it.
        layout: how the files are written, as far as the config says it.
        root: what paths in cells are relative to; None: the folder of each file, or of the first partition.

    Raises:
        DataError: a pattern stands for no file; or a folder holds tables of several kinds, or of a kind in which other
            files say what counts.
        RemoteError: the store of a URL cannot be reached.
        OutputError: there is no room for a copy of what is at a URL.
    """
    if (url := parse_url(named)) is not None:
        return _build_files(_match_urls(url), _fixed_part(PurePosixPath(url.path)), split, layout, root)
    place = folder / named
    if place.is_dir():
        files = [_FoundFile(path, PurePosixPath(named, path.relative_to(place))) for path in _list_tables(place, named)]
        if files:
            return _build_files(files, PurePosixPath(named), split, layout, root)
    if place.exists() or not _SIGNS.search(named):
        return [TableFile(place, Path(named).name, split, layout, root=root)]
    files = [_FoundFile(folder / name, PurePosixPath(name)) for name in _match_paths(named, folder)]
    return _build_files(files, _fixed_part(PurePosixPath(named)), split, layout, root)


def describe_left_out(named: str, folder: Path) -> list[Remark]:
    """Return the remark that counts files in a folder of tables that are no tables; empty where there are none."""
    if parse_url(named) is not None or not (place := folder / named).is_dir():
        return []
    paths = [path.relative_to(place) for path in _list_visible(place)]
    others = [path.as_posix() for path in paths if path.suffix.lower() not in FOLDER_KINDS]
    if not others or len(others) == len(paths):
        return []
    return [
        Remark(
            id="files_beside_tables",
            title="Files in a folder of tables that are no tables",
            value=len(others),
            unit="files",
            n=len(paths),
            description=f"{len(others)} of {len(paths)} files in the folder of the manifest are neither .parquet nor "
            ".tar, and were not read.",
            names=others,
        )
    ]


def refuse_shards(named: str, folder: Path) -> None:
    """Raise ``DataError`` where what ``data.folder`` names are shards, which are tables.

    Args:
        named: as the config says it.
        folder: what it is relative to.
    """
    place = folder / named
    suffixes = (path.suffix.lower() for path in walk_files(place))
    examples = {suffix for kind in FILE_KINDS.values() for suffix in kind.suffixes}
    first = next((suffix for suffix in suffixes if suffix == SHARD or suffix in examples), None)
    if first == SHARD or (not place.is_dir() and place.suffix.lower() == SHARD):
        raise DataError(
            "stands for archives of tar, which are read as shards of WebDataset: as tables",
            where=f"data.folder, {named}",
            remedy=f'Write manifest = "{named}" in its place, with image or audio (such as "jpg") and label (such as '
            '"cls"). Class folders that were packed as .tar are to be unpacked, or packed as .zip.',
        )


def expand_braces(pattern: str) -> list[str]:
    """Return the names that a pattern stands for, by what its braces hold: numbers from one to another, or words.

    Raises:
        DataError: numbers that go down, or too many names.

    >>> expand_braces("{a,b}-{08..10}.tar")
    ['a-08.tar', 'a-09.tar', 'a-10.tar', 'b-08.tar', 'b-09.tar', 'b-10.tar']
    """
    names = [pattern]
    while braces := _BRACES.search(names[0]):
        words = _list_braced(braces, pattern)
        if len(names) * len(words) > MOST_BRACED:
            raise DataError(f"its braces stand for more than {MOST_BRACED:,} names", where=pattern)
        start, end = braces.span()
        tail = len(names[0]) - end  # what follows is the same in all
        heads = [name[: len(name) - tail - (end - start)] for name in names]
        names = [f"{head}{word}{names[0][end:]}" for head in heads for word in words]
    return list(dict.fromkeys(names))


def _list_braced(braces: re.Match[str], pattern: str) -> Sequence[str]:
    first, last, words = braces.groups()
    if words is not None:
        return words.split(",")
    count = int(last) - int(first) + 1
    if not 0 < count <= MOST_BRACED:
        raise DataError(
            f"{braces[0]} stands for no numbers, or for more than {MOST_BRACED:,}",
            where=pattern,
            remedy="Write the lower number first: {000..009}.",
        )
    width = len(first) if first.startswith("0") or len(first) == len(last) else 0
    return [str(number).zfill(width) for number in range(int(first), int(last) + 1)]


def _match_paths(named: str, folder: Path) -> list[str]:
    """Return the paths, relative to a folder, that a pattern stands for; raises ``DataError`` where there is none."""
    names = [named] if not _BRACES.search(named) else expand_braces(named)
    matched: list[str] = []
    for name in names:
        if not glob.has_magic(name):
            matched.append(name)  # one that is absent is told by those who open it
            continue
        places = sorted(glob.glob(name, root_dir=folder, recursive=True))
        matched += [place for place in places if (folder / place).is_file()]
    if not matched:
        raise DataError("no file has such a name", where=named, remedy="The pattern is relative to the config.")
    return list(dict.fromkeys(matched))


def _match_urls(url: Url) -> list[_FoundFile]:
    """Return the files at a URL, a pattern of them, or in a folder; raises ``DataError`` where there is none."""
    patterns = [Url(url.protocol, path) for path in expand_braces(url.path)]
    places = [place for pattern in patterns for place in list_matching(pattern)]
    if places == [url] and not PurePosixPath(url.name).suffix:  # perhaps a folder, which stores do not tell from a file
        inside = [place for place in list_matching(url.join("**")) if _is_visible(place, url)]
        places = [place for place in inside if PurePosixPath(place.name).suffix.lower() in FOLDER_KINDS] or places
        _check_one_kind([place.name for place in places], str(url))
        return [_FoundFile(place, PurePosixPath(place.path)) for place in places]
    if not places:
        raise DataError("no file has such a name", where=str(url))
    return [_FoundFile(place, PurePosixPath(place.path)) for place in dict.fromkeys(places)]


def _is_visible(place: Url, folder: Url) -> bool:
    inside = PurePosixPath(place.path).relative_to(folder.path)
    return not any(part.startswith(("_", ".")) for part in inside.parts)


def _list_tables(place: Path, named: str) -> list[Path]:
    """Return the tables in a folder; none where other things lie in it; raises ``DataError``."""
    for log, kind in LOGS.items():
        if (place / log).is_dir() and (log != "metadata" or any((place / log).glob(ICEBERG))):
            raise DataError(
                f"is {kind}, whose log says which of its files count",
                where=named,
                remedy="Write its rows to a folder of their own as plain Parquet, and name that.",
            )
    visible = _list_visible(place)
    tables = [path for path in visible if path.suffix.lower() in FOLDER_KINDS]
    _check_one_kind([path.name for path in tables], named)
    if not visible:
        raise DataError(
            "is an empty folder", where=named, remedy="A folder of tables holds .parquet files, or .tar files."
        )
    return tables


def _check_one_kind(names: Iterable[str], named: str) -> None:
    kinds = {PurePosixPath(name).suffix.lower() for name in names} & {*FOLDER_KINDS}
    if len(kinds) > 1:
        raise DataError(
            f"holds files of {join_names(sorted(kinds))}",
            where=named,
            remedy=f"Name those that are meant by a pattern: {named}/**/*.parquet.",
        )


def _list_visible(place: Path) -> list[Path]:
    """Return the files in a folder, at any depth, sorted; without those that Spark and systems leave beside data."""
    paths = [path for path in walk_files(place) if not any(part[0] == "_" for part in path.relative_to(place).parts)]
    return sorted(paths, key=lambda path: path.relative_to(place).as_posix())


def _fixed_part(named: PurePosixPath) -> PurePosixPath:
    """Return the folders of a pattern before the first that says no single name; of a plain name, all."""
    return PurePosixPath(*takewhile(lambda part: not _SIGNS.search(part), named.parts))


def _build_files(
    files: Sequence[_FoundFile],
    fixed: PurePosixPath,
    split: str | None,
    layout: TextLayout,
    root: Path | Url | None,
) -> list[TableFile]:
    """Return files with the partitions that they are in, by the folders below the ``fixed`` part of their paths."""
    doubled = len({file.named.name for file in files}) < len(files)
    built = []
    for file in files:
        inside = file.named.relative_to(fixed).parts[:-1] if file.named != fixed else ()
        partitions = read_partitions(inside, file.named.as_posix())
        name = file.named.as_posix() if doubled or partitions else file.named.name
        outer = root
        if outer is None and partitions:
            outer = _ascend_folders(file.place, len(inside) + 1)
        path, origin = (copy_to_disk(file.place), file.place) if isinstance(file.place, Url) else (file.place, None)
        built.append(TableFile(path, name, split, layout, origin, outer, partitions))
    return built


def _ascend_folders(place: Path | Url, levels: int) -> Path | Url:
    for _ in range(levels):
        place = place.parent
    return place


def read_partitions(folders: Iterable[str], named: str) -> dict[str, str | None]:
    """Return column -> value, None for no value, that folders such as ``split=train`` say; of others nothing.

    Raises:
        DataError: two of the folders name one column.
    """
    partitions: dict[str, str | None] = {}
    for part in folders:
        key, sign, value = part.partition("=")
        if not sign or not key:
            continue
        column = unquote(key)
        if column in partitions:
            raise DataError(f"two of its folders say what {column!r} is", where=named)
        partitions[column] = None if value in (MISSING, "") else unquote(value)
    return partitions
