"""The words that a recogniser gets wrong most often, in each group of speakers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rft.records import WordOccurrences

MOST_WORDS = 10  # of a group
FEWEST_SPEAKERS = 5  # of a word that is shown: what fewer say may be a name, and tells of them


@dataclass(frozen=True)
class WrongWord:
    """A word in one group: how often it was said, how often it was not recognised, and by how many speakers."""

    word: str
    said: int
    wrong: int
    speakers: int


def find_wrong_words(
    words: WordOccurrences, groups: np.ndarray, units: np.ndarray, *, n_groups: int, fewest_speakers: int
) -> list[list[WrongWord]]:
    """Return for each of G groups the words that were wrong most often, those first, equals by the alphabet.

    Args:
        words: of N utterances.
        groups: (N,) codes 0 to G - 1, -1 for utterances that are not looked at.
        units: (N,) codes from 0 on of who speaks.
        n_groups: G.
        fewest_speakers: a word that fewer speakers of a group said is left out of it.
    """
    group_of_word = groups[words.rows]
    looked_at = group_of_word >= 0
    size = len(words.vocabulary)
    cells = group_of_word[looked_at].astype(np.int64) * size + words.words[looked_at]
    keys, cell = np.unique(cells, return_inverse=True)
    said = np.bincount(cell, minlength=len(keys))
    wrong = np.bincount(cell, weights=words.wrong[looked_at], minlength=len(keys)).astype(np.int64)
    by_speaker = np.unique(cell.astype(np.int64) * (int(units.max(initial=0)) + 1) + units[words.rows][looked_at])
    speakers = np.bincount(by_speaker // (int(units.max(initial=0)) + 1), minlength=len(keys))
    shown = np.flatnonzero((wrong > 0) & (speakers >= fewest_speakers))
    found: list[list[WrongWord]] = [[] for _ in range(n_groups)]
    for index in sorted(shown.tolist(), key=lambda index: (-wrong[index], words.vocabulary[keys[index] % size])):
        of_group = found[int(keys[index] // size)]
        if len(of_group) < MOST_WORDS:
            word = words.vocabulary[int(keys[index] % size)]
            of_group.append(WrongWord(word, int(said[index]), int(wrong[index]), int(speakers[index])))
    return found
