"""What ``[train]`` leaves open when training is not private, filled in from public numbers and never from the data.

A head on frozen features is a convex problem, so that training it until it converges is cheap: its default is AdamW
with a learning rate that falls to 0, for as many steps as that takes. Its rows are scaled to one length
(``Config.row_norm``), which gives the features of every backbone one scale, and so one learning rate to all.
``benchmarks/defaults.py`` shows what the numbers reach beside a tuned logistic regression.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rft.config.tables.train import TrainConfig
from rft.training import Recipe, Workload

HEAD_STEPS = 1500  # of the default recipe of a head, at least
MIN_HEAD_EPOCHS, MAX_HEAD_EPOCHS = 10, 500  # many examples are seen several times; few ones not for ever


@dataclass(frozen=True)
class Defaults:
    """The numbers of a recipe for one optimizer; ``epochs`` None: as many as ``HEAD_STEPS`` take."""

    epochs: int | None
    learning_rate: float
    batch_size: int
    schedule: str = "constant"
    momentum: float = 0.0
    weight_decay: float = 0.0

    def complete(self, asked: TrainConfig, optimizer: str, examples: int) -> Recipe:
        """Return the recipe: what was asked for, and these numbers for what was not."""
        given = {name: getattr(asked, name) for name in FIELDS if getattr(asked, name) is not None}
        numbers = {name: getattr(self, name) for name in FIELDS} | given
        if numbers["epochs"] is None:
            numbers["epochs"] = _count_head_epochs(examples, numbers["batch_size"])
        return Recipe(optimizer=optimizer, **numbers)


FIELDS = ("epochs", "learning_rate", "schedule", "momentum", "weight_decay", "batch_size")
HEAD: Mapping[str, Defaults] = {
    "adamw": Defaults(None, 0.003, 32, schedule="cosine", weight_decay=0.3),
    # The transfer learning tutorial of PyTorch, whose examples are few.
    "sgd": Defaults(25, 0.001, 4, momentum=0.9),
}
LAYERS: Mapping[str, Defaults] = {
    "sgd": Defaults(20, 0.01, 32, momentum=0.9),
    "adamw": Defaults(20, 0.001, 32),
}


def choose_standard_recipe(asked: TrainConfig, workload: Workload) -> Recipe:
    """Return the recipe of a training without privacy.

    Args:
        asked: ``[train]``; what it gives stands.
        workload: a head is trained by AdamW, layers, adapters and biases by SGD, where no optimizer is asked for.
    """
    is_head = workload.head_dimension is not None
    optimizer = asked.optimizer or ("adamw" if is_head else "sgd")
    return (HEAD if is_head else LAYERS)[optimizer].complete(asked, optimizer, workload.examples)


def _count_head_epochs(examples: int, batch_size: int) -> int:
    steps_per_epoch = -(-examples // batch_size)
    return min(max(-(-HEAD_STEPS // steps_per_epoch), MIN_HEAD_EPOCHS), MAX_HEAD_EPOCHS)
