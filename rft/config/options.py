"""The base of a plugin's options: the keys of its table in ``audit.toml``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """Base of a plugin's options: strict types, unknown keys are errors; ``Applies`` says when a key has an effect.

    Keys that hold paths say so (``rft.config.path_keys``): they are absolute here, and reports show one outside the
    config's folder by its base name alone.
    ``shows_examples`` is whether the plugin's section has examples, or their ids, to show where a report may show them.
    """

    shows_examples: ClassVar[bool] = False
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @property
    def private(self) -> bool:
        """Whether these options have the plugin train with differential privacy."""
        return False

    @property
    def unused(self) -> Mapping[str, str]:
        """Keys of other tables, such as ``train.epochs``, that have no effect beside these options, and why not."""
        return {}

    @property
    def fits_by_itself(self) -> str | None:
        """Name the table that has the plugin itself fit to the training data; None: nothing does.

        It is refused beside a trainer that takes over training: what that promises, such as an epsilon, would not hold.
        """
        return None
