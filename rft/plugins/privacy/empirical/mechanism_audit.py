"""The audit of the mechanism: many trainings with a canary and as many without, by the trainer of the run.

The task is made up and small; the mechanism depends on n through the sampling rate, the steps, the noise, the clipping
norm and the divisor alone, and these are those of the run. Sampler, clipping and noise are the objects that trained.
Only the optimizer is another: it sees the noised gradient of each step, as the attacker of the accounting does, and
writes down the odds that the canary takes part. Nothing of it is released, no private example takes part.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from rft.backbones.classifier import Head
from rft.features import Dense
from rft.plugins.privacy.accounting.accountants import Mechanism
from rft.plugins.privacy.empirical.many_runs import RunScores
from rft.plugins.privacy.empirical.watched_steps import log_odds
from rft.plugins.privacy.training.trainer import DPTrainer
from rft.training import Fit, Job, Recipe, Task
from rft.training.privacy_facts import PrivacyFacts

OTHER_UNITS = 7  # units beside the canary
ROWS_OF_UNIT = 2  # examples of each where units are declared: their sum must be clipped, not each by itself
CANARY_AXIS = 1  # the axis that only the canary has; the others have axis 0
CANARY_LENGTH = 100.0  # times the clipping norm, roughly: how long the canary's gradient is before clipping
WRITTEN_SCALE = 1e-12  # of what is written into a head, so small that its predictions stay even
MAX_WATCHED_STEPS = (
    4000  # of a training that are watched: half the noise shows in 99 of 100 audits of 10,000 steps then
)


@dataclass(frozen=True, kw_only=True)
class LogOddsRecipe(Recipe):
    """A recipe that trains nothing and writes down what the noised gradients say about the canary.

    Attributes:
        noise_multiplier, sample_rate: as claimed.
        bound: largest contribution of a unit to a noised mean gradient: clipping norm over divisor.
    """

    noise_multiplier: float
    sample_rate: float
    bound: float

    def build_optimizer(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        """Return the optimizer over the weight and the bias of heads."""
        return _LogOddsRecorder(parameters, Mechanism(self.noise_multiplier, self.sample_rate, 1), self.bound)


class _LogOddsRecorder(torch.optim.Optimizer):
    def __init__(self, parameters: Sequence[nn.Parameter], claim: Mechanism, bound: float) -> None:
        super().__init__(parameters, {})
        self._claim, self._bound = claim, bound

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Add the log-odds of this step to the weight that the canary's class has on the canary's axis."""
        weight = self.param_groups[0]["params"][0]
        along = (weight.grad[..., 0, CANARY_AXIS] - weight.grad[..., 1, CANARY_AXIS]) / math.sqrt(2)
        seen = along.cpu().double().numpy() / self._bound
        weight[..., 1, CANARY_AXIS] += WRITTEN_SCALE * torch.from_numpy(log_odds(seen, self._claim)).to(weight)


def claimed_mechanism(facts: PrivacyFacts) -> Mechanism:
    """Return the mechanism of a private fit, with the steps of it that the audit watches."""
    return Mechanism(facts.noise_multiplier, facts.sample_rate, min(facts.steps, MAX_WATCHED_STEPS))


def audit_mechanism(
    trainer: DPTrainer, facts: PrivacyFacts, runs: int, *, seed: int = 0, device: str = "cpu"
) -> RunScores:
    """Train ``runs`` heads without the canary and as many with it, and return their scores.

    Args:
        trainer: the one of the run.
        facts: of its private fit.
        runs: on each side.
        seed: of the jobs; samples and noise follow from it where the trainer's randomness is ``seeded``.
        device: torch device name: that of the training, whose kernels are among what is audited.
    """
    pinned = replace(trainer.pin_parameters(facts), steps=claimed_mechanism(facts).steps)
    task = build_canary_task(facts, device)
    without, everybody = task.labels.numpy() == 0, np.ones(len(task.labels), dtype=bool)
    jobs = [Job(seed + number, members) for members in (without, everybody) for number in range(runs)]
    fits = pinned.fit(task, jobs)
    return RunScores(_written_scores(fits[:runs]), _written_scores(fits[runs:]))


def build_canary_task(facts: PrivacyFacts, device: str = "cpu") -> Task:
    """Return the task: a few units of class 0, and last the canary, the only one of class 1 and on its axis."""
    declared = facts.unit == "unit"
    rows = ROWS_OF_UNIT if declared else 1
    labels = torch.tensor([0] * OTHER_UNITS + [1]).repeat_interleave(rows)
    features = torch.zeros(len(labels), 2)
    features[labels == 0, 0] = 1.0
    features[labels == 1, CANARY_AXIS] = CANARY_LENGTH * max(1.0, facts.max_grad_norm)
    witness = LogOddsRecipe(
        epochs=1,
        optimizer="sgd",
        learning_rate=1.0,
        momentum=0.0,
        weight_decay=0.0,
        batch_size=len(labels),
        noise_multiplier=facts.noise_multiplier,
        sample_rate=facts.sample_rate,
        bound=facts.max_grad_norm / facts.divisor,
    )
    unit_ids = np.repeat([f"unit {number}" for number in range(OTHER_UNITS + 1)], rows)
    return Task(Dense(features), labels, unit_ids if declared else None, _even_head, witness, device)


def _even_head(seed: int) -> Head:
    """Return a head that gives both classes the same probability, so that the canary's gradient has its full length."""
    head = Head(2, 2)
    nn.init.zeros_(head.linear.weight)
    nn.init.zeros_(head.linear.bias)
    return head


def _written_scores(fits: Sequence[Fit]) -> np.ndarray:
    written: list[Tensor] = [fit.state["linear.weight"][1, CANARY_AXIS] for fit in fits]
    return torch.stack(written).double().numpy() / WRITTEN_SCALE
