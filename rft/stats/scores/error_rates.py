"""The error rates of a speech recogniser: what is counted in each utterance, and which counts make which rate.

A corpus rate is the number of errors in all utterances over the number of words (or characters) of all references, as
jiwer 4 gives it for lists: it is no mean over utterances. An utterance whose reference is empty has no rate of its own;
what was inserted in it counts among the errors. A rate may be above 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

ErrorRateName = Literal[
    "word_error_rate",
    "character_error_rate",
    "raw_word_error_rate",
    "raw_character_error_rate",
    "substitution_rate",
    "deletion_rate",
    "insertion_rate",
]

SUBSTITUTIONS, DELETIONS, INSERTIONS = "word_substitutions", "word_deletions", "word_insertions"
WORDS, HYPOTHESIS_WORDS, CHARACTERS, CHARACTER_ERRORS = "words", "hypothesis_words", "characters", "character_errors"
RAW_WORDS, RAW_WORD_ERRORS = "raw_words", "raw_word_errors"
RAW_CHARACTERS, RAW_CHARACTER_ERRORS = "raw_characters", "raw_character_errors"
# What is counted in each utterance, by the names of the columns of ``predictions.parquet``; raw: without a normaliser.
COUNTS = (
    *(WORDS, SUBSTITUTIONS, DELETIONS, INSERTIONS, HYPOTHESIS_WORDS, CHARACTERS, CHARACTER_ERRORS),
    *(RAW_WORDS, RAW_WORD_ERRORS, RAW_CHARACTERS, RAW_CHARACTER_ERRORS),
)
PER_WORD, PER_CHARACTER = "errors per word", "errors per character"


@dataclass(frozen=True)
class ErrorRate:
    """A rate of errors.

    Attributes:
        name: in ids and tables.
        label: in sentences.
        errors: the counts whose sum is the numerator.
        length: the count that is the denominator, of the reference.
        unit: of its value.
        definition: what it is, as part of a sentence.
        hub_metric: the hub's name of it; empty where it has none.
    """

    name: ErrorRateName
    label: str
    errors: tuple[str, ...]
    length: str
    unit: str
    definition: str
    hub_metric: str = ""

    @property
    def title(self) -> str:
        """What a heading calls it."""
        return self.label[:1].upper() + self.label[1:]


_ALL_ERRORS = "substituted, deleted and inserted {}s, over the {}s of all references"
_ALL = (
    ErrorRate(
        "word_error_rate",
        "word error rate",
        (SUBSTITUTIONS, DELETIONS, INSERTIONS),
        WORDS,
        PER_WORD,
        _ALL_ERRORS.format("word", "word"),
        "wer",
    ),
    ErrorRate(
        "character_error_rate",
        "character error rate",
        (CHARACTER_ERRORS,),
        CHARACTERS,
        PER_CHARACTER,
        _ALL_ERRORS.format("character", "character"),
        "cer",
    ),
    ErrorRate(
        "raw_word_error_rate",
        "word error rate without normaliser",
        (RAW_WORD_ERRORS,),
        RAW_WORDS,
        PER_WORD,
        f"{_ALL_ERRORS.format('word', 'word')}, of the texts as they stand",
    ),
    ErrorRate(
        "raw_character_error_rate",
        "character error rate without normaliser",
        (RAW_CHARACTER_ERRORS,),
        RAW_CHARACTERS,
        PER_CHARACTER,
        f"{_ALL_ERRORS.format('character', 'character')}, of the texts as they stand",
    ),
    ErrorRate(
        "substitution_rate",
        "substitution rate",
        (SUBSTITUTIONS,),
        WORDS,
        PER_WORD,
        "words of which another was written, over the words of all references",
    ),
    ErrorRate(
        "deletion_rate",
        "deletion rate",
        (DELETIONS,),
        WORDS,
        PER_WORD,
        "words of which nothing was written, over the words of all references",
    ),
    ErrorRate(
        "insertion_rate",
        "insertion rate",
        (INSERTIONS,),
        WORDS,
        PER_WORD,
        "words that were written and not said, over the words of all references",
    ),
)
ERROR_RATES: Mapping[ErrorRateName, ErrorRate] = {rate.name: rate for rate in _ALL}
COMPARED: tuple[ErrorRateName, ...] = ("word_error_rate", "character_error_rate")  # between groups
ABBREVIATIONS: Mapping[str, str] = {
    **{name: rate.label for name, rate in ERROR_RATES.items()},
    "word_error_rate": "WER",
    "character_error_rate": "CER",
    "raw_word_error_rate": "WER without normaliser",
    "raw_character_error_rate": "CER without normaliser",
}
