"""Paths and names as they may be stored: without what they tell of this machine."""

from __future__ import annotations

from pathlib import Path

from rft.runtime.remote.urls import parse_url


def stored_path(path: str | Path, folder: Path) -> str:
    """Return ``path`` as it may be stored: relative to the config's folder, or its base name when it lies outside.

    A URL of an object store stays: it tells nothing of this machine, and holds no password (``parse_url``).
    """
    url = parse_url(str(path))
    if url is not None and not url.is_local:
        return str(url)
    path = path if url is None else url.path
    absolute = (folder / path).resolve()
    if absolute.is_relative_to(folder.resolve()):
        return absolute.relative_to(folder.resolve()).as_posix()
    return absolute.name


def stored_backbone(backbone: str, folder: Path) -> str:
    """Return ``library/name`` as it may be stored: a name that is a folder of this machine is cut like any path."""
    library, _, name = backbone.partition("/")
    if library == "transformers" and not name.startswith("package:") and (folder / name).is_dir():
        return f"{library}/{stored_path(name, folder)}"
    return backbone
