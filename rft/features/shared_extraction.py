"""An extraction that several processes share: each runs blocks of rows and stores them as ordinary shards.

A block is what fills a shard. Which batches it is run in follows from the items that are missing, not from who runs it,
so that on a CPU the shards are those that one process would have written, to the last bit.
"""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from rft.errors import OutputError
from rft.features import store as shard_store
from rft.features.extract import Extraction, Storage, missing_rows, store_rows
from rft.features.store import Store, StoredRows, describe_unwritable
from rft.runtime.ranks.group import RankGroup, describe_unlike

log = logging.getLogger("rft")


def store_shares(
    ranks: RankGroup,
    works: Mapping[str, Extraction],
    digests: Mapping[str, np.ndarray],
    store: Store,
    *,
    dtype: str,
    memory: int | None,
) -> None:
    """Compute and store what is missing, each process its share; return when all is stored.

    Args:
        ranks: the processes.
        works: of each split, what is run on which items.
        digests: of each split, (N * K,) of its rows.
        store: where features are kept: a folder that all processes reach, or one of each machine and a shared store.
        dtype, memory: as in ``extract_features``.

    Raises:
        DataError: the processes read other items, or have another model.
        OutputError: the disk is full, or a process does not reach the folder of the others.
        ProcessLostError: a process has ended.
    """
    _check_same_work(ranks, store, digests)
    stored = store.find_rows(digest for split in digests.values() for digest in split)
    missing = dict(zip(works, ranks.share_numbers(_list_missing(digests, stored)), strict=True))
    if any(map(len, missing.values())):
        _store_missing(ranks, works, digests, missing, Storage(store, stored, dtype, memory, ranks.place.local_size))
    ranks.wait_for_all()


def _store_missing(
    ranks: RankGroup,
    works: Mapping[str, Extraction],
    digests: Mapping[str, np.ndarray],
    missing: Mapping[str, np.ndarray],
    storage: Storage,
) -> None:
    """Compute and store this process's share of the (M,) rows of each split that are missing."""
    if storage.store.shared is None:
        _check_same_folder(ranks, storage.store)
    ordered = {name: work.order_by_cost(missing[name]) for name, work in works.items()}
    shares = share_rows([rows.costs for rows in ordered.values()], ranks.place.size, shard_store.SHARD_ROWS)
    idle = sum(not any(map(len, share)) for share in shares)
    if idle and ranks.place.leads:
        log.warning(
            "%d of %d processes have nothing to extract: examples are shared out by the %d",
            idle,
            ranks.place.size,
            shard_store.SHARD_ROWS,
        )
    for name, share in zip(works, shares[ranks.place.rank], strict=True):
        if share:
            store_rows(works[name], storage, f"Features of {name}", digests[name], ordered[name], share)


def share_rows(costs: Sequence[np.ndarray], processes: int, block: int) -> list[list[range]]:
    """Return for each process which rows of each split it runs: whole blocks in a row that cost about the same.

    Args:
        costs: of each split, (M,) costs of its rows in the order in which they are run.
        processes: how many share them.
        block: rows of a block; the last of a split may have fewer.
    """
    blocks = [
        (split, range(start, min(start + block, len(split_costs))))
        for split, split_costs in enumerate(costs)
        for start in range(0, len(split_costs), block)
    ]
    totals = np.cumsum([0, *(int(costs[split][rows.start : rows.stop].sum()) for split, rows in blocks)])
    cuts = [int(np.abs(totals - totals[-1] * process / processes).argmin()) for process in range(processes)]
    return [
        [_join_blocks([rows for number, rows in blocks[start:stop] if number == split]) for split in range(len(costs))]
        for start, stop in pairwise([*cuts, len(blocks)])
    ]


def _join_blocks(blocks: Sequence[range]) -> range:
    return range(blocks[0].start, blocks[-1].stop) if blocks else range(0)


def _list_missing(digests: Mapping[str, np.ndarray], stored: StoredRows) -> list[np.ndarray]:
    """Return of each split (M,) the rows that are not stored; an item of several splits is run in the first."""
    known, missing = set(stored.places), []
    for split in digests.values():
        rows = missing_rows(split, known)
        known.update(split[rows])
        missing.append(rows)
    return missing


def _check_same_work(ranks: RankGroup, store: Store, digests: Mapping[str, np.ndarray]) -> None:
    parts = [store.key, *([name, split.tolist()] for name, split in digests.items())]
    here = hashlib.sha256(json.dumps(parts).encode()).digest()
    if unlike := ranks.list_unlike(here):
        raise describe_unlike(unlike, "other items, or another model,")


def _check_same_folder(ranks: RankGroup, store: Store) -> None:
    """Raise ``OutputError`` where what process 0 writes is not what the others see."""
    name = ranks.gather_bytes(secrets.token_hex(8).encode())[0].decode()
    mark, problem = store.folder / f".{name}.partial", b"0"
    try:
        if ranks.place.leads:
            store.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            mark.touch()
        ranks.wait_for_all()
        sees = ranks.gather_bytes(b"1" if mark.exists() else problem)
    except OSError as error:
        raise describe_unwritable(store.folder, error) from None
    finally:
        if ranks.place.leads:
            mark.unlink(missing_ok=True)
    if blind := [str(rank) for rank, seen in enumerate(sees) if seen == problem]:
        raise OutputError(
            f"process {', '.join(blind)} does not see what process 0 writes there",
            where=str(store.folder),
            remedy="Set RFT_CACHE to a folder that all processes share.",
        )
