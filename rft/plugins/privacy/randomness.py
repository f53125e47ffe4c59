"""The two random streams of private training: which units a step samples, and the noise that it adds.

Both must be secret. torch's own generator would not do: on the CPU it keeps 32 bits of its seed, so that anyone can try
them all, and its float32 normals stop at 5.8 deviations. NumPy takes a seed of any length and draws in float64.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Literal

import numpy as np

Randomness = Literal["secret", "seeded"]
SEED_BITS = 128


@dataclass(frozen=True)
class Draws:
    """Independent generators of one fit, each PCG64: statistically sound, but no cryptographic generator."""

    sampling: np.random.Generator
    noise: np.random.Generator


def draws(randomness: Randomness, seed: int) -> Draws:
    """Return fresh generators: seeded by the operating system when ``secret``, by ``seed`` alone when ``seeded``."""
    entropy = secrets.randbits(SEED_BITS) if randomness == "secret" else seed
    sampling, noise = np.random.SeedSequence(entropy).spawn(2)
    return Draws(np.random.default_rng(sampling), np.random.default_rng(noise))
