"""Features on disk, found by content.

A folder holds the features that one frozen prefix gives in one precision; its name is their common hash. In it, a
shard is a safetensors file with some rows and the sha256 of the item each row came from. A shard is named after its
own sha256 and written beside and renamed, so that it is whole or absent: an interrupted extraction keeps what it
finished, runs at the same time do not disturb each other, and a damaged shard is noticed and made again.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from rft.errors import OutputError


def cache_folder() -> Path:
    """Return where features are kept: ``$RFT_CACHE``, else ``rft`` in the user's cache folder."""
    own = os.environ.get("RFT_CACHE")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rft"


@dataclass(frozen=True)
class Store:
    """The shards of one prefix. ``key`` is a hex digest over everything but the items that the features depend on."""

    folder: Path
    key: str

    @property
    def _shards(self) -> Path:
        return self.folder / "features" / self.key

    def read(self, digests: np.ndarray) -> dict[str, np.ndarray]:
        """Return item digest -> (D,) float32 features for those of ``digests`` that are stored."""
        wanted = set(digests)
        found: dict[str, np.ndarray] = {}
        for path in sorted(self._shards.glob("*.safetensors")):
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() != path.stem:  # safetensors itself accepts flipped bits
                warnings.warn(f"the cached features in {path.name} are damaged and are made again", stacklevel=2)
                path.unlink(missing_ok=True)
                continue
            shard = load_tensors(content)
            for item, row in zip(shard["items"], shard["features"], strict=True):
                if (digest := item.tobytes().hex()) in wanted:
                    found[digest] = row
        return found

    def write(self, digests: np.ndarray, features: np.ndarray) -> None:
        """Add a shard with (N,) item digests and their (N, D) float32 features; raises ``OutputError``."""
        items = np.stack([np.frombuffer(bytes.fromhex(digest), np.uint8) for digest in digests])
        content = save_tensors({"items": items, "features": np.ascontiguousarray(features, np.float32)})
        temporary = self._shards / f".{secrets.token_hex(8)}.partial"
        try:
            for place in (self.folder, self._shards.parent, self._shards):
                place.mkdir(mode=0o700, parents=True, exist_ok=True)
            with temporary.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(self._shards / f"{hashlib.sha256(content).hexdigest()}.safetensors")
        except OSError as error:
            raise OutputError(
                f"cannot keep features: {error.strerror}",
                where=str(self.folder),
                remedy="Make room there, or set RFT_CACHE to another folder.",
            ) from None
        finally:
            temporary.unlink(missing_ok=True)
