"""References and hypotheses aligned by rapidfuzz, as jiwer does it, and what is counted of each utterance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import pandas as pd

from rft.data.transcripts.normalizers import INSTALL, Normalizer
from rft.errors import ConfigError
from rft.records import WordOccurrences
from rft.runtime.libraries import library_import
from rft.stats.scores.error_rates import (
    CHARACTER_ERRORS,
    CHARACTERS,
    COUNTS,
    DELETIONS,
    HYPOTHESIS_WORDS,
    INSERTIONS,
    RAW_CHARACTER_ERRORS,
    RAW_CHARACTERS,
    RAW_WORD_ERRORS,
    RAW_WORDS,
    SUBSTITUTIONS,
    WORDS,
)

ROWS_AT_ONCE = 20_000  # utterances whose words are Python objects at a time


@dataclass(frozen=True)
class AlignedTranscripts:
    """What is counted of N utterances: (N,) int32 of each of ``COUNTS``, and their words."""

    counts: dict[str, np.ndarray]
    words: WordOccurrences


def align_transcripts(
    references: pd.Categorical, hypotheses: pd.Categorical, normalizer: Normalizer
) -> AlignedTranscripts:
    """Align N references with their hypotheses, word by word and character by character.

    Words are what blanks part. Of several alignments with the fewest errors it is that of rapidfuzz, as in jiwer 4; a
    missing hypothesis is an empty one.

    Args:
        references, hypotheses: (N,) texts; none is missing among the references.
        normalizer: from a text to what of it is compared.

    Raises:
        ConfigError: rapidfuzz is not installed.
    """
    with library_import("rapidfuzz", error=ConfigError, where="normalizer", install=INSTALL):
        from rapidfuzz.distance.Levenshtein import distance
    said, written = (_Texts.from_values(values, normalizer) for values in (references, hypotheses))
    counts = {name: np.zeros(len(references), dtype=np.int32) for name in COUNTS}
    vocabulary: dict[str, int] = {}
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for start in range(0, len(references), ROWS_AT_ONCE):
        words_of_rows = []
        for row in range(start, min(start + ROWS_AT_ONCE, len(references))):
            reference, hypothesis = said.text_of(row), written.text_of(row)
            words = _align_words(_number_words(reference, vocabulary), _number_words(hypothesis, vocabulary))
            words_of_rows.append(words)
            raw_reference, raw_hypothesis = said.raw_text_of(row), written.raw_text_of(row)
            numbers: dict[str, int] = {}
            raw_words = _number_words(raw_reference, numbers)
            counted = {
                WORDS: len(words.said),
                HYPOTHESIS_WORDS: words.n_written,
                SUBSTITUTIONS: words.substituted,
                DELETIONS: words.deleted,
                INSERTIONS: words.inserted,
                CHARACTERS: len(reference),
                CHARACTER_ERRORS: distance(reference, hypothesis),
                RAW_WORDS: len(raw_words),
                RAW_WORD_ERRORS: distance(raw_words, _number_words(raw_hypothesis, numbers)),
                RAW_CHARACTERS: len(raw_reference),
                RAW_CHARACTER_ERRORS: distance(raw_reference, raw_hypothesis),
            }
            for name, count in counted.items():
                counts[name][row] = count
        parts.append(_join_words(words_of_rows, start))
    rows, codes, wrong = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return AlignedTranscripts(counts, WordOccurrences(tuple(vocabulary), rows, codes, wrong))


@dataclass(frozen=True)
class _AlignedWords:
    """The words of one utterance, by number, how many were taken for others, and a byte of 1 for each wrong one."""

    said: Sequence[int]
    n_written: int
    substituted: int
    deleted: int
    inserted: int
    wrong: bytes


def _align_words(said: list[int], written: list[int]) -> _AlignedWords:
    from rapidfuzz.distance.Levenshtein import opcodes

    counts, wrong = {"equal": 0, "replace": 0, "delete": 0, "insert": 0}, bytearray(len(said))
    for block in opcodes(said, written):
        if block.tag == "insert":
            counts["insert"] += block.dest_end - block.dest_start
        elif block.tag != "equal":
            length = block.src_end - block.src_start
            counts[block.tag] += length
            wrong[block.src_start : block.src_end] = b"\1" * length
    return _AlignedWords(said, len(written), counts["replace"], counts["delete"], counts["insert"], bytes(wrong))


@dataclass(frozen=True)
class _Texts:
    """Texts of N rows, as they stand and as they are compared; each distinct one was made alike once."""

    codes: np.ndarray
    raw: Sequence[str]
    compared: Sequence[str]

    @classmethod
    def from_values(cls, values: pd.Categorical, normalizer: Normalizer) -> _Texts:
        """Make the distinct texts alike, without blanks around them."""
        raw = [*(str(text) for text in values.categories), ""]  # the last one is that of code -1: silence
        return cls(values.codes, [text.strip() for text in raw], [normalizer(text).strip() for text in raw])

    def raw_text_of(self, row: int) -> str:
        """Return the text of a row as it stands."""
        return str(self.raw[self.codes[row]])

    def text_of(self, row: int) -> str:
        """Return what of the text of a row is compared."""
        return str(self.compared[self.codes[row]])


def _number_words(text: str, numbers: dict[str, int]) -> list[int]:
    """Return the number of each word of a text, where new words get the next ones."""
    return [numbers.setdefault(word, len(numbers)) for word in text.split()]


def _join_words(words_of_rows: Sequence[_AlignedWords], start: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the row, the number, and whether it is wrong, of each word of some rows from ``start`` on."""
    lengths = [len(words.said) for words in words_of_rows]
    rows = np.repeat(np.arange(start, start + len(lengths), dtype=np.int32), lengths)
    codes = np.fromiter(chain.from_iterable(words.said for words in words_of_rows), np.int32, count=sum(lengths))
    wrong = np.frombuffer(b"".join(words.wrong for words in words_of_rows), dtype=np.uint8).astype(bool)
    return rows, codes, wrong
