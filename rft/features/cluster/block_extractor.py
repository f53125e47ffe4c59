"""What an actor of a cluster does: it holds the frozen part, runs blocks of rows, and stores their shards.

Blocks are those of ``rft.features.shared_extraction``: which batches they are run in follows from what is missing, so
that on CPUs the shards are those that one process would have written. Nothing here knows of Ray but how a reference to
a block becomes that block.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rft.data.file_source import EmbeddedFile
from rft.data.items import select_items
from rft.errors import ConfigError, OutputError, RftError
from rft.features.extract import CostedRows, Extraction, Storage, store_rows
from rft.features.store import Store, StoredRows
from rft.runtime.allocator import keep_freed_memory
from rft.runtime.cache_folder import cache_folder
from rft.runtime.float32 import ieee_float32
from rft.version import __version__


@dataclass(frozen=True)
class ClusterJob:
    """What all actors need.

    Attributes:
        works: of each split, what is run; without its items.
        costs, usual: of each split, as in ``CostedRows``.
        store: as the caller has it.
        mark: a file that the caller has put into the folder of the store; None where the store is a shared one.
        dtype, memory: as in ``extract_features``.
        actors: how many there are.
        software: versions of the caller, as ``name_software`` gives them.
    """

    works: Mapping[str, Extraction]
    costs: Mapping[str, np.ndarray]
    usual: Mapping[str, int]
    store: Store
    mark: Path | None
    dtype: str
    memory: int | None
    actors: int
    software: str


@dataclass(frozen=True)
class RowBlock:
    """Rows of a split that are run together.

    Attributes:
        split: its name.
        share: which of the missing rows they are.
        items: (R,) of each row its item.
        views: (R,) of each row which of its views, int64.
        digests: (R,) of each row.
    """

    split: str
    share: range
    items: Sequence[Any]
    views: np.ndarray
    digests: np.ndarray


@dataclass(frozen=True)
class HeldBytes:
    """The bytes of one file, which were read out of a table or an archive."""

    content: bytes

    def read_bytes(self, row: int) -> bytes:
        """Return the bytes."""
        return self.content


def name_software() -> str:
    """Return the versions that features depend on."""
    return f"rft {__version__}, torch {torch.__version__}, Python {platform.python_version()}"


def build_block(work: Extraction, digests: np.ndarray, ordered: CostedRows, split: str, share: range) -> RowBlock:
    """Return a share of the (M,) ordered rows of a split; what lies within a table or an archive is read for it."""
    rows = ordered.rows[share.start : share.stop]
    items = [_detach_item(item) for item in select_items(work.items, rows // work.views)]
    return RowBlock(split, share, items, rows % work.views, digests[rows])


def run_block(job: ClusterJob, block: RowBlock) -> None:
    """Compute and store the rows of a block; raises as ``extract_features``."""
    work = job.works[block.split]
    # Rows are numbered anew: as if each had an item of its own, of which it is one view.
    numbers = np.arange(len(block.items)) * work.views + block.views
    rows = np.zeros(len(job.costs[block.split]), np.int64)
    rows[block.share.start : block.share.stop] = numbers
    digests = np.empty(len(block.items) * work.views, object)
    digests[numbers] = block.digests
    ordered = CostedRows(rows, job.costs[block.split], job.usual[block.split])
    storage = Storage(job.store, StoredRows(), job.dtype, job.memory, job.actors)
    with ieee_float32():
        store_rows(replace(work, items=list(block.items)), storage, "Features", digests, ordered, block.share)


class BlockExtractor:
    """An actor.

    It gives problems as text, and raises nothing: what Ray makes of an exception of a constructor is to start anew.

    Args:
        job: a reference to a ``ClusterJob``, in a list.
        blocks: references to each ``RowBlock``.
    """

    def __init__(self, job: list[Any], blocks: list[Any]) -> None:
        self._reference, self._blocks = job[0], blocks
        self._job: ClusterJob | None = None

    def __call__(self, batch: Mapping[str, np.ndarray]) -> dict[str, list[Any]]:
        """Run the blocks of these (B,) numbers; return of each what is wrong, empty where it is stored."""
        return {"problem": [self._attempt_block(int(number)) for number in batch["block"]]}

    def _attempt_block(self, number: int) -> bytes:
        import pickle

        import ray

        try:
            if self._job is None:
                self._job = _prepare_job(ray.get(self._reference))
            run_block(self._job, ray.get(self._blocks[number]))
        except RftError as problem:
            return pickle.dumps(problem)
        return b""


def _prepare_job(job: ClusterJob) -> ClusterJob:
    """Return the job with the store as this machine reaches it; raises where its shards would be others, or lost."""
    keep_freed_memory()
    if (here := name_software()) != job.software:
        raise ConfigError(
            f"a machine of the cluster has {here}, and this one {job.software}",
            where="features.engine",
            remedy="Install the same versions on all machines.",
        )
    if job.store.shared is not None:
        return replace(job, store=replace(job.store, folder=cache_folder()))
    if job.mark is None or not job.mark.exists():
        raise OutputError(
            "a machine of the cluster does not see what this one writes there",
            where=str(job.store.folder),
            remedy="Set RFT_CACHE to a folder that all machines share, or features.store to a URL.",
        )
    return job


def _detach_item(item: Any) -> Any:
    """Return an item as another machine can read it: files stay where they are, and all else comes along."""
    if isinstance(item, EmbeddedFile):
        return EmbeddedFile(item.name, HeldBytes(item.read_bytes()), 0)
    return item.absolute() if isinstance(item, Path) else item
