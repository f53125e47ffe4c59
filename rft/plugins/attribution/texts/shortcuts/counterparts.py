"""Identity terms of a text and what each becomes: its counterpart in the same list, with the same capitals.

All terms of one text move together: where the list has several identities, one draw says which takes the place of
which. English has one word for two in ``her`` (of her, to her) and ``his`` (his house, the house is his). What follows
decides: before the end of a sentence, or a word that begins no noun, ``her`` becomes ``him`` and ``his`` becomes
``hers``; before any other word they are ``his`` and ``her``. That is a rule of thumb: ``I saw her dance`` becomes ``I
saw his dance``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rft.plugins.attribution.texts.shortcuts.edits import Edit, match_case
from rft.plugins.attribution.texts.shortcuts.identity_terms import IDENTITY_TERMS, Lines, SwapName
from rft.plugins.attribution.texts.words import FoldedText, whole_word_pattern

# Words that no noun phrase begins with once "her" or "his" stands before them.
_NO_NOUN = re.compile(
    "a|an|the|this|that|these|those|and|or|but|nor|so|yet|if|because|while|when|where|who|whom|which|what|how|why|as|"
    "than|then|to|of|in|on|at|by|for|from|with|without|into|onto|over|under|about|after|before|behind|between|through|"
    "during|against|up|down|out|off|away|back|again|too|also|not|now|here|there|yesterday|today|tomorrow|is|are|was|"
    "were|be|been|am|do|does|did|has|have|had|will|would|can|could|should|may|might|must|i|you|he|she|it|we|they|me|"
    "him|us|them|my|your|our|their|any|some|every|each|all|both|very|really"
)
_NEXT_WORD = re.compile(r"[ \t\n\r]+([^\W_]+)")
_ARTICLE = re.compile(r"(?<![^\W_])(an?)([ \t\n\r]+)$", re.IGNORECASE)


@dataclass(frozen=True)
class Counterparts:
    """The terms of one list.

    Attributes:
        lines: the list; all lines with the same number of words are exchanged in step.
        places: term -> its line and its place in it.
        pattern: finds any of the terms in a folded text.
    """

    lines: Lines
    places: dict[str, tuple[int, int]]
    pattern: re.Pattern[str]

    @classmethod
    def from_list(cls, name: SwapName) -> Counterparts:
        """Return the terms of a list by its name."""
        lines = IDENTITY_TERMS[name]
        places: dict[str, tuple[int, int]] = {}
        for number, line in enumerate(lines):
            for place, term in enumerate(line):
                places.setdefault(term, (number, place))
        return cls(lines, places, whole_word_pattern(places))

    def find_edits(self, text: str, rng: np.random.Generator) -> list[Edit]:
        """Return an edit for each term of a text, and for an article before it that it does not go with."""
        turn = int(rng.integers(1 << 30))
        edits: list[Edit] = []
        for start, end in FoldedText.fold(text).find_spans(self.pattern).tolist():
            new = match_case(self._counterpart_of(text, start, end, turn), text[start:end])
            edits += [*_mend_article(text, start, new), Edit(start, end, new)]
        return edits

    def _counterpart_of(self, text: str, start: int, end: int, turn: int) -> str:
        term = FoldedText.fold(text[start:end]).text
        if term in ("her", "his") and "hers" in self.places:
            return _other_possessive(term, _precedes_noun(text, end))
        number, place = self.places[term]
        line = self.lines[number]
        return line[(place + 1 + turn % (len(line) - 1)) % len(line)]


def _other_possessive(term: str, before_noun: bool) -> str:
    if term == "her":
        return "his" if before_noun else "him"
    return "her" if before_noun else "hers"


def _precedes_noun(text: str, end: int) -> bool:
    """Tell whether the word after ``end`` may begin a noun phrase; no word, or a sign before it, does not."""
    following = _NEXT_WORD.match(text, end)
    return following is not None and not _NO_NOUN.fullmatch(following[1].lower())


def _mend_article(text: str, start: int, new: str) -> Sequence[Edit]:
    """Return the edit of ``a`` or ``an`` before a word that changes from or to one that begins with a vowel."""
    before = _ARTICLE.search(text, 0, start)
    if before is None:
        return []
    article = match_case("an" if new[:1].lower() in "aeiou" else "a", before[1])
    return [] if article.lower() == before[1].lower() else [Edit(before.start(1), before.end(1), article)]
