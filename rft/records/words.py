"""The words of transcripts, and which of them were recognised."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class WordOccurrences:
    """Every word of the references, after the normaliser, where it stands, and whether it was recognised.

    Attributes:
        vocabulary: the V different words, those of hypotheses too.
        rows: (M,) the utterance that each word stands in, int32, ascending.
        words: (M,) indices into ``vocabulary``, int32.
        wrong: (M,) whether another word, or nothing, was written for it.
    """

    vocabulary: tuple[str, ...]
    rows: np.ndarray
    words: np.ndarray
    wrong: np.ndarray
