"""What is done to the words of a text, and to as many others of the same text: removal, other words, counterparts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from rft.plugins.attribution.texts.shortcuts.counterparts import Counterparts
from rft.plugins.attribution.texts.shortcuts.edits import Edit
from rft.plugins.attribution.texts.shortcuts.other_words import WordPool
from rft.plugins.attribution.texts.words import FoldedText


class WordChange(Protocol):
    """A change of suspected words.

    Attributes:
        pattern: finds the suspected words in a folded text.
    """

    @property
    def pattern(self) -> re.Pattern[str]:
        """Finds the suspected words in a folded text."""

    def edit_suspected(self, text: str, rng: np.random.Generator) -> list[Edit]:
        """Return the edits of all suspected words of a text."""

    def edit_others(
        self, text: str, spans: np.ndarray, suspected: Sequence[Edit], rng: np.random.Generator
    ) -> list[Edit]:
        """Return the same kind of edit for other words of a text, (W, 2) ``spans``, as the control of ``suspected``."""


@dataclass(frozen=True)
class Removal:
    """The words are taken out."""

    pattern: re.Pattern[str]

    def edit_suspected(self, text: str, rng: np.random.Generator) -> list[Edit]:
        """Return the removal of each suspected word."""
        return self.edit_others(text, FoldedText.fold(text).find_spans(self.pattern), (), rng)

    def edit_others(
        self, text: str, spans: np.ndarray, suspected: Sequence[Edit], rng: np.random.Generator
    ) -> list[Edit]:
        """Return the removal of each span."""
        return [Edit(start, end, "") for start, end in spans.tolist()]


@dataclass(frozen=True)
class OtherWords:
    """Random words of other texts take the place of the words."""

    pattern: re.Pattern[str]
    pool: WordPool

    def edit_suspected(self, text: str, rng: np.random.Generator) -> list[Edit]:
        """Return an edit that puts a random word in the place of each suspected one."""
        return self.edit_others(text, FoldedText.fold(text).find_spans(self.pattern), (), rng)

    def edit_others(
        self, text: str, spans: np.ndarray, suspected: Sequence[Edit], rng: np.random.Generator
    ) -> list[Edit]:
        """Return an edit that puts a random word in the place of each span."""
        return [Edit(start, end, self.pool.draw_word(text[start:end], rng)) for start, end in spans.tolist()]


@dataclass(frozen=True)
class Exchange:
    """Identity terms become their counterparts; others become words as far from them in the model's word embeddings."""

    terms: Counterparts
    pool: WordPool

    @property
    def pattern(self) -> re.Pattern[str]:
        """Finds the terms of the list in a folded text."""
        return self.terms.pattern

    def edit_suspected(self, text: str, rng: np.random.Generator) -> list[Edit]:
        """Return the exchange of each identity term."""
        return self.terms.find_edits(text, rng)

    def edit_others(
        self, text: str, spans: np.ndarray, suspected: Sequence[Edit], rng: np.random.Generator
    ) -> list[Edit]:
        """Return an edit for each span: to a word as far from it as the counterparts are, or to a random one."""
        if not self.pool.measures_distance:
            return [Edit(start, end, self.pool.draw_word(text[start:end], rng)) for start, end in spans.tolist()]
        distance = self.pool.mean_distance([(text[start:end], new) for start, end, new in suspected])
        return [
            Edit(start, end, self.pool.draw_as_far(text[start:end], distance, rng)) for start, end in spans.tolist()
        ]
