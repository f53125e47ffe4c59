"""How items become the inputs of a model, as it stands in ``audit.json`` and ``model.json``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, JsonValue, Tag

from rft.errors import ModelError
from rft.records.base import Record


class ImagePreprocessingFacts(Record):
    """All that the pixels of an image depend on beside the image.

    What a library sets for its own pipeline (sizes, interpolation) stands beside these fields, under its own names.

    Attributes:
        recipe: what the pipeline is: ``plain``, or what its library calls it.
        pixels: channels, height and width of what it gives.
        mean, std: for each channel, for values in [0, 1].
        pixels_sha256: of its values for made-up images.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, JsonValue] = Field(init=False)

    recipe: str
    pixels: tuple[int, int, int]
    mean: tuple[int | float, ...]
    std: tuple[int | float, ...]
    pixels_sha256: str

    def whole_number(self, setting: str) -> int:
        """Return a setting of the library, in pixels; raises ``ModelError`` when it is no whole number."""
        value = (self.model_extra or {}).get(setting)
        if not isinstance(value, int):
            raise ModelError(f"{setting} is {value!r}; expected a whole number", where="preprocessing")
        return value


class TextPreprocessingFacts(Record):
    """All that the tokens of a text depend on beside the text.

    Attributes:
        tokenizer: name of its class.
        tokenizer_sha256: over all that it does.
        vocabulary: number of its words.
        max_length: tokens, special ones included, that are left of a longer text.
        truncation: the end at which a longer text is cut.
    """

    tokenizer: str
    tokenizer_sha256: str
    vocabulary: int
    max_length: int
    truncation: Literal["left", "right"]


class AudioPreprocessingFacts(Record):
    """All that the samples of a recording depend on beside the recording, which is in mono and of its own length.

    Attributes:
        resampler: the library that resamples, and how.
        sample_rate: samples a second that the model is given.
        normalisation: of each recording by itself.
        max_seconds: that the model takes at most; None where it has no limit.
    """

    resampler: str
    sample_rate: int
    normalisation: Literal["none", "zero-mean-unit-variance"]
    max_seconds: float | None


def _name_modality(facts: Any) -> str:
    names = facts if isinstance(facts, dict) else type(facts).model_fields
    telling = {"tokenizer": "text", "resampler": "audio"}
    return next((modality for name, modality in telling.items() if name in names), "image")


PreprocessingFacts = Annotated[
    Annotated[ImagePreprocessingFacts, Tag("image")]
    | Annotated[TextPreprocessingFacts, Tag("text")]
    | Annotated[AudioPreprocessingFacts, Tag("audio")],
    Discriminator(_name_modality),
]
