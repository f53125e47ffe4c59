"""The part that one of several processes takes in a training. Alone, each method gives back what it is given.

All processes draw the same batches from the same seed, and each computes the gradient of its part of every batch; the
parts are added up, so that all take the same step. Which rows are in a batch follows from the data alone, and the
result is that of one process up to the order in which numbers are added.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from rft.backbones.classifier import hash_tensors
from rft.errors import IntegrityError
from rft.runtime.ranks.group import RankGroup, describe_unlike

if TYPE_CHECKING:
    from rft.training import Task


@dataclass(frozen=True)
class TrainingShare:
    """This process's part of a training; what adds up, shares or checks is called by all processes together.

    Attributes:
        ranks: the processes that share it; None: this one trains alone.
    """

    ranks: RankGroup | None = None

    @property
    def size(self) -> int:
        """How many processes take part."""
        return 1 if self.ranks is None else self.ranks.place.size

    @property
    def rank(self) -> int:
        """The number of this one, from 0 on."""
        return 0 if self.ranks is None else self.ranks.place.rank

    @property
    def leads(self) -> bool:
        """Whether this is the process that draws secret numbers, and keeps the ledger."""
        return self.rank == 0

    def slice_rows(self, count: int) -> slice:
        """Return which of ``count`` rows are this process's: as many as the others have, or one less; maybe none."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def spread_seed(self, seed: int) -> int:
        """Return a seed of this process's own for dropout, whose masks would otherwise be the same in all parts."""
        if self.leads:
            return seed
        return int(np.random.SeedSequence([seed, self.rank]).generate_state(1, np.uint64)[0] >> np.uint64(1))

    def select_units(self, units: np.ndarray) -> np.ndarray:
        """Return which of (L,) units are this process's; maybe none."""
        return units[self.rank :: self.size]

    def connect_network(self, network: nn.Module) -> nn.Module:
        """Return the network as it is to be run: each backward pass then leaves the mean gradient of all processes."""
        if self.ranks is None:
            return network
        with (
            warnings.catch_warnings()
        ):  # nothing is sent at the start, nor buffers: no network is shared that moves them
            warnings.filterwarnings("ignore", message="`broadcast_buffers` is deprecated", category=FutureWarning)
            return nn.parallel.DistributedDataParallel(network, broadcast_buffers=False, init_sync=False)

    def sum_number(self, number: float) -> float:
        """Return the sum of the numbers of all processes."""
        if self.ranks is None:
            return number
        (total,) = self.ranks.sum_tensors([torch.tensor(number, dtype=torch.float64)])
        return float(total)

    def sum_tensors(self, tensors: list[Tensor]) -> list[Tensor]:
        """Return the sums of the tensors of all processes, the same to the last bit in each."""
        return tensors if self.ranks is None else self.ranks.sum_tensors(tensors)

    def share_numbers(self, numbers: np.ndarray) -> np.ndarray:
        """Return the (M,) int64 numbers of process 0."""
        return numbers if self.ranks is None else self.ranks.share_numbers([numbers])[0]

    def share_tensors(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return the named tensors of process 0, on the CPU; what the others give does not matter."""
        if self.ranks is None:
            return tensors
        return safetensors.torch.load(self.ranks.share_bytes(safetensors.torch.save(dict(tensors))))

    def check_same_start(self, task: Task, parameters: Sequence[nn.Parameter]) -> None:
        """Raise ``DataError`` where a process has other examples, another recipe or another network than process 0."""
        if self.ranks is None:
            return
        weights = None if task.class_weights is None else task.class_weights.tolist()
        parts = [
            task.features.identity,
            task.labels.tolist(),
            asdict(task.recipe),
            weights,
            _hash_parameters(parameters),
        ]
        digest = hashlib.sha256(json.dumps(parts).encode()).digest()
        if unlike := self.ranks.list_unlike(digest):
            raise describe_unlike(unlike, "other examples, another recipe, or another model,")

    def check_same_result(self, parameters: Sequence[nn.Parameter]) -> None:
        """Raise ``IntegrityError`` where the processes did not all take the same steps."""
        if self.ranks is None:
            return
        if unlike := self.ranks.list_unlike(_hash_parameters(parameters).encode()):
            raise IntegrityError(
                f"process {', '.join(map(str, unlike))} trained other weights than process 0",
                where="torchrun",
                remedy="Start all processes on the same kind of machine, with the same versions of libraries.",
            )

    def part(self) -> None:
        """Return when training is over for all: process 0 goes on alone."""
        if self.ranks is not None:
            self.ranks.part()


ALONE = TrainingShare()


def _hash_parameters(parameters: Sequence[nn.Parameter]) -> str:
    return hash_tensors({str(number): parameter.detach() for number, parameter in enumerate(parameters)})
