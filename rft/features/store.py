"""Features on disk, found by content.

A folder holds the features that one frozen prefix gives in one precision; its name is their common hash. In it, a
shard is a file with some rows and the sha256 of the item each row came from. A shard is named after its own sha256
and written beside and renamed, so that it is whole or absent: an interrupted extraction keeps what it finished, runs
at the same time do not disturb each other, and a damaged shard is noticed and made again. Shards that were found whole
are not read again while the system shows no change (``rft.features.verified``), and while anything refers to what was
found, the folder counts as in use (``rft.features.cache_lock``).
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import numpy as np

from rft.errors import ConfigError, OutputError
from rft.features import shards, verified
from rft.features.cache_lock import FolderLock, hold_shared
from rft.features.mirror import Mirror
from rft.runtime.remote.urls import Url

log = logging.getLogger("rft")

SHARD_ROWS = 256  # how much an interruption can cost, and what processes that share an extraction share out

Place = tuple[int, int]  # the number of a shard, and of a row in it


def describe_unwritable(folder: Path, error: OSError) -> OutputError:
    """Return the error of a folder that features cannot be written to, from what the system says."""
    return OutputError(
        f"cannot keep features: {error.strerror}",
        where=str(folder),
        remedy="Make room there, or set RFT_CACHE to another folder.",
    )


@dataclass
class StoredRows:
    """Which of the wanted rows are stored.

    Attributes:
        paths: the shards that hold any of them.
        places: digest -> where its row is.
        layout: how the rows of all these shards are shaped; None while there are none.
        lock: keeps others from removing these shards.
    """

    paths: list[Path] = field(default_factory=list)
    places: dict[str, Place] = field(default_factory=dict)
    layout: shards.Layout | None = None
    lock: FolderLock | None = None

    def note_shard(self, path: Path, layout: shards.Layout, rows: Iterable[tuple[int, str]]) -> None:
        """Note a shard and those of its rows, with their digests, that are wanted and not noted yet."""
        new = {digest: (len(self.paths), number) for number, digest in rows if digest not in self.places}
        if new:
            self.check(layout, path.parent)
            self.layout = layout
            self.paths.append(path)
            self.places |= new

    def check(self, layout: shards.Layout, folder: Path) -> None:
        """Raise ``ConfigError`` for rows that cannot stand beside those that were found."""
        if self.layout not in (None, layout):
            raise ConfigError(
                f"cached features are {self.layout} where this backbone gives {layout}",
                where=str(folder),
                remedy="Remove that folder and run again: the features are then made anew.",
            )


@dataclass(frozen=True)
class Store:
    """The shards of one prefix.

    Attributes:
        folder: of the cache on this machine.
        key: a hex digest over everything but the items that the features depend on.
        shared: the URL of a store that several machines share, which has the same shards; None without one.
    """

    folder: Path
    key: str
    shared: Url | None = None

    @property
    def _shards(self) -> Path:
        return self.folder / "features" / self.key

    @property
    def _remote_mirror(self) -> Mirror | None:
        return None if self.shared is None else Mirror(self.shared.join("features", self.key))

    def _make_folders(self) -> None:
        for place in (self.folder, self._shards.parent, self._shards):
            place.mkdir(mode=0o700, parents=True, exist_ok=True)

    @contextmanager
    def _refuse_full_disks(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise describe_unwritable(self.folder, error) from None

    def find_rows(self, digests: Iterable[str]) -> StoredRows:
        """Return where the features of these items are; what is not in it is not stored, or was damaged.

        Raises:
            RemoteError: the shared store cannot be reached, or refuses.
            OutputError: the disk is full.
        """
        wanted = set(digests)
        stored = StoredRows(lock=hold_shared(self.folder, self.key))
        whole = find_whole_shards(self._shards)
        _note_shards(stored, whole, wanted)
        if self._remote_mirror is not None:
            names = set(self._remote_mirror.list_shards())
            # Of what lies here, only what holds wanted rows: other data may have been run through the same prefix.
            self._remote_mirror.put_shards([path for path in stored.paths if path.name not in names])
            if missing := wanted - stored.places.keys():
                with self._refuse_full_disks():
                    self._make_folders()
                elsewhere = sorted(names - {path.name for path in whole})
                _note_shards(stored, self._remote_mirror.fetch_shards(self._shards, elsewhere, missing), wanted)
        return stored

    def write(self, stored: StoredRows, digests: list[str], rows: list[np.ndarray], *, ragged: bool) -> None:
        """Add a shard and note it in ``stored``.

        Args:
            stored: what is stored already, which the new rows must be like.
            digests: of the item of each row.
            rows: the features of each item, of one shape; ``ragged``: of one shape but for their length, (T, ...).

        Raises:
            OutputError: when it cannot be written; whatever was stored before still stands.
            RemoteError: when it cannot be put on the shared store; it is stored here then.
            ConfigError: when what is stored has another shape.
        """
        layout = shards.Layout(rows[0].shape[1:] if ragged else rows[0].shape, ragged)
        stored.check(layout, self._shards)
        content = shards.encode_shard(digests, rows, ragged=ragged)
        path = self._shards / f"{hashlib.sha256(content).hexdigest()}.safetensors"
        temporary = self._shards / f".{secrets.token_hex(8)}.partial"
        try:
            with self._refuse_full_disks():
                self._make_folders()
                with temporary.open("xb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.rename(path)
        finally:
            temporary.unlink(missing_ok=True)
        stored.note_shard(path, layout, enumerate(digests))
        if self._remote_mirror is not None:
            self._remote_mirror.put_shards([path])

    def open_shards(self, stored: StoredRows, *, mapped: bool) -> list[shards.Shard]:
        """Return the shards that were found, in memory or mapped."""
        return [shards.open_shard(path, mapped=mapped, lock=stored.lock) for path in stored.paths]


def _note_shards(stored: StoredRows, paths: Iterable[Path], wanted: Collection[str]) -> None:
    """Note the rows of some shards that are wanted and not noted yet."""
    for path in paths:
        items, layout = shards.read_index(path)
        stored.note_shard(path, layout, ((row, item) for row, item in enumerate(items) if item in wanted))


def find_whole_shards(folder: Path, *, reread: bool = False) -> list[Path]:
    """Return the shards of a folder, sorted; those that are damaged are removed, and a warning names them.

    Args:
        folder: where the shards of one prefix lie.
        reread: read those again, too, that were found whole before and have not changed since.
    """
    known = {} if reread else verified.read_verified(folder)
    whole, settled = [], {}
    for path in sorted(folder.glob("*.safetensors")):
        try:
            stamp = verified.stamp_file(path)
            is_known = known.get(path.name) == stamp
            if not is_known and not shards.is_whole(path):
                log.warning("the cached features in %s are damaged and are made again", path.name)
                path.unlink(missing_ok=True)
                continue
        except FileNotFoundError:  # another run found it damaged a moment ago
            continue
        whole.append(path)
        if not is_known and verified.is_settled(stamp):
            settled[path.name] = stamp
    if settled:
        verified.note_verified(folder, settled)
    return whole


class Writer:
    """Collects rows and writes them to the store, a shard at a time.

    Args:
        store, found: where to, and what is there already.
        dtype: float32 or float16.
        limit: bytes after which a shard is written.
    """

    def __init__(self, store: Store, stored: StoredRows, dtype: np.dtype, limit: int) -> None:
        self._store, self._found, self._dtype, self._limit = store, stored, dtype, limit
        self._digests: list[str] = []
        self._rows: list[np.ndarray] = []
        self._ragged, self._added = False, 0

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None:
            self._write_shard()

    def add_row(self, digest: str, row: np.ndarray, *, ragged: bool) -> None:
        """Add features of an item, (...) or (T, ...) float32; raises ``ConfigError`` for what float16 cannot hold."""
        largest, limit = float(np.abs(row).max(initial=0)), float(np.finfo(self._dtype).max)
        if largest > limit:
            raise ConfigError(
                f"a feature of {largest:.3g} is more than {self._dtype} holds, {limit:,.0f}",
                where="model.cache",
                remedy='Set model.cache = "float32".',
            )
        self._digests.append(digest)
        self._rows.append(np.array(row, self._dtype))  # a copy, so that the batch it is part of can go
        self._ragged = ragged
        self._added += 1  # a block ends a shard even if its rows took several, so that none depends on another block
        if self._added % SHARD_ROWS == 0 or sum(row.nbytes for row in self._rows) >= self._limit:
            self._write_shard()

    def _write_shard(self) -> None:
        if self._rows:
            self._store.write(self._found, self._digests, self._rows, ragged=self._ragged)
            self._digests, self._rows = [], []
