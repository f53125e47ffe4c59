"""What the cache of features holds, whether it is whole, and room in place of what was used long ago."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rft.errors import OutputError
from rft.features.cache_lock import hold_exclusive, hold_shared, lock_file
from rft.features.store import find_whole_shards


@dataclass(frozen=True)
class CachedPrefix:
    """The features of one frozen part of a model, in one precision, of any examples.

    Attributes:
        key: the hash that they are kept under.
        folder: where.
        files: how many shards.
        size: bytes on disk, all files counted.
        last_used: seconds since 1970 when an audit last began to use them.
    """

    key: str
    folder: Path
    files: int
    size: int
    last_used: float


@dataclass(frozen=True)
class Pruned:
    """What ``prune_cache`` did: which features it removed, which were in use, and the bytes that are left."""

    removed: list[CachedPrefix]
    in_use: list[CachedPrefix]
    size: int


def list_cached_prefixes(root: Path) -> list[CachedPrefix]:
    """Return what a cache holds, the last used first."""
    folders = [folder for folder in (root / "features").glob("*") if folder.is_dir()]
    prefixes = [_describe_folder(root, folder) for folder in folders]
    return sorted(prefixes, key=lambda prefix: (-prefix.last_used, prefix.key))


def verify_cache(root: Path) -> Iterator[tuple[CachedPrefix, list[str]]]:
    """Read all shards to the last byte; yield the features of each key with the names of damaged shards.

    Damaged shards are removed: the next audit that needs their rows computes them again.
    """
    for prefix in list_cached_prefixes(root):
        lock = hold_shared(root, prefix.key)
        before = {path.name for path in prefix.folder.glob("*.safetensors")}
        whole = {path.name for path in find_whole_shards(prefix.folder, reread=True)}
        yield prefix, sorted(before - whole)
        if lock is not None:
            lock.release()


def prune_cache(root: Path, most: int) -> Pruned:
    """Remove the features that were used longest ago until at most ``most`` bytes are left.

    What a running audit uses is never removed, so that more may be left.

    Raises:
        OutputError: locks do not work here, or a file cannot be removed.
    """
    prefixes = list_cached_prefixes(root)
    size = sum(prefix.size for prefix in prefixes)
    removed, in_use = [], []
    for prefix in reversed(prefixes):
        if size <= most:
            break
        lock = hold_exclusive(root, prefix.key)
        if lock is None:
            in_use.append(prefix)
            continue
        try:
            shutil.rmtree(prefix.folder)
        except OSError as error:
            raise OutputError(f"cannot be removed: {error.strerror}", where=str(prefix.folder)) from None
        finally:
            lock.release()
        removed.append(prefix)
        size -= prefix.size
    return Pruned(removed, in_use, size)


def _describe_folder(root: Path, folder: Path) -> CachedPrefix:
    sizes = {}
    for path in folder.iterdir():
        try:
            sizes[path.name] = path.stat().st_size
        except FileNotFoundError:  # another run has renamed or removed it
            continue
    lock = lock_file(root, folder.name)
    used = (lock if lock.exists() else folder).stat().st_mtime
    files = sum(name.endswith(".safetensors") for name in sizes)
    return CachedPrefix(folder.name, folder, files, sum(sizes.values()), used)
