"""Which keys of ``audit.toml`` hold paths. Each key says so where it is declared, in tables of a list too.

    patch: Annotated[str | None, PATH] = None

``PATH_OR_URL`` says that it may be a URL of an object store as well.

Reports show a path outside the config's folder by its base name alone, and plugins get theirs absolute.
"""

from __future__ import annotations

import os
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from rft.errors import ConfigError
from rft.runtime.remote.urls import Url, parse_url


@dataclass(frozen=True)
class _PathKey:
    """Marks a key that holds the path of a file or folder, relative to the config's folder.

    Attributes:
        takes_urls: whether it may hold the URL of a file on an object store as well.
    """

    takes_urls: bool = False


PATH: Final = _PathKey()
PATH_OR_URL: Final = _PathKey(takes_urls=True)
# What helps where a key that holds a path is given a URL.
INSTEAD_OF_URL = {
    "data.folder": "Name a table of the files with data.manifest, on the store, or shards of a .tar.",
}


def nested_tables(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models that an annotation is made of, in lists and alternatives too."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in typing.get_args(annotation):
        yield from nested_tables(part)


def list_urls(
    content: Any, table: type[BaseModel], where: str, name: str = ""
) -> tuple[dict[str, Url], list[ConfigError]]:
    """Return the URLs in a table of a config by the full names of their keys, and an error for each that is refused.

    Args:
        content: of the table, as TOML holds it.
        table: its model.
        where: the file, for errors.
        name: of the table; empty for the whole file.
    """
    urls: dict[str, Url] = {}
    refused: list[ConfigError] = []

    def note_url(key: str, path: str, takes_urls: bool) -> str:
        try:
            if (url := parse_url(path)) is not None and not takes_urls:
                raise ValueError("expected a path on this machine: no URL is read here")
        except ValueError as error:
            refused.append(ConfigError(f"{key}: {error}", where=where, remedy=INSTEAD_OF_URL.get(key)))
        else:
            urls.update({} if url is None else {key: url})
        return path

    _change_marked(content, table, note_url, name)
    return urls, refused


def absolute_path(path: str, folder: Path) -> Path:
    """Return the place of a path that is relative to a folder, or to the user's own where it begins with ``~``."""
    return folder / os.path.expanduser(path)


def change_paths(content: Any, table: type[BaseModel], change: Callable[[str, str], str], name: str = "") -> Any:
    """Return a table of a config, as TOML holds it, with each path in it changed; all else as it is, wrong or right.

    Args:
        content: of the table.
        table: its model, which says which keys hold paths.
        change: full name of the key and its path -> what stands in its place.
        name: of the table, ``attribution.shortcut.1``; empty for the whole file.
    """
    return _change_marked(content, table, lambda key, path, _: change(key, path), name)


def _change_marked(
    content: Any, table: type[BaseModel], change: Callable[[str, str, bool], str], name: str = ""
) -> Any:
    """Return what ``change_paths`` does; ``change`` is told, too, whether a key takes URLs."""
    if not isinstance(content, Mapping):
        return content
    changed = {}
    for key, value in content.items():
        path, field = f"{name}.{key}" if name else key, table.model_fields.get(key)
        inner = None if field is None else next(nested_tables(field.annotation), None)
        mark = None if field is None else next((part for part in field.metadata if isinstance(part, _PathKey)), None)
        if mark is not None and isinstance(value, str):
            value = change(path, value, mark.takes_urls)
        elif inner is not None and isinstance(value, list):
            value = [_change_marked(part, inner, change, f"{path}.{number}") for number, part in enumerate(value, 1)]
        elif inner is not None:
            value = _change_marked(value, inner, change, path)
        changed[key] = value
    return changed
