"""The processes of an audit, connected by gloo: how they wait for each other and what they tell each other.

Whoever waits looks for signals meanwhile, and hears at once that a process has ended: the system closes its
connections, ``kill -9`` included. Without torchrun nothing here imports torch.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from rft.errors import DataError
from rft.runtime.interruption import end_silently
from rft.runtime.ranks.place import RankPlace
from rft.runtime.ranks.waiting import describe_loss, finish_work, poll_condition

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor
    from torch._C._distributed_c10d import Store

JOIN_SECONDS = 300.0  # until all processes have come
LEAVE_SECONDS = 60.0  # until process 0 has noticed that all is done
LONGEST_WAIT = timedelta(days=30)  # of gloo: how long an extraction takes is no sign of a process that has ended


@dataclass(frozen=True)
class RankGroup:
    """The processes of an audit, connected.

    Attributes:
        place: which of them this is.
        board: where each reads what the others wrote.
        threads: of torch in this process, before the cores were shared out.
    """

    place: RankPlace
    board: Store
    threads: int

    def wait_for_all(self) -> None:
        """Return when every process has come here; raises ``ProcessLostError`` where one has ended."""
        import torch.distributed as dist

        finish_work(dist.barrier(async_op=True))

    def gather_bytes(self, content: bytes) -> list[bytes]:
        """Return what each process gave, in the order of their numbers; all give as many bytes."""
        import torch
        import torch.distributed as dist

        given = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        gathered = [torch.empty_like(given) for _ in range(self.place.size)]
        finish_work(dist.all_gather(gathered, given, async_op=True))
        return [tensor.numpy().tobytes() for tensor in gathered]

    def share_numbers(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the (M,) int64 arrays of process 0; the others give as many arrays, whose content does not matter."""
        import numpy as np
        import torch
        import torch.distributed as dist

        sizes = torch.tensor([len(array) for array in arrays], dtype=torch.int64)
        finish_work(dist.broadcast(sizes, 0, async_op=True))
        joined = torch.empty(int(sizes.sum()), dtype=torch.int64)
        if self.place.leads:
            joined = torch.from_numpy(np.concatenate([*arrays, np.empty(0, np.int64)]))
        finish_work(dist.broadcast(joined, 0, async_op=True))
        return [part.numpy() for part in joined.split(sizes.tolist())]

    def share_bytes(self, content: bytes) -> bytes:
        """Return the bytes of process 0; what the others give does not matter."""
        import numpy as np

        (numbers,) = self.share_numbers([np.frombuffer(content, np.uint8).astype(np.int64)])
        return numbers.astype(np.uint8).tobytes()

    def sum_tensors(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return the sums of the tensors of all processes, the same to the last bit in each; all give equal shapes."""
        import torch
        import torch.distributed as dist

        joined = torch.cat([tensor.reshape(-1) for tensor in tensors])
        finish_work(dist.all_reduce(joined, async_op=True))
        parts = joined.split([tensor.numel() for tensor in tensors])
        return [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)]

    def list_unlike(self, digest: bytes) -> list[int]:
        """Return the numbers of the processes that gave another digest than process 0."""
        digests = self.gather_bytes(digest)
        return [rank for rank, given in enumerate(digests) if given != digests[0]]

    def is_first_to_fail(self) -> bool:
        """Tell, when this process fails, whether no other one did before: that one says what is wrong."""
        try:
            return int(self.board.add("failed", 1)) == 1
        except RuntimeError:  # torchrun itself has ended, and whoever fails now may be the only one that can say it
            return True

    def part(self) -> None:
        """Return when every process has come here and process 0 knows it: the others may end now.

        Process 0 goes on with the cores that all had.
        """
        import torch

        self.wait_for_all()
        if self.place.leads:
            self.board.set("over", "yes")
            torch.set_num_threads(self.threads)
        else:  # its end would be taken for a loss by a process 0 that still waits
            poll_condition(self._is_over, LEAVE_SECONDS)

    def _is_over(self) -> bool:
        try:
            return bool(self.board.check(["over"]))
        except RuntimeError:  # the board ended with process 0, which waits for nobody then
            return True


def describe_unlike(unlike: Sequence[int], what: str) -> DataError:
    """Return the error of processes that have something else than process 0."""
    return DataError(
        f"process {', '.join(map(str, unlike))} has {what} than process 0",
        where="torchrun",
        remedy="Give all machines the same config, data, weights and versions of libraries.",
    )


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

    with end_silently():  # torchrun ends this process when another one did not get as far, and said why
        group = _connect_processes(place)
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

    takes_gpu = wanted == "cuda" or (wanted is None and torch.cuda.device_count() > 0)
    return f"cuda:{place.local_rank}" if takes_gpu else wanted


def count_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _connect_processes(place: RankPlace) -> RankGroup:
    import torch
    import torch.distributed as dist
    from torch._C._distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    try:
        store, _, _ = next(rendezvous("env://", timeout=timedelta(seconds=JOIN_SECONDS)))
        store = PrefixStore("rft", store)
        store.add("come", 1)
        if not poll_condition(lambda: int(store.add("come", 0)) == place.size, JOIN_SECONDS):
            come = int(store.add("come", 0))
            raise describe_loss(
                f"{place.size - come} of {place.size} processes did not start within {JOIN_SECONDS:g} seconds"
            )
        dist.init_process_group("gloo", store=store, rank=place.rank, world_size=place.size, timeout=LONGEST_WAIT)
    except (RuntimeError, ValueError) as error:  # torch's errors of networks are RuntimeErrors
        raise describe_loss(f"the processes cannot be connected: {str(error).splitlines()[0]}") from error
    return RankGroup(place, store, torch.get_num_threads())


def _share_cores(place: RankPlace) -> None:
    import torch

    torch.set_num_threads(max(1, count_cores() // place.local_size))
