"""``[[attribution.shortcut]]``: how a suspected shortcut is named in the config."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from rft.config.applicability import IMAGES, TEXTS
from rft.config.path_keys import PATH
from rft.config.tables.base import MOST
from rft.plugins import Options

MOST_AREA = 0.5  # of an image that a patch may cover
PLANTED = "patch"  # what is changed of an image that gets one, as the table of flips names it


class Shortcut(Options):
    """``[[attribution.shortcut]]``: what the model may rely on although it should not.

    A shortcut is a region of images, a mark that is planted there as a small picture, or words of texts: those that are
    listed, or the identity terms of a list.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$", description='letters, digits, "_" and "-"')
    """Letters, digits, `_` and `-`; the finding is `attribution.shortcut.<name>`."""
    region: Annotated[list[float] | None, IMAGES] = None
    """Left, top, right and bottom, as shares of the image as its file shows it, upright."""
    patch: Annotated[str | None, PATH, IMAGES] = None
    """A file with a mark as a small picture, such as `"stamp.png"`, at most 1,024 pixels a side: it is planted into
    images, scaled to `region`. What is transparent in it stays as it is in the image."""
    column: Annotated[str | None, IMAGES] = None
    """For a mark that few images have in `region`: the column of `data.groups` that tells which. Then only images that
    have it are changed, or, with `patch`, only those that do not have it; needs `value`."""
    value: Annotated[str | None, IMAGES] = None
    """What `column` says of an image with the mark."""
    tokens: Annotated[list[str] | None, Field(min_length=1), TEXTS] = None
    """Words or phrases of texts, found whole, in any case and Unicode form, and over line breaks."""
    swap: Annotated[Literal["gender", "religion", "orientation", "ethnicity", "age", "disability"] | None, TEXTS] = None
    """Identity terms of texts, by the name of a list: each is exchanged for its counterpart. The lists are English."""
    change: Annotated[Literal["removal", "other_words"] | None, TEXTS] = None
    """What is done to `tokens`: they are taken out (`removal`, meant where nothing is said), or random words of other
    texts take their place (`other_words`)."""
    max_pairs: int = Field(default=200, ge=10, le=MOST)
    """Largest number of images in which the region is swapped or the patch planted, or of texts whose words are
    changed."""
    min_flip_rate: float = Field(default=0.05, ge=0, lt=1)
    """Smallest share of predictions that change, beyond those that a control changes, which matters."""

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
        kinds = (self.region, self.tokens, self.swap)
        if sum(kind is not None for kind in kinds) != 1:
            raise ValueError(
                "expected one of region (of images), tokens (of texts) and swap (a list of identity terms)"
            )
        if self.patch is not None and self.region is None:
            raise ValueError("patch needs region: left, top, right and bottom of the place in which it is planted")
        if self.patch is not None and self.region is not None and _area_of(self.region) > MOST_AREA:
            raise ValueError(
                f"patch covers more than {MOST_AREA:g} of the image in this region, and leaves too little to decide by"
            )
        if (self.column is None) != (self.value is None):
            raise ValueError("expected column and value together: which images have the mark, and what says so")
        if self.column is not None and self.region is None:
            raise ValueError("column says which images have a mark in region, and there is none: remove it")
        if self.change is not None and self.tokens is None:
            raise ValueError("change says what is done to tokens, and there are none: remove it")
        return self


def _area_of(region: list[float]) -> float:
    left, top, right, bottom = region
    return (right - left) * (bottom - top)
