"""Where the random numbers of private training come from: which units a step samples, its noise, and dropout.

All must be secret, and for as long as the model lives. Samples and noise are made from bytes of the operating system's
cryptographic generator, each used once; in float64, since float32 normals stop at 5.8 deviations. Dropout does come
from torch. Its masks go by the place in a batch: to someone who knew them, one unit more would change the gradients of
all behind it and not only add its own.

No accelerator draws the noise: torch's generator on a GPU is Philox with a seed of 64 bits, which is no cryptographic
one, and whoever found the seed out could take all noise off again. The bytes come from the operating system whatever
the device; where the device has float64 it makes normals of them, which is most of the work.

Attacks on the floating-point representation of noise (Mironov 2012, CCS) are not covered.
"""

from __future__ import annotations

import math
import os
import secrets
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

Randomness = Literal["secret", "seeded"]
UNIFORM_BITS = 53
UNIFORM_RESOLUTION = 2.0**-UNIFORM_BITS  # distance of neighbouring uniforms


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
        normals: np.ndarray = self.draw_normals_on(torch.device("cpu"), *shape).numpy()
        return normals

    def draw_normals_on(self, device: torch.device, *shape: int) -> Tensor:
        """Return the same as float64 tensor on a device: the bytes are the operating system's, the rest is its work."""
        count = math.prod(shape)
        drawn = np.frombuffer(bytearray(os.urandom(8 * 2 * ((count + 1) // 2))), dtype=np.int64)
        words = torch.from_numpy(drawn).to(device).bitwise_and_(2**UNIFORM_BITS - 1)
        radius, angle = words.double().add_(0.5).mul_(UNIFORM_RESOLUTION).view(2, -1)
        radius, angle = radius.log_().mul_(-2).sqrt_(), angle.mul_(2 * math.pi)
        return torch.cat([radius * angle.cos(), radius * angle.sin()])[:count].view(shape)


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


def draw_normals_on(source: RandomSource, device: torch.device, *shape: int) -> Tensor:
    """Return independent standard normals of this shape, float64: on the device, or on the CPU where that is MPS."""
    place = torch.device("cpu") if device.type == "mps" else device  # MPS has no float64
    if isinstance(source, SecretSource):
        return source.draw_normals_on(place, *shape)
    return torch.from_numpy(source.draw_normals(*shape)).to(place)


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
