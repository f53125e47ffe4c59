"""What a recogniser writes with: characters or tokens, and the blank; the way from texts to numbers and back.

The blank is what connectionist temporal classification writes where nothing new begins (Graves et al. 2006, ICML): the
output of a vector of the encoder is a character, a token or the blank, repeated outputs are one, and blanks vanish.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import numpy as np

BLANK = 0  # the number of the blank, which no transcript holds


class Vocabulary(ABC):
    """The outputs of a recogniser: the blank, which has number 0, and what it writes, numbered from 1 on.

    Attributes:
        names: what the outputs from 1 on are called, distinct.
    """

    names: tuple[str, ...]

    def __len__(self) -> int:
        """Return V, how many outputs a recogniser has, the blank included."""
        return len(self.names) + 1

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """Return the numbers of what a text is written with; what it cannot be written with is left out."""

    @abstractmethod
    def find_unknown(self, text: str) -> list[str]:
        """Return the characters of a text that cannot be written, each as often as it is missed."""

    @abstractmethod
    def join(self, numbers: Sequence[int]) -> str:
        """Return the text that numbers from 1 on stand for, however often one is repeated."""

    def encode_all(self, texts: Sequence[str], length: int = 1) -> np.ndarray:
        """Return (N, L) int64 numbers of N texts, filled up with blanks.

        Args:
            texts: N texts.
            length: L at least.
        """
        encoded = [self.encode(text) for text in texts]
        labels = np.full((len(texts), max(length, *map(len, encoded), 1)), BLANK, np.int64)
        for row, numbers in zip(labels, encoded, strict=True):
            row[: len(numbers)] = numbers
        return labels

    def decode(self, outputs: Iterable[int]) -> str:
        """Return what the outputs of an utterance's vectors stand for: repeated ones once, and no blanks."""
        return self.join(collapse_outputs(outputs, BLANK))


@dataclass(frozen=True)
class CharacterVocabulary(Vocabulary):
    """The characters of a recogniser, by number: the first one has number 1, after the blank.

    Attributes:
        names: distinct, one character each, in ascending order.

    >>> vocabulary = CharacterVocabulary.from_texts(["a bee"])
    >>> vocabulary.names, vocabulary.encode("be a?")
    ((' ', 'a', 'b', 'e'), [3, 4, 1, 2])
    >>> vocabulary.decode([0, 3, 3, 4, 0, 4, 1])
    'bee '
    """

    names: tuple[str, ...]

    @classmethod
    def from_texts(cls, texts: Iterable[str]) -> CharacterVocabulary:
        """Return every character of some texts."""
        return cls(tuple(sorted({character for text in texts for character in text})))

    @cached_property
    def _character_numbers(self) -> dict[str, int]:
        return {character: number for number, character in enumerate(self.names, start=BLANK + 1)}

    def encode(self, text: str) -> list[int]:
        """Return the numbers of a text's characters; those that it does not know are left out."""
        return [self._character_numbers[character] for character in text if character in self._character_numbers]

    def find_unknown(self, text: str) -> list[str]:
        """Return the characters of a text that it does not know."""
        return [character for character in text if character not in self._character_numbers]

    def join(self, numbers: Sequence[int]) -> str:
        """Return the characters of these numbers."""
        return "".join(self.names[number - 1] for number in numbers)


def collapse_outputs(outputs: Iterable[int], blank: int) -> list[int]:
    """Return the most probable outputs of vectors as what is written: repeated ones once, and no blanks.

    >>> collapse_outputs([0, 3, 3, 4, 0, 4, 1], blank=0)
    [3, 4, 4, 1]
    """
    return [number for number, _ in groupby(outputs) if number != blank]


def count_needed_vectors(labels: np.ndarray) -> np.ndarray:
    """Return (N,) of how many vectors at least an utterance must be for its transcript to be written, int64.

    One a character or token, and one more between two that are alike: without a blank between them they would be one.

    Args:
        labels: (N, L) numbers of characters or tokens, filled up with blanks.

    >>> count_needed_vectors(np.array([[1, 2, 2, 0], [0, 0, 0, 0]])).tolist()
    [4, 0]
    """
    written = labels != BLANK
    repeated = (labels[:, 1:] == labels[:, :-1]) & written[:, 1:]
    needed: np.ndarray = written.sum(axis=1) + repeated.sum(axis=1)
    return needed
