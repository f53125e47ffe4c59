"""The table ``[train]``: the keys of the standard loop."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rft.config.applicability import CLASSES, IMAGES, Applies
from rft.config.tables.base import Count, Positive, Table

MOST_EPOCHS = 100_000
MOST_RATE = 1_000  # of the gradient, or of a weight, in a step


class TrainConfig(Table):
    """``[train]``: the standard loop. What is left out follows from what is trained, and on how many examples.

    [Training](training.md) says how; `optimizer = "sgd"` alone is the loop of textbooks.
    """

    epochs: int | None = Field(default=None, ge=1, le=MOST_EPOCHS)
    """Passes over the training examples."""
    optimizer: Literal["sgd", "adamw"] | None = None
    """How weights follow gradients."""
    learning_rate: Annotated[float, Field(gt=0, le=MOST_RATE, allow_inf_nan=False)] | None = None
    """Size of a step."""
    schedule: Annotated[
        Literal["constant", "cosine"] | None,
        Applies(lambda run, _: not run.private, "the learning rate of private training is constant"),
    ] = None
    """Whether the learning rate stays, or falls to 0 along half a cosine."""
    momentum: Annotated[
        Annotated[float, Field(ge=0, lt=1)] | None,
        Applies(lambda run, _: run.optimizer == "sgd", 'it is that of train.optimizer = "sgd"'),
    ] = None
    """Share of the last step that is taken again, of `optimizer = "sgd"`."""
    weight_decay: Annotated[float, Field(ge=0, le=MOST_RATE, allow_inf_nan=False)] | None = None
    """How strongly weights are drawn to 0."""
    batch_size: Count | None = None
    """Examples in a step."""
    patience: Annotated[
        Count | None,
        Applies(
            lambda run, _: not run.private, "when to stop would be read off examples, and epsilon covers no such look"
        ),
    ] = None
    """Stop after so many epochs without a lower loss on the split validation, and keep the best. Without it every epoch
    is run."""
    views: Annotated[int, Field(ge=1, le=64), IMAGES] = 1
    """Augmented views of each training image, made once and cached; 1 for none but the image itself."""
    class_weights: Annotated[dict[str, Positive] | None, CLASSES] = None
    """Weight of the loss of each class, such as `{rare = 3.0}`; 1 for classes that are not named. Public numbers."""
