"""``[[attribution.shortcut]]``: how a suspected shortcut is named in the config."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from rft.config.applicability import IMAGES, RECORDINGS, TEXTS, Applies
from rft.config.path_keys import PATH
from rft.config.tables.base import MOST
from rft.plugins import Options

MOST_AREA = 0.5  # of an image that a patch may cover
PLANTED = "patch"  # what is changed of an image that gets one, as the table of flips names it


SWAPPED = Applies(
    lambda run, _: run.modality != "text",
    "it says which images or recordings have a mark, and these examples are texts",
)


class Shortcut(Options):
    """``[[attribution.shortcut]]``: what the model may rely on although it should not.

    A shortcut is a region of images, a mark that is planted there as a small picture, or words of texts: those that are
    listed, or the identity terms of a list. Of recordings it is a span of time, a band, or the noise in the background.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$", description='letters, digits, "_" and "-"')
    """Letters, digits, `_` and `-`; the finding is `attribution.shortcut.<name>`."""
    region: Annotated[list[float] | None, IMAGES] = None
    """Left, top, right and bottom, as shares of the image as its file shows it, upright."""
    patch: Annotated[str | None, PATH, IMAGES] = None
    """A file with a mark as a small picture, such as `"stamp.png"`, at most 1,024 pixels a side: it is planted into
    images, scaled to `region`. What is transparent in it stays as it is in the image."""
    column: Annotated[str | None, SWAPPED] = None
    """For a mark that few images have in `region`, or few recordings in the span, band or background: the column of
    `data.groups` that tells which. Then only those that have it are changed, or, with `patch`, only those that do not
    have it; needs `value`."""
    value: Annotated[str | None, SWAPPED] = None
    """What `column` says of an image or a recording with the mark."""
    seconds: Annotated[list[float] | None, RECORDINGS] = None
    """A span of time of recordings, `[start, end]`, in seconds from the beginning; `[-0.5, 0]` is the last half second.
    It is taken from other recordings."""
    hertz: Annotated[list[float] | None, RECORDINGS] = None
    """A band of recordings, `[low, high]`. It is taken from other recordings."""
    background: Annotated[Literal[True] | None, RECORDINGS] = None
    """`true`: the noise in the background of recordings, as their quietest tenth has it. It is taken out of a recording
    by spectral subtraction, and noise with the spectrum of another's background takes its place."""
    tokens: Annotated[list[str] | None, Field(min_length=1), TEXTS] = None
    """Words or phrases of texts, found whole, in any case and Unicode form, and over line breaks."""
    swap: Annotated[Literal["gender", "religion", "orientation", "ethnicity", "age", "disability"] | None, TEXTS] = None
    """Identity terms of texts, by the name of a list: each is exchanged for its counterpart. The lists are English."""
    change: Annotated[Literal["removal", "other_words"] | None, TEXTS] = None
    """What is done to `tokens`: they are taken out (`removal`, meant where nothing is said), or random words of other
    texts take their place (`other_words`)."""
    max_pairs: int = Field(default=200, ge=10, le=MOST)
    """Largest number of images in which the region is swapped or the patch planted, of recordings in which a part is
    swapped, or of texts whose words are changed."""
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

    @field_validator("seconds")
    @classmethod
    def _check_seconds(cls, seconds: list[float] | None) -> list[float] | None:
        if seconds is None:
            return None
        if len(seconds) != 2 or not seconds[0] < seconds[1] or seconds[0] < 0 < seconds[1]:
            raise ValueError(
                f"expected [start, end] with start < end, both from the beginning (0 or more) or both from the end "
                f"(0 or less), got {seconds}"
            )
        return seconds

    @field_validator("hertz")
    @classmethod
    def _check_hertz(cls, hertz: list[float] | None) -> list[float] | None:
        if hertz is not None and (len(hertz) != 2 or not 0 <= hertz[0] < hertz[1]):
            raise ValueError(f"expected [low, high] with 0 <= low < high, got {hertz}")
        return hertz

    @field_validator("tokens")
    @classmethod
    def _check_tokens(cls, tokens: list[str] | None) -> list[str] | None:
        if any(not token or token != token.strip() for token in tokens or ()):
            raise ValueError("expected words without blanks around them, and none that is empty")
        return tokens

    @model_validator(mode="after")
    def _one_kind(self) -> Shortcut:
        kinds = (self.region, self.tokens, self.swap, self.seconds, self.hertz, self.background)
        if sum(kind is not None for kind in kinds) != 1:
            raise ValueError(
                "expected one of region (of images), tokens (of texts), swap (a list of identity terms), and seconds, "
                "hertz and background (of recordings)"
            )
        if self.patch is not None and self.region is None:
            raise ValueError("patch needs region: left, top, right and bottom of the place in which it is planted")
        if self.patch is not None and self.region is not None and _area_of(self.region) > MOST_AREA:
            raise ValueError(
                f"patch covers more than {MOST_AREA:g} of the image in this region, and leaves too little to decide by"
            )
        if (self.column is None) != (self.value is None):
            raise ValueError("expected column and value together: which images have the mark, and what says so")
        if self.column is not None and self.modality == "text":
            raise ValueError("column says which images or recordings have a mark, and this names words: remove it")
        if self.change is not None and self.tokens is None:
            raise ValueError("change says what is done to tokens, and there are none: remove it")
        return self

    @property
    def modality(self) -> Literal["image", "text", "audio"]:
        """What kind of examples have it."""
        if self.region is not None:
            return "image"
        return "text" if self.tokens is not None or self.swap is not None else "audio"


def _area_of(region: list[float]) -> float:
    left, top, right, bottom = region
    return (right - left) * (bottom - top)
