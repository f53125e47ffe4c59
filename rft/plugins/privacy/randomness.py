"""The random streams of private training: which units a step samples, the noise that it adds, and dropout.

All must be secret. Samples and noise do not come from torch: on the CPU its generator keeps 32 bits of its seed, so
that anyone can try them all, and its float32 normals stop at 5.8 deviations. NumPy takes a seed of any length and draws
in float64. Dropout does come from torch. Its masks go by the place in a batch: to someone who knew them, one unit more
would change the gradients of all behind it and not only add its own.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

Randomness = Literal["secret", "seeded"]
SEED_BITS = 128


@dataclass(frozen=True)
class Draws:
    """Independent generators of one fit, each PCG64: statistically sound, but no cryptographic generator.

    ``dropout`` is a seed for torch's.
    """

    sampling: np.random.Generator
    noise: np.random.Generator
    dropout: int


def draws(randomness: Randomness, seed: int) -> Draws:
    """Return fresh generators: seeded by the operating system when ``secret``, by ``seed`` alone when ``seeded``."""
    entropy = secrets.randbits(SEED_BITS) if randomness == "secret" else seed
    sampling, noise, dropout = np.random.SeedSequence(entropy).spawn(3)
    seed_of_torch = int(dropout.generate_state(1, np.uint64)[0])
    return Draws(np.random.default_rng(sampling), np.random.default_rng(noise), seed_of_torch)


@contextmanager
def own_chance(device: str, seed: int) -> Iterator[None]:
    """Seed torch's random numbers here, and leave them to others as they were."""
    with torch.random.fork_rng(devices=[torch.device(device)] if device.startswith("cuda") else []):
        torch.manual_seed(seed)
        yield
