"""``[train]``: the keys of the standard loop."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from rft.config.applicability import IMAGES, Applies
from rft.config.table import STRICT

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class TrainConfig(BaseModel):
    """``[train]``: the standard loop. What is left out follows from what is trained, and on how many examples.

    ``rft.training.default_recipes`` says how; ``optimizer = "sgd"`` alone is the loop of textbooks.
    """

    model_config = STRICT

    epochs: int | None = Field(default=None, ge=1)
    optimizer: Literal["sgd", "adamw"] | None = None
    learning_rate: Positive | None = None
    schedule: Annotated[
        Literal["constant", "cosine"] | None,
        Applies(lambda run, _: not run.private, "the learning rate of private training is constant"),
    ] = None
    momentum: Annotated[
        Annotated[float, Field(ge=0, lt=1)] | None,
        Applies(lambda run, _: run.optimizer == "sgd", 'it is that of train.optimizer = "sgd"'),
    ] = None
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    batch_size: int | None = Field(default=None, ge=1)
    patience: Annotated[
        Annotated[int, Field(ge=1)] | None,
        Applies(
            lambda run, _: not run.private, "when to stop would be read off examples, and epsilon covers no such look"
        ),
    ] = None
    views: Annotated[int, Field(ge=1, le=64), IMAGES] = 1
    class_weights: dict[str, Positive] | None = None
