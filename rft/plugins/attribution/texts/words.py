"""Words of a text as a reader finds them: in any case, over line breaks, in any form that Unicode has for them.

What is compared are folded texts: compatibility forms are resolved (full width letters, ligatures, marks that are
characters of their own; NFKC, Unicode Standard Annex 15), case is folded, apostrophes and hyphens are of one kind, and
any blanks are one blank. Every folded character knows the characters of the text that it comes from.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

_ALIKE = {ord(sign): "'" for sign in "\u2018\u2019\u02bc\u02b9\u2032"} | {ord(sign): "-" for sign in "\u2010\u2011"}
_UNSEEN = "Cf"  # the category of soft hyphens and of joiners, which have no look
# Scripts that are written without blanks between words: a word may begin anywhere.
_WITHOUT_BLANKS = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf"
    "\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_WITHOUT_BLANKS_PATTERN = re.compile(f"[{_WITHOUT_BLANKS}]")
_WORD_CHARACTER = rf"[^\W{_WITHOUT_BLANKS}]"
_ASCII = re.compile(r"\s+|\S", re.ASCII)
_WORD = re.compile(rf"{_WORD_CHARACTER}+|[{_WITHOUT_BLANKS}]")


@dataclass(frozen=True)
class FoldedText:
    """A text as it is compared.

    Attributes:
        text: F folded characters.
        starts, ends: (F,) where in the original the characters of each begin and end.
    """

    text: str
    starts: np.ndarray
    ends: np.ndarray

    @classmethod
    def fold(cls, original: str) -> FoldedText:
        """Fold a text, one base character with its marks at a time."""
        characters = [(sign, start, end) for folded, start, end in _fold_clusters(original) for sign in folded]
        spans = np.array([span for _, *span in characters], dtype=np.int64).reshape(-1, 2)
        return cls("".join(sign for sign, *_ in characters), spans[:, 0], spans[:, 1])

    def find_spans(self, pattern: re.Pattern[str]) -> np.ndarray:
        """Return (W, 2) where in the original each of W matches of a pattern of folded texts begins and ends.

        No match begins or ends between a character and its marks: in scripts with vowel signs that is another word.
        """
        matches = (match.span() for match in pattern.finditer(self.text))
        spans = [
            (self.starts[start], self.ends[end - 1])
            for start, end in matches
            if end > start and self._parts_at(start) and self._parts_at(end)
        ]
        return np.array(spans, dtype=np.int64).reshape(-1, 2)

    def _parts_at(self, index: int) -> bool:
        """Tell whether a folded character begins another character of the original than the one before it."""
        return index in (0, len(self.text)) or bool(self.starts[index] != self.starts[index - 1])

    def find_words(self) -> np.ndarray:
        """Return (W, 2) where in the original each word begins and ends; each sign of scripts without blanks is one."""
        return self.find_spans(_WORD)


def whole_word_pattern(words: Iterable[str]) -> re.Pattern[str]:
    """Return the pattern, for folded texts, of any of these words as a whole, the longest first.

    Signs, emoji and scripts without blanks between words stand anywhere.
    """
    folded_words = {FoldedText.fold(word).text.strip() for word in words} - {""}

    def bound_word(word: str) -> str:
        before = rf"(?<!{_WORD_CHARACTER})" if re.match(_WORD_CHARACTER, word[0]) else ""
        after = rf"(?!{_WORD_CHARACTER})" if re.match(_WORD_CHARACTER, word[-1]) else ""
        return before + re.escape(word) + after

    return re.compile("|".join(bound_word(word) for word in sorted(folded_words, key=lambda word: (-len(word), word))))


def _fold_clusters(original: str) -> Iterator[tuple[str, int, int]]:
    """Yield the folded form of each base character with its marks, and where in the original it begins and ends."""
    start, after_blank = 0, False
    if original.isascii():  # nothing to resolve; most texts of most data sets are, and there may be millions
        yield from (
            (" " if match[0].isspace() else match[0].lower(), *match.span()) for match in _ASCII.finditer(original)
        )
        return
    while start < len(original):
        end = start + 1
        while end < len(original) and _continues_character(original[end]):
            end += 1
        folded = unicodedata.normalize("NFKC", original[start:end]).casefold()
        folded = unicodedata.normalize("NFKC", folded).translate(_ALIKE)
        folded = "".join(sign for sign in folded if unicodedata.category(sign) != _UNSEEN)
        if folded.isspace():
            if not after_blank:
                yield " ", start, end
            after_blank = True
        elif folded:
            yield folded, start, end
            after_blank = False
        start = end


def _continues_character(sign: str) -> bool:
    """Tell whether a character belongs to the one before it: a mark, or a vowel or final of Hangul."""
    return unicodedata.category(sign).startswith("M") or "\u1160" <= sign <= "\u11ff"
