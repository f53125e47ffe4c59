"""``[[attribution.shortcut]]``: how a suspected shortcut is named in the config."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from rft.config.applicability import IMAGES, TEXTS
from rft.config.tables.base import MOST
from rft.plugins import Options


class Shortcut(Options):
    """``[[attribution.shortcut]]``: what the model may rely on although it should not.

    A shortcut is either a region of images or words of texts.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$", description='letters, digits, "_" and "-"')
    """Letters, digits, `_` and `-`; the finding is `attribution.shortcut.<name>`."""
    region: Annotated[list[float] | None, IMAGES] = None
    """Left, top, right and bottom, as shares of the image as its file shows it, upright."""
    tokens: Annotated[list[str] | None, Field(min_length=1), TEXTS] = None
    """Words or phrases of texts, found whole, in any case and Unicode form, and over line breaks."""
    max_pairs: int = Field(default=200, ge=10, le=MOST)
    """Largest number of pairs of images between which the region is swapped, or of texts whose words are replaced."""
    min_flip_rate: float = Field(default=0.05, ge=0, lt=1)
    """Smallest share of predictions that change which matters."""

    @field_validator("region")
    @classmethod
    def _check_region(cls, region: list[float] | None) -> list[float] | None:
        if region is None:
            return None
        if len(region) != 4:
            raise ValueError(f"expected [left, top, right, bottom], got {len(region)} numbers")
        left, top, right, bottom = region
        if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
            raise ValueError(f"expected 0 <= left < right <= 1 and 0 <= top < bottom <= 1, got {region}")
        return region

    @field_validator("tokens")
    @classmethod
    def _check_tokens(cls, tokens: list[str] | None) -> list[str] | None:
        if any(not token or token != token.strip() for token in tokens or ()):
            raise ValueError("expected words without blanks around them, and none that is empty")
        return tokens

    @model_validator(mode="after")
    def _one_kind(self) -> Shortcut:
        if (self.region is None) == (self.tokens is None):
            raise ValueError("expected either region (of images) or tokens (of texts)")
        return self
