"""What the user of ``rft init`` said beforehand, by flags; None, or nothing, is to be found out."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class ColumnWishes:
    """The columns that the user named."""

    image: str | None = None
    text: str | None = None
    audio: str | None = None
    prediction: str | None = None
    score: str | None = None
    label: str | None = None
    split: str | None = None
    unit: str | None = None
    id: str | None = None
    groups: tuple[str, ...] = ()

    @property
    def item(self) -> tuple[Literal["image", "text", "audio"], str] | None:
        """The modality of the examples and their column, where the user named one."""
        if self.image is not None:
            return "image", self.image
        if self.text is not None:
            return "text", self.text
        return None if self.audio is None else ("audio", self.audio)

    @property
    def flags(self) -> list[tuple[str, str]]:
        """Flag and column of all that were named."""
        single = [(f"--{key}", value) for key, value in vars(self).items() if isinstance(value, str)]
        return [*single, *(("--group", name) for name in self.groups)]


@dataclass(frozen=True)
class Wishes:
    """All that the user said.

    Attributes:
        columns: which column is what.
        metadata: the table about the images of a folder.
        positive: the favourable class.
        classes: all there are.
        backbone, weights: as in ``[model]``.
        epsilon: what private training may spend; None for training without privacy.
        population: whose data it is, for the ledger.
    """

    columns: ColumnWishes = field(default_factory=ColumnWishes)
    metadata: Path | None = None
    positive: str | None = None
    classes: tuple[str, ...] = ()
    backbone: str | None = None
    weights: str | None = None
    epsilon: float | None = None
    population: str | None = None
