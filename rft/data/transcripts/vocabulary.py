"""What a recogniser writes with: its characters and the blank, and the way from texts to numbers and back.

The blank is what connectionist temporal classification writes where nothing new begins (Graves et al. 2006, ICML): the
output of a vector of the encoder is one of the characters or the blank, repeated outputs are one, and blanks vanish.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import numpy as np

BLANK = 0  # the number of the blank, which no transcript holds


@dataclass(frozen=True)
class Vocabulary:
    """The characters of a recogniser, by number: the first one has number 1, after the blank.

    Attributes:
        characters: distinct, one character each, in ascending order.

    >>> vocabulary = Vocabulary.from_texts(["a bee"])
    >>> vocabulary.characters, vocabulary.encode("be a?")
    ((' ', 'a', 'b', 'e'), [3, 4, 1, 2])
    >>> vocabulary.decode([0, 3, 3, 4, 0, 4, 1])
    'bee '
    """

    characters: tuple[str, ...]

    @classmethod
    def from_texts(cls, texts: Iterable[str]) -> Vocabulary:
        """Return every character of some texts."""
        return cls(tuple(sorted({character for text in texts for character in text})))

    def __len__(self) -> int:
        """Return V, how many outputs a recogniser has, the blank included."""
        return len(self.characters) + 1

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {character: number for number, character in enumerate(self.characters, start=BLANK + 1)}

    def encode(self, text: str) -> list[int]:
        """Return the numbers of a text's characters; those that it does not know are left out."""
        return [self._numbers[character] for character in text if character in self._numbers]

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

    def count_unknown(self, text: str) -> int:
        """Return how many characters of a text it does not know."""
        return sum(character not in self._numbers for character in text)

    def decode(self, outputs: Iterable[int]) -> str:
        """Return what the outputs of an utterance's vectors stand for: repeated ones once, and no blanks."""
        return "".join(self.characters[number - 1] for number, _ in groupby(outputs) if number != BLANK)


def count_needed_vectors(labels: np.ndarray) -> np.ndarray:
    """Return (N,) of how many vectors at least an utterance must be for its transcript to be written, int64.

    One a character, and one more between two that are alike: without a blank between them they would be one.

    Args:
        labels: (N, L) numbers of characters, filled up with blanks.

    >>> count_needed_vectors(np.array([[1, 2, 2, 0], [0, 0, 0, 0]])).tolist()
    [4, 0]
    """
    characters = labels != BLANK
    repeated = (labels[:, 1:] == labels[:, :-1]) & characters[:, 1:]
    needed: np.ndarray = characters.sum(axis=1) + repeated.sum(axis=1)
    return needed
