"""The audit in one run: a canary model is trained with made-up examples, each put in by a fair coin, and attacked.

Steinke, Nasr and Jagielski 2023, NeurIPS, algorithm 1. The canary model sees the private examples as well: it is
charged like any training, and never released. How many guesses are made is fixed by public numbers beforehand.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.optimize import brentq
from scipy.special import ndtr

from rft.errors import Unavailable
from rft.features import Dense
from rft.features.columns import join_features
from rft.plugins.privacy.accounting.accountants import Mechanism
from rft.plugins.privacy.empirical.bounds import Guesses, one_run_bound
from rft.plugins.privacy.training.trainer import DPTrainer, fit_together
from rft.training import Fit, Job, Task, Trainer, trained_state
from rft.training.linear_heads import compute_logits
from rft.training.privacy_facts import PrivacyFacts

MIN_CANARIES = 20
CANARY_LENGTH = 10.0  # times the clipping norm, at least: so long is a canary
GUESS_SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)  # of the canaries, that may be guessed about
SHIFT_WITHOUT_NOISE = 4.0  # deviations by which a canary is expected to stand out of a training that is not private


@dataclass(frozen=True)
class OneRunAudit:
    """What came out of a canary model.

    Attributes:
        guesses: how many, and how many were right.
        scores: (m,) of the canaries, larger where the model seems to have learned one.
        inside: (m,) bool, which of them were in training.
        fit: the canary model; only its facts may leave the audit.
    """

    guesses: Guesses
    scores: np.ndarray
    inside: np.ndarray
    fit: Fit


def audit_canary_model(
    trainer: Trainer, task: Task, facts: PrivacyFacts | None, canaries: int, delta: float, *, seed: int
) -> OneRunAudit:
    """Train a canary model and guess which of them it has seen.

    Args:
        trainer: the one of the run; a private one trains by the public numbers of the facts, and is charged.
        task: of the run.
        facts: of its fit; None where that was not private.
        canaries: how many, at least 20.
        delta: that the number of guesses is best for.
        seed: of canaries and initial weights; the coins follow from it only where randomness is ``seeded``.

    Raises:
        Unavailable: the trained part reads something else than one vector or map of numbers an example.
        RftError: the ledger does not allow it, or training failed.
    """
    features, labels = make_canaries(
        task, canaries, seed, shortest=CANARY_LENGTH * (facts.max_grad_norm if facts else 0.0)
    )
    secret = facts is None or facts.randomness != "seeded"
    inside = np.random.default_rng(None if secret else [seed, 1]).random(canaries) < 0.5
    everybody = np.ones(len(task.labels), dtype=bool)
    job = Job(seed, np.concatenate([everybody, inside]))
    fit = _train_canary_model(trainer, _add_canaries(task, features, labels), facts, job)
    scores = _canary_scores(task, fit, job, features, labels)
    count = planned_guesses(canaries, expected_shift(facts), delta)
    return OneRunAudit(guess_membership(scores, inside, count), scores, inside, fit)


def make_canaries(task: Task, count: int, seed: int, *, shortest: float) -> tuple[Dense, torch.Tensor]:
    """Return features of random direction and labels drawn evenly; they depend on the shape of the task's alone.

    A row of D numbers has a length of about sqrt(D), or ``shortest`` where that is more.
    """
    batch = task.features.batch([0])
    column = batch.get("features")
    if len(batch) > 1 or column is None or not column.is_floating_point():
        raise Unavailable("canaries are made up for trained parts that read one vector or map of numbers an example")
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        classes = task.new_suffix(seed)(batch).shape[1]
    features = torch.randn(count, *column.shape[1:], generator=random)
    features *= max(1.0, shortest / math.sqrt(column[0].numel()))
    views = task.features.views
    return Dense(features.repeat_interleave(views, dim=0), views), torch.randint(classes, (count,), generator=random)


def expected_shift(facts: PrivacyFacts | None) -> float:
    """Return by how many deviations of the noise a canary moves the weights along its own direction, at most."""
    if facts is None:
        return SHIFT_WITHOUT_NOISE
    claim = Mechanism(facts.noise_multiplier, facts.sample_rate, facts.steps)
    variance = claim.noise_multiplier**2 + claim.sample_rate * (1 - claim.sample_rate)
    return claim.sample_rate * math.sqrt(claim.steps / variance)


def planned_guesses(canaries: int, shift: float, delta: float) -> int:
    """Return the even number of guesses that promises most if scores are N(shift, 1) inside and N(0, 1) outside."""
    counts = {max(2, 2 * round(share * canaries / 2)) for share in GUESS_SHARES}
    return max(sorted(counts), key=lambda count: _expected_bound(canaries, min(count, canaries // 2 * 2), shift, delta))


def guess_membership(scores: np.ndarray, inside: np.ndarray, count: int) -> Guesses:
    """Guess that the highest half of ``count`` scores are of canaries inside, and the lowest half of ones outside."""
    order = np.argsort(scores, kind="stable")
    half = count // 2
    right = int((~inside[order[:half]]).sum() + inside[order[len(order) - half :]].sum())
    return Guesses(len(scores), 2 * half, right)


def _expected_bound(canaries: int, count: int, shift: float, delta: float) -> float:
    share = count / canaries / 2  # on either side
    above = brentq(lambda cut: (ndtr(-cut - shift / 2) + ndtr(-cut + shift / 2)) / 2 - share, -1e-9, 40 + shift)
    right = ndtr(shift / 2 - above) / (2 * share)
    return one_run_bound(Guesses(canaries, count, int(count * min(1.0, right))), delta)


def _add_canaries(task: Task, features: Dense, labels: torch.Tensor) -> Task:
    """Return the task with the canaries behind the examples, each a unit of its own."""
    names = np.array([f"rft canary {number}" for number in range(len(labels))], dtype=object)
    units = None if task.units is None else np.concatenate([np.asarray(task.units, dtype=object), names])
    return replace(
        task, features=join_features([task.features, features]), labels=torch.cat([task.labels, labels]), units=units
    )


def _train_canary_model(trainer: Trainer, task: Task, facts: PrivacyFacts | None, job: Job) -> Fit:
    if isinstance(trainer, DPTrainer) and facts is not None:
        charged = replace(trainer.pin_parameters(facts), charged=True)
        return fit_together([charged], task, [job], purpose="canaries")[0]
    return trainer.fit(task, [job])[0]


def _canary_scores(task: Task, fit: Fit, job: Job, features: Dense, labels: torch.Tensor) -> np.ndarray:
    """Return by how much training raised the logit of each canary's label over the mean of all its logits."""
    start = Fit(trained_state(task.new_suffix(job.seed)))
    before, after = (_label_margins(scores, labels) for scores in compute_logits(task, [start, fit], features))
    raised: np.ndarray = after - before
    return raised


def _label_margins(logits: np.ndarray, labels: Sequence[int] | torch.Tensor) -> np.ndarray:
    margins: np.ndarray = logits[np.arange(len(logits)), np.asarray(labels)] - logits.mean(axis=1)
    return margins
