"""How many torch threads training uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import nn

MAX_SMALL_PARAMETERS = 200_000  # parameters: a head, and what is trained as fast as one


@contextmanager
def one_thread(device: str) -> Iterator[None]:
    """Use one torch thread on the CPU: many steps of small matrices are slower, by up to 60 times, with more."""
    threads = torch.get_num_threads()
    if device == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def is_small(suffix: nn.Module) -> bool:
    """Return whether a trained part is so small that one thread is enough for it."""
    return sum(parameter.numel() for parameter in suffix.parameters()) <= MAX_SMALL_PARAMETERS


def suitable_threads(suffix: nn.Module, device: str) -> AbstractContextManager[None]:
    """Use one torch thread for a small trained part on the CPU, and all of them for a large one."""
    return one_thread(device) if is_small(suffix) else nullcontext()
