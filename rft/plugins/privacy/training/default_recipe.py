"""What ``[train]`` leaves open when training is private, filled in from the number of units, which is public.

Each step gets as much noise whatever it learns, so that few steps with many units in each do best. AdamW divides a step
by its usual size, which is mostly noise here and follows from public numbers, so that one learning rate suits few units
and many. ``benchmarks/defaults.py`` holds the numbers against a grid of settings.
"""

from __future__ import annotations

import math

from rft.config.tables.train import TrainConfig
from rft.training import Recipe, Workload
from rft.training.default_recipes import LAYERS, Defaults

HEAD_STEPS = 100  # of the default recipe of a head, at least
MIN_HEAD_EPOCHS = 10
MAX_HEAD_BATCH = 4096  # units: the features of a step are gathered at once
HEAD_LEARNING_RATE = 0.36  # over the length sqrt(D) of a row: 0.01 for 1,280 features


def choose_private_recipe(asked: TrainConfig, workload: Workload) -> Recipe:
    """Return the recipe of a private training.

    Args:
        asked: ``[train]``; what it gives stands.
        workload: a head is trained by AdamW, layers, adapters and biases by SGD, where no optimizer is asked for.
    """
    optimizer = asked.optimizer or ("sgd" if workload.head_dimension is None else "adamw")
    defaults = LAYERS[optimizer]
    if workload.head_dimension is not None and optimizer == "adamw":
        defaults = _size_head_defaults(asked, workload.units, workload.head_dimension)
    return defaults.complete(asked, optimizer, workload.examples)


def _size_head_defaults(asked: TrainConfig, units: int, dimension: int) -> Defaults:
    """Return the defaults of a head: batches of half of the units, up to a number, and as many epochs as steps take."""
    batch_size = asked.batch_size or min(-(-units // 2), MAX_HEAD_BATCH)
    epochs = max(MIN_HEAD_EPOCHS, round(HEAD_STEPS * min(1.0, batch_size / units)))
    learning_rate = float(f"{HEAD_LEARNING_RATE / math.sqrt(dimension):.2g}")
    return Defaults(epochs, learning_rate, batch_size)
