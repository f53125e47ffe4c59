"""What is asked of a private training, before any number is derived from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rft.plugins.privacy.training.randomness import Randomness


@dataclass(frozen=True)
class DPSettings:
    """What is asked of a private training.

    Attributes:
        epsilon: what training may spend, > 0.
        delta: in (0, 1); by default min(1e-5, 1 / (10 n)) for n units.
        max_grad_norm: bound on the gradient of one unit in a step, > 0.
        noise_multiplier: by default the least that keeps to epsilon.
        sample_rate: probability that a unit takes part in a step; by default batch_size / n, at most 1.
        steps: by default epochs / sample_rate, rounded.
        divisor: what a noised sum is divided by; by default the expected number of units in a step.
        method: ``sgd``, or ``least_squares`` for a linear head.
        randomness: ``secret`` draws from the operating system; ``seeded`` repeats, and protects nobody who can
            be attacked by someone who knows the seed.
        ledger: folder of the ledger; None: the user's.
        overlaps: other populations that share people with the task's.
        budget: epsilon that a population may lose in all, or None.
        charged: whether spending goes to the ledger of the task's population; not so for what is never released.
        repeats: whether the numbers are those of another fit, whose units were others (see ``pin_parameters``).
    """

    epsilon: float
    delta: float | None = None
    max_grad_norm: float = 1.0
    noise_multiplier: float | None = None
    sample_rate: float | None = None
    steps: int | None = None
    divisor: float | None = None
    method: Literal["sgd", "least_squares"] = "sgd"
    randomness: Randomness = "secret"
    ledger: str | None = None
    overlaps: tuple[str, ...] = ()
    budget: float | None = None
    charged: bool = True
    repeats: bool = False
