"""An extraction that a cluster of Ray does: its actors write shards into the store, and no features come back.

Items go out as paths and URLs, texts and what lies within tables as they are. What comes back is which block is done.
"""

from __future__ import annotations

import logging
import os
import pickle
import secrets
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rft.errors import ConfigError, OutputError, ProcessLostError, RftError
from rft.features import store as shard_store
from rft.features.cluster.block_extractor import BlockExtractor, ClusterJob, build_block, name_software
from rft.features.extract import Extraction, missing_rows
from rft.features.store import Store
from rft.runtime.devices import device_memory
from rft.runtime.libraries import library_import
from rft.runtime.progress import track_progress

ENGINE, ACTORS, ADDRESS = "features.engine", "features.actors", "RAY_ADDRESS"
INSTALL = 'pip install "rft[ray]"'
CONNECT_SECONDS = 30.0
READER_CPUS = 1  # for the tasks of Ray Data that hand out blocks; without one to spare it waits for ever


def store_by_ray(
    works: Mapping[str, Extraction],
    digests: Mapping[str, np.ndarray],
    store: Store,
    *,
    dtype: str,
    memory: int | None,
    actors: int | None,
) -> None:
    """Have the actors of a cluster compute and store what is missing; return when all is stored.

    The cluster is the one that ``RAY_ADDRESS`` names; without it Ray is started on this machine.

    Args:
        works: of each split, what is run on which items.
        digests: of each split, (N * K,) of its rows.
        store: where features are kept: a folder that all machines reach, or one of each machine and a shared store.
        dtype, memory: as in ``extract_features``; ``memory`` is that of each actor.
        actors: how many hold the frozen part; None: as many as the cluster has room for.

    Raises:
        ConfigError: Ray is not installed, or the cluster is too small for so many actors.
        OutputError: the disk is full, or an actor does not reach the folder.
        ProcessLostError: the cluster cannot be reached, or an actor has ended.
        RftError: what else an actor cannot do.
    """
    stored = store.find_rows(digest for split in digests.values() for digest in split)
    known, ordered = set(stored.places), {}
    for name, split in digests.items():
        rows = missing_rows(split, known)  # an item of several splits is run in the first
        known.update(split[rows])
        ordered[name] = works[name].order_by_cost(rows)
    shares = [
        (name, range(start, min(start + shard_store.SHARD_ROWS, len(costed.rows))))
        for name, costed in ordered.items()
        for start in range(0, len(costed.rows), shard_store.SHARD_ROWS)
    ]
    if not shares:
        return
    accelerated = any(device_memory.is_accelerator(work.device) for work in works.values())
    with _connect_cluster() as ray, _leave_mark(store) as mark:
        count = min(count_actors(ray.cluster_resources(), actors, accelerated=accelerated), len(shares))
        job = ClusterJob(
            {name: replace(work, inputs=replace(work.inputs, splits={}), items=()) for name, work in works.items()},
            {name: costed.costs for name, costed in ordered.items()},
            {name: costed.usual for name, costed in ordered.items()},
            store,
            mark,
            dtype,
            memory,
            count,
            name_software(),
        )
        # One at a time, so that this process holds no more than a block of what lies within tables.
        blocks = [
            ray.put(build_block(works[name], digests[name], ordered[name], name, share)) for name, share in shares
        ]
        _run_blocks(ray, ray.put(job), blocks, count, accelerated=accelerated)


def count_actors(resources: Mapping[str, float], wanted: int | None, *, accelerated: bool) -> int:
    """Return how many actors hold the frozen part.

    Args:
        resources: of the whole cluster, as Ray counts them.
        wanted: how many the config asks for; None: as many as there is room for.
        accelerated: whether each takes a GPU beside its CPU.

    Raises:
        ConfigError: there is no room for them, so that Ray would wait for ever.
    """
    cpus, gpus = int(resources.get("CPU", 0)), int(resources.get("GPU", 0))
    room = min(cpus - READER_CPUS, gpus) if accelerated else cpus - READER_CPUS
    if room < (wanted or 1):
        said = f"{cpus} CPUs" + f" and {gpus} GPUs" * accelerated
        takes = "a CPU and a GPU" if accelerated else "a CPU"
        raise ConfigError(
            f"the cluster has {said}, and {wanted or 1} actors take {takes} each beside {READER_CPUS} CPU that hands "
            "out the data",
            where=ACTORS,
            remedy=f"Ask for {room} at most, or add machines." if room > 0 else "Add CPUs, or remove features.engine.",
        )
    return wanted or room


def _run_blocks(ray: Any, job: Any, blocks: Sequence[Any], actors: int, *, accelerated: bool) -> None:
    """Run blocks, given as references, on actors; raises what an actor refuses."""
    numbers = ray.data.from_items([{"block": number} for number in range(len(blocks))], override_num_blocks=len(blocks))
    done = numbers.map_batches(
        BlockExtractor,
        fn_constructor_kwargs={"job": [job], "blocks": list(blocks)},
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=actors),
        num_cpus=1,
        num_gpus=1 if accelerated else None,
    )
    for result in track_progress(done.iter_rows(), "Blocks by Ray", total=len(blocks)):
        if result["problem"]:
            raise pickle.loads(result["problem"])  # of an actor that this process has started


@contextmanager
def _connect_cluster() -> Iterator[Any]:
    """Connect to the cluster, or start one here, within this context; give the library."""
    with library_import("ray", error=ConfigError, where=ENGINE, install=INSTALL):
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
        import ray
        import ray.data
    for name in ("ray", "ray.data"):  # which tell every error with pages of traceback
        logging.getLogger(name).setLevel(logging.CRITICAL)
    ray.data.DataContext.get_current().enable_progress_bars = False
    is_ours = not ray.is_initialized()
    if is_ours:
        _start_ray(ray)
    try:
        yield ray
    except ray.exceptions.RayError as error:
        raise _explain_failure(getattr(error, "cause", None) or error) from error
    finally:
        if is_ours:
            ray.shutdown()


def _start_ray(ray: Any) -> None:
    """Connect this process to the cluster, or start one on this machine.

    Raises:
        ProcessLostError: it cannot be reached, or does not start.
        ConfigError: it is named by the address of a client, which Ray Data does not work through.
    """
    try:
        if address := os.environ.get(ADDRESS):
            _reach_address(address)
            ray.init(log_to_driver=False, logging_level=logging.CRITICAL)
        else:
            ray.init(log_to_driver=False, logging_level=logging.CRITICAL, include_dashboard=False)
    except RftError:
        raise
    except Exception as error:  # of Ray, of grpc, of the system: whatever keeps a cluster from being there
        raise _explain_failure(error) from error


def _reach_address(address: str) -> None:
    """Open a connection to a cluster and close it: Ray itself tries for many minutes where nobody answers."""
    if "://" in address:
        raise ConfigError(
            f"expected the address of a machine of the cluster, such as 10.0.0.1:6379, not {address}",
            where=ADDRESS,
            remedy="Run rft on a machine of the cluster.",
        )
    host, colon, port = address.rpartition(":")
    if colon and port.isdecimal():
        with socket.create_connection((host, int(port)), CONNECT_SECONDS):
            pass


def _explain_failure(error: BaseException) -> RftError:
    if isinstance(error, RftError):
        return error
    said = next(iter(str(error).splitlines()), "")
    return ProcessLostError(
        f"Ray failed: {type(error).__name__}: {said}",
        where=os.environ.get(ADDRESS) or ENGINE,
        remedy="Start again: features that were stored are used, and are not made anew.",
    )


@contextmanager
def _leave_mark(store: Store) -> Iterator[Path | None]:
    """Leave a file in the folder of a store within this context, by which others know it; none where it is shared."""
    if store.shared is not None:
        yield None
        return
    mark = store.folder.absolute() / f".{secrets.token_hex(8)}.partial"
    try:
        store.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        mark.touch()
    except OSError as error:
        raise OutputError(
            f"cannot keep features: {error.strerror}",
            where=str(store.folder),
            remedy="Make room there, or set RFT_CACHE to another folder.",
        ) from None
    try:
        yield mark
    finally:
        mark.unlink(missing_ok=True)
