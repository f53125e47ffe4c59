"""What a private training is recognised by, so that one that was interrupted goes on as itself or not at all.

Nothing is left out but what cannot change the result: where the ledger lies and what it allows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
from torch import Tensor

from rft.backbones.classifier import hash_tensors
from rft.plugins.privacy.training.mechanism_parameters import MechanismParameters
from rft.plugins.privacy.training.settings import DPSettings
from rft.training import Job, Task

LEDGER_KEYS = ("ledger", "overlaps", "budget", "charged")  # of a trainer: they say who pays, not what is trained


def training_identity(
    trainer: DPSettings,
    plans: Sequence[MechanismParameters],
    task: Task,
    jobs: Sequence[Job],
    start: Mapping[str, Tensor],
) -> str:
    """Return the hash of all that the result of a training follows from, but its secret random numbers.

    Args:
        trainer: what was asked for.
        plans: the public numbers of each of the H that are trained.
        task: the examples, by the identity of their features; their labels and units; the network; the recipe.
        jobs: seeds and members.
        start: the tensors that training starts from.
    """
    asked = {name: value for name, value in asdict(trainer).items() if name not in LEDGER_KEYS}
    unit_ids = task.units if task.population is None else task.population.unit_ids
    weights = None if task.class_weights is None else task.class_weights.tolist()
    members = [None if job.members is None else np.flatnonzero(job.members).tolist() for job in jobs]
    parts = [
        [asked, [asdict(plan) for plan in plans], asdict(task.recipe), weights, task.precision, task.objective.name],
        [task.features.identity, task.network, task.labels.tolist(), None if unit_ids is None else unit_ids.tolist()],
        [[job.seed for job in jobs], members, hash_tensors(start)],
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
