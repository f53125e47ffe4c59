"""Features on an object store, which several machines share: what is wanted comes into the cache of this machine.

The store holds the shards of the cache under the same names, ``<store>/features/<key>/<sha256>.safetensors``. An object
store has no locks, and needs none here: a name is the hash of the content, so that two who write one name write the
same bytes; an object is there as a whole or not at all; nothing is ever changed; and what was fetched counts only if it
has the hash that it is named after. Rows that two machines computed at the same time are there twice, which costs room.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rft.features import shards
from rft.runtime.progress import track_progress
from rft.runtime.remote.files import fetch_file, list_names, put_file, read_file, remove_file
from rft.runtime.remote.urls import Url

log = logging.getLogger("rft")

CONNECTIONS = 4  # shards that are under way at once, each on its way to the disk and not in memory
SHARD_NAME = re.compile(r"[0-9a-f]{64}\.safetensors")


@dataclass(frozen=True)
class Mirror:
    """The shards of one prefix on an object store."""

    url: Url

    def list_shards(self) -> list[str]:
        """Return the names of the shards that are there; raises ``RemoteError``."""
        return [name for name in list_names(self.url) if SHARD_NAME.fullmatch(name)]

    def fetch_shards(self, folder: Path, names: Sequence[str], missing: Collection[str]) -> list[Path]:
        """Fetch those of some shards that have rows which are missing here; return where they are now.

        A shard that is not what its name says is removed there, and a warning names it: its rows are computed again.

        Args:
            folder: of the shards of this prefix on this machine.
            names: of the shards that may be fetched.
            missing: the digests of the rows that are wanted and not here.

        Raises:
            RemoteError: the store cannot be reached, or refuses.
            OutputError: the disk is full.
        """
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            held = pool.map(lambda name: self._holds_any(name, missing), names)
            wanted = [name for name, holds in zip(names, held, strict=True) if holds]
            fetched = pool.map(lambda name: self._fetch_shard(folder / name), wanted)
            paths = list(track_progress(fetched, "Fetching features", total=len(wanted)))
        return [path for path in paths if path is not None]

    def put_shards(self, paths: Collection[Path]) -> None:
        """Put shards there; raises ``RemoteError``: they are still here then, and the next run puts them."""
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            list(pool.map(lambda path: put_file(path, self.url.join(path.name)), paths))

    def _holds_any(self, name: str, missing: Collection[str]) -> bool:
        """Tell whether a shard has any of some rows, from the two parts of it that say so."""
        url = self.url.join(name)
        try:
            place = shards.locate_items(read_file(url, 0, shards.HEADER_BYTES))
            if place is None:  # damaged, which fetching it shows
                return True
            return any(item in missing for item in shards.split_digests(read_file(url, *place)))
        except FileNotFoundError:  # another run found it damaged a moment ago
            return False

    def _fetch_shard(self, path: Path) -> Path | None:
        """Fetch a shard; None where it is damaged, and now removed, or gone."""
        url = self.url.join(path.name)
        try:
            fetch_file(url, path)
        except FileNotFoundError:
            return None
        if shards.is_whole(path):
            return path
        path.unlink()
        log.warning("the features in %s are damaged and are made again", url)
        remove_file(url)
        return None
