"""Random numbers of torch that follow from a seed for a while, on the CPU and one device, and no others touched.

``torch.manual_seed`` reseeds every accelerator of the process, and ``torch.random.fork_rng`` gives back the state of
those alone that it is told of: dropout of somebody else's training would then go on from another place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor

Restore = Callable[[], object]


@contextmanager
def seeded_torch(seed: int, device: str = "cpu") -> Iterator[None]:
    """Draw from ``seed`` here, on the CPU and on ``device``, and put both back as they were."""
    restore: list[Restore] = [partial(torch.set_rng_state, torch.get_rng_state()), *_seed_device(seed, device)]
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        for put_back in restore:
            put_back()


def _seed_device(seed: int, device: str) -> list[Restore]:
    """Seed what draws on the device, and return what puts it back; on the CPU there is nothing else."""
    place = torch.device(device)
    if place.type == "cuda":
        torch.cuda.init()  # or there are no generators yet
        generator = torch.cuda.default_generators[torch.cuda.current_device() if place.index is None else place.index]
        state = generator.get_state()
        generator.manual_seed(seed)
        return [partial(generator.set_state, state)]
    if place.type == "mps":
        before: Tensor = torch.mps.get_rng_state()
        torch.mps.manual_seed(seed)
        return [partial(torch.mps.set_rng_state, before)]
    return []
