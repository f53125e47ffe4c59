"""Where the random numbers of private training come from: which units a step samples, its noise, and dropout.

All must be secret, and for as long as the model lives. Samples and noise are made from bytes of the operating system's
cryptographic generator, each used once; in float64, since float32 normals stop at 5.8 deviations. Dropout does come
from torch. Its masks go by the place in a batch: to someone who knew them, one unit more would change the gradients of
all behind it and not only add its own.

Attacks on the floating-point representation of noise (Mironov 2012, CCS) are not covered.
"""

from __future__ import annotations

import math
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch

Randomness = Literal["secret", "seeded"]
RESOLUTION = 2.0**-53  # distance of neighbouring uniforms


class Source(Protocol):
    """Random numbers in float64."""

    def uniforms(self, *shape: int) -> np.ndarray:
        """Return independent uniforms in (0, 1], of 53 random bits each."""

    def normals(self, *shape: int) -> np.ndarray:
        """Return independent standard normals."""


@dataclass(frozen=True)
class Secret:
    """Draws from the operating system; nothing is kept that the numbers could be found out from."""

    def uniforms(self, *shape: int) -> np.ndarray:
        """Return uniforms of 53 random bits each."""
        words = np.frombuffer(os.urandom(8 * math.prod(shape)), dtype=np.uint64)
        return ((words >> np.uint64(11)) + 0.5).reshape(shape) * RESOLUTION

    def normals(self, *shape: int) -> np.ndarray:
        """Return normals by the method of Box and Muller 1958, two from two uniforms; the largest possible is 8.6."""
        count = math.prod(shape)
        radius, angle = self.uniforms(2, (count + 1) // 2)
        radius, angle = np.sqrt(-2 * np.log(radius)), 2 * np.pi * angle
        return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count].reshape(shape)


@dataclass(frozen=True)
class Seeded:
    """Draws from PCG64, which repeats with its seed: for tests, and for shadow models that nobody releases."""

    generator: np.random.Generator

    def uniforms(self, *shape: int) -> np.ndarray:
        """Return uniforms of 53 random bits each."""
        return self.generator.random(shape) + RESOLUTION / 2

    def normals(self, *shape: int) -> np.ndarray:
        """Return normals by NumPy's ziggurat."""
        return self.generator.standard_normal(shape)


@dataclass(frozen=True)
class Draws:
    """The random numbers of one fit: two sources that know nothing of each other, and a seed for torch's dropout."""

    sampling: Source
    noise: Source
    dropout: int


def draws(randomness: Randomness, seed: int) -> Draws:
    """Return fresh sources: of the operating system when ``secret``, from ``seed`` alone when ``seeded``."""
    if randomness == "secret":
        return Draws(Secret(), Secret(), secrets.randbits(63))
    sampling, noise, dropout = np.random.SeedSequence(seed).spawn(3)
    seed_of_torch = int(dropout.generate_state(1, np.uint64)[0] >> np.uint64(1))
    return Draws(Seeded(np.random.default_rng(sampling)), Seeded(np.random.default_rng(noise)), seed_of_torch)


@contextmanager
def own_chance(device: str, seed: int) -> Iterator[None]:
    """Seed torch's random numbers here, and leave them to others as they were."""
    with torch.random.fork_rng(devices=[torch.device(device)] if device.startswith("cuda") else []):
        torch.manual_seed(seed)
        yield
