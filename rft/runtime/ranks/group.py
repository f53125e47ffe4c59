"""The processes of an audit, connected by gloo: how they wait for each other and what they tell each other.

Whoever waits looks for signals meanwhile, and hears at once that a process has ended: the system closes its
connections, ``kill -9`` included. Without torchrun nothing here imports torch.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from rft.errors import ProcessLostError
from rft.runtime.ranks.place import RankPlace

if TYPE_CHECKING:
    import numpy as np
    from torch._C._distributed_c10d import Store, Work

JOIN_SECONDS = 300.0  # until all processes have come
LEAVE_SECONDS = 60.0  # until process 0 has noticed that all is done
PAUSE = 0.02  # seconds between two looks
LONGEST_WAIT = timedelta(days=30)  # of gloo: how long an extraction takes is no sign of a process that has ended


@dataclass(frozen=True)
class RankGroup:
    """The processes of an audit, connected.

    Attributes:
        place: which of them this is.
        board: where each reads what the others wrote.
    """

    place: RankPlace
    board: Store

    def wait_for_all(self) -> None:
        """Return when every process has come here; raises ``ProcessLostError`` where one has ended."""
        import torch.distributed as dist

        _finish(dist.barrier(async_op=True))

    def gather_bytes(self, content: bytes) -> list[bytes]:
        """Return what each process gave, in the order of their numbers; all give as many bytes."""
        import torch
        import torch.distributed as dist

        given = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        gathered = [torch.empty_like(given) for _ in range(self.place.size)]
        _finish(dist.all_gather(gathered, given, async_op=True))
        return [tensor.numpy().tobytes() for tensor in gathered]

    def share_numbers(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the (M,) int64 arrays of process 0; the others give as many arrays, whose content does not matter."""
        import numpy as np
        import torch
        import torch.distributed as dist

        sizes = torch.tensor([len(array) for array in arrays], dtype=torch.int64)
        _finish(dist.broadcast(sizes, 0, async_op=True))
        joined = torch.empty(int(sizes.sum()), dtype=torch.int64)
        if self.place.leads:
            joined = torch.from_numpy(np.concatenate([*arrays, np.empty(0, np.int64)]))
        _finish(dist.broadcast(joined, 0, async_op=True))
        return [part.numpy() for part in joined.split(sizes.tolist())]

    def is_first_to_fail(self) -> bool:
        """Tell, when this process fails, whether no other one did before: that one says what is wrong."""
        try:
            return int(self.board.add("failed", 1)) == 1
        except RuntimeError:  # torchrun itself has ended, and whoever fails now may be the only one that can say it
            return True

    def part(self) -> None:
        """Return when every process has come here and process 0 knows it: the others may end now."""
        self.wait_for_all()
        if self.place.leads:
            self.board.set("over", "yes")
        else:  # its end would be taken for a loss by a process 0 that still waits
            _poll(lambda: self.board.check(["over"]), LEAVE_SECONDS)


_group: ContextVar[RankGroup | None] = ContextVar("ranks", default=None)


def current_ranks() -> RankGroup | None:
    """Return the processes that share this audit; None where this one does it alone."""
    return _group.get()


@contextmanager
def join_ranks(place: RankPlace | None) -> Iterator[RankGroup | None]:
    """Connect the processes, and share the cores among those of a machine, within this context.

    Raises:
        ProcessLostError: not all of them came.
    """
    if place is None:
        yield None
        return
    import torch.distributed as dist

    group = _connect(place)
    _share_cores(place)
    token = _group.set(group)
    try:
        yield group
    finally:
        _group.reset(token)
    dist.destroy_process_group()


def choose_rank_device(place: RankPlace, wanted: str | None) -> str | None:
    """Return the device of this process: the GPU of its number on its machine, where GPUs are wanted or chosen."""
    import torch

    has_own = wanted == "cuda" or (wanted is None and torch.cuda.device_count() > 0)
    return f"cuda:{place.local_rank}" if has_own else wanted


def count_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _connect(place: RankPlace) -> RankGroup:
    import torch.distributed as dist
    from torch._C._distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    try:
        store, _, _ = next(rendezvous("env://", timeout=timedelta(seconds=JOIN_SECONDS)))
        store = PrefixStore("rft", store)
        store.add("come", 1)
        if not _poll(lambda: int(store.add("come", 0)) == place.size, JOIN_SECONDS):
            come = int(store.add("come", 0))
            raise _lost(f"{place.size - come} of {place.size} processes did not start within {JOIN_SECONDS:g} seconds")
        dist.init_process_group("gloo", store=store, rank=place.rank, world_size=place.size, timeout=LONGEST_WAIT)
    except (RuntimeError, ValueError) as error:  # torch's errors of networks are RuntimeErrors
        raise _lost(f"the processes cannot be connected: {str(error).splitlines()[0]}") from error
    return RankGroup(place, store)


def _share_cores(place: RankPlace) -> None:
    import torch

    torch.set_num_threads(max(1, count_cores() // place.local_size))


def _poll(holds: Callable[[], bool], seconds: float) -> bool:
    """Return whether something holds before the time is over."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(PAUSE)
    return True


def _finish(work: Work | None) -> None:
    assert work is not None  # it is for processes that are no part of the group
    try:
        while not work.is_completed():  # and not wait(): signals are heeded between two looks alone
            time.sleep(PAUSE)
        work.wait()
    except RuntimeError as error:
        raise _lost("another process of this audit has ended") from error


def _lost(what: str) -> ProcessLostError:
    return ProcessLostError(what, remedy="Start again: features that were stored are used, and are not made anew.")
