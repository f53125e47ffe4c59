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
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

Randomness = Literal["secret", "seeded"]
UNIFORM_RESOLUTION = 2.0**-53  # distance of neighbouring uniforms


class RandomSource(Protocol):
    """Random numbers in float64."""

    def draw_uniforms(self, *shape: int) -> np.ndarray:
        """Return independent uniforms in (0, 1], of this shape and 53 random bits each."""

    def draw_normals(self, *shape: int) -> np.ndarray:
        """Return independent standard normals of this shape."""


@dataclass(frozen=True)
class SecretSource:
    """Draws from the operating system; nothing is kept that the numbers could be found out from."""

    def draw_uniforms(self, *shape: int) -> np.ndarray:
        """Return uniforms of this shape and 53 random bits each."""
        words = np.frombuffer(os.urandom(8 * math.prod(shape)), dtype=np.uint64)
        return ((words >> np.uint64(11)) + 0.5).reshape(shape) * UNIFORM_RESOLUTION

    def draw_normals(self, *shape: int) -> np.ndarray:
        """Return normals by the method of Box and Muller 1958, two from two uniforms; the largest possible is 8.6."""
        count = math.prod(shape)
        radius, angle = self.draw_uniforms(2, (count + 1) // 2)
        radius, angle = np.sqrt(-2 * np.log(radius)), 2 * np.pi * angle
        return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count].reshape(shape)


@dataclass(frozen=True)
class SeededSource:
    """Draws from PCG64, which repeats with its seed: for tests, and for shadow models that nobody releases."""

    generator: np.random.Generator

    def draw_uniforms(self, *shape: int) -> np.ndarray:
        """Return uniforms of this shape and 53 random bits each."""
        return self.generator.random(shape) + UNIFORM_RESOLUTION / 2

    def draw_normals(self, *shape: int) -> np.ndarray:
        """Return normals of this shape by NumPy's ziggurat."""
        return self.generator.standard_normal(shape)


@dataclass(frozen=True)
class RandomStreams:
    """The random numbers of one fit: two sources that know nothing of each other, and a seed for torch's dropout."""

    sampling: RandomSource
    noise: RandomSource
    dropout: int


def random_streams(randomness: Randomness, seed: int) -> RandomStreams:
    """Return fresh sources: of the operating system when ``secret``, from ``seed`` alone when ``seeded``."""
    if randomness == "secret":
        return RandomStreams(SecretSource(), SecretSource(), secrets.randbits(63))
    sampling, noise, dropout = np.random.SeedSequence(seed).spawn(3)
    seed_of_torch = int(dropout.generate_state(1, np.uint64)[0] >> np.uint64(1))
    return RandomStreams(
        SeededSource(np.random.default_rng(sampling)), SeededSource(np.random.default_rng(noise)), seed_of_torch
    )
