"""Words of the test texts that take the place of others: drawn at random, or as far from them as a pair of terms is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from rft.plugins.attribution.network import Network
from rft.plugins.attribution.texts.shortcuts.edits import match_case
from rft.plugins.attribution.texts.tokenized_texts import TokenizedTextReader
from rft.plugins.attribution.texts.words import FoldedText

MAX_TEXTS = 2000  # texts that words are taken from
MAX_WORDS = 5000  # different words whose embeddings are compared
NEAREST = 10  # words as far as wanted, of which one is drawn


@dataclass(frozen=True)
class WordPool:
    """Words of other texts.

    Attributes:
        words: as often as they stand in the texts.
        vocabulary: V different ones of them.
        embeddings: (V, D) the model's word embedding of each, the mean over its tokens; None where the model has none.
        reader, network: give the embeddings of further words.
    """

    words: Sequence[str]
    vocabulary: Sequence[str]
    embeddings: np.ndarray | None
    reader: TokenizedTextReader
    network: Network

    @classmethod
    def collect(
        cls, network: Network, reader: TokenizedTextReader, excluded: re.Pattern[str], rng: np.random.Generator
    ) -> WordPool:
        """Return the words of a random sample of the test texts, without those that a pattern of folded texts finds."""
        rows = rng.permutation(len(reader.strings))[:MAX_TEXTS].tolist()
        words = [
            text[start:end].lower()
            for text in (reader.strings[row] for row in rows)
            for start, end in FoldedText.fold(text).find_words().tolist()
        ]
        words = [word for word in words if not excluded.search(FoldedText.fold(word).text)]
        different = [word for word in sorted(set(words)) if reader.word_tokens(word)]
        vocabulary = rng.permutation(np.array(different, dtype=object))[:MAX_WORDS].tolist()
        return cls(words, vocabulary, _embed_words(network, reader, vocabulary), reader, network)

    @property
    def measures_distance(self) -> bool:
        """Whether words can be drawn by their distance: whether the model has word embeddings."""
        return self.embeddings is not None and len(self.vocabulary) > 0

    def draw_word(self, word: str, rng: np.random.Generator) -> str:
        """Return another word, as often as it stands in texts, with the capitals of this one."""
        others = [self.words[index] for index in rng.integers(len(self.words), size=20).tolist()]
        different = next((drawn for drawn in others if drawn != word.lower()), others[0])
        return match_case(different, word)

    def draw_as_far(self, word: str, distance: float, rng: np.random.Generator) -> str:
        """Return another word whose embedding is about as far from this one's as ``distance``."""
        [embedding] = self._require_embeddings([word])
        known = self._require_embeddings(None)
        squares = self._squared_norms + embedding @ embedding - 2 * known @ embedding  # one product, no (V, D) copy
        off = np.abs(np.sqrt(squares.clip(min=0)) - distance)
        off[[other == word.lower() for other in self.vocabulary]] = np.inf
        nearest = np.argsort(off, kind="stable")[:NEAREST]
        return match_case(self.vocabulary[int(rng.choice(nearest))], word)

    def mean_distance(self, pairs: Sequence[tuple[str, str]]) -> float:
        """Return how far the words of N pairs are from each other in the mean."""
        first, second = (self._require_embeddings([pair[index] for pair in pairs]) for index in (0, 1))
        return float(np.linalg.norm(first - second, axis=1).mean())

    @cached_property
    def _squared_norms(self) -> np.ndarray:
        """(V,) squared lengths of the embeddings."""
        squares: np.ndarray = (self._require_embeddings(None) ** 2).sum(axis=1)
        return squares

    def _require_embeddings(self, words: Sequence[str] | None) -> np.ndarray:
        embeddings = self.embeddings if words is None else _embed_words(self.network, self.reader, words)
        if embeddings is None:
            raise ValueError("expected a model with word embeddings")
        return embeddings


def _embed_words(network: Network, reader: TokenizedTextReader, words: Sequence[str]) -> np.ndarray | None:
    """Return (W, D) the mean embeddings of the tokens of each word; None where the model has no word embeddings."""
    name = network.model.embedding_layer
    if name is None or not words:
        return None
    layer = network.model.get_submodule(name)
    ids = [reader.word_tokens(word) for word in words]
    with torch.no_grad():
        flat = layer(network.place(torch.tensor([[token for tokens in ids for token in tokens]])))[0]
    starts = np.cumsum([0, *(len(tokens) for tokens in ids)])[:-1]
    values: np.ndarray = flat.cpu().double().numpy()
    lengths = np.array([[len(tokens)] for tokens in ids])
    means: np.ndarray = np.add.reduceat(values, starts, axis=0) / lengths
    return means
