"""Which keys of ``audit.toml`` hold paths. Each key says so where it is declared, in tables of a list too.

    patch: Annotated[str | None, PATH] = None

Reports show a path outside the config's folder by its base name alone, and plugins get theirs absolute.
"""

from __future__ import annotations

import os
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel


class _PathKey:
    """Marks a key that holds the path of a file or folder, relative to the config's folder."""


PATH: Final = _PathKey()


def nested_tables(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models that an annotation is made of, in lists and alternatives too."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in typing.get_args(annotation):
        yield from nested_tables(part)


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
    if not isinstance(content, Mapping):
        return content
    changed = {}
    for key, value in content.items():
        path, field = f"{name}.{key}" if name else key, table.model_fields.get(key)
        inner = None if field is None else next(nested_tables(field.annotation), None)
        if field is not None and PATH in field.metadata and isinstance(value, str):
            value = change(path, value)
        elif inner is not None and isinstance(value, list):
            value = [change_paths(part, inner, change, f"{path}.{number}") for number, part in enumerate(value, 1)]
        elif inner is not None:
            value = change_paths(value, inner, change, path)
        changed[key] = value
    return changed
