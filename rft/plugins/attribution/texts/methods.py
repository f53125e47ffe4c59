"""Integrated gradients on the word embeddings, and the removal of words, with checks on what they return.

They explain the predicted class and run the joined classifier on tokens: cached features have no way back to the words.
The parameters stay frozen; Captum asks for gradients of the embeddings alone, and removal for none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from rft.errors import Unavailable
from rft.plugins.attribution.network import FromEmbeddings, Network
from rft.plugins.attribution.path import REPEATED_STEPS, Completeness, Path
from rft.plugins.attribution.texts.replacements import Replacement
from rft.plugins.attribution.texts.tokenized_texts import TokenizedTexts
from rft.plugins.attribution.texts.words import FoldedText
from rft.runtime.progress import track_progress

MAX_REMOVALS = 64  # of one text: a longer one loses several words at a time


@dataclass(frozen=True)
class Scores:
    """Attributions of N texts by one method.

    Attributes:
        method: ``integrated_gradients`` or ``word_removal``.
        values: N of (T,) float32, one a token, padding left out; 0 for special tokens, which are never replaced.
        completeness: how complete each is; None for word removal, which promises nothing.
    """

    method: str
    values: tuple[np.ndarray, ...]
    completeness: tuple[Completeness, ...] | None = None

    @property
    def sound(self) -> np.ndarray:
        """(N,) whether attributions are finite and one speaks for the predicted class; only such are used."""
        return np.array(
            [bool(np.isfinite(attribution).all() and (attribution > 0).any()) for attribution in self.values]
        )


def integrated_gradients(
    network: Network, texts: TokenizedTexts, target: Tensor, *, baseline: int, max_steps: int
) -> Scores:
    """Return integrated gradients of the logits ``target`` (N,), summed over the dimensions of the word embeddings.

    The path leads from the text with the token ``baseline`` for each ordinary token to the text (Sundararajan et al.
    2017, ICML, section 6.3); special tokens stay. At most ``max_steps`` gradients are taken, as ``path`` says.

    Raises:
        Unavailable: when the model has no layer of word embeddings, or does not begin with it.
    """
    results = [
        path.integrate(max_steps)
        for path in track_progress(
            _list_paths(network, texts, target, baseline), "Integrated gradients", total=len(texts)
        )
    ]
    values, completeness = zip(*results, strict=True)
    return Scores("integrated_gradients", values, completeness)


def repeat_gradients(
    network: Network, texts: TokenizedTexts, target: Tensor, *, baseline: int
) -> tuple[np.ndarray, ...]:
    """Return N of (T,) integrated gradients with ``REPEATED_STEPS`` steps, to be compared with others of as many."""
    return tuple(path.integrate_with(REPEATED_STEPS) for path in _list_paths(network, texts, target, baseline))


def find_embeddings(network: Network) -> nn.Module:
    """Return the layer of word embeddings; raises ``Unavailable`` when the model has none."""
    name = network.model.embedding_layer
    if name is None:
        raise Unavailable("this model has no word embeddings")
    return network.model.get_submodule(name)


def _list_paths(network: Network, texts: TokenizedTexts, target: Tensor, baseline: int) -> Iterator[Path]:
    layer, absent = find_embeddings(network), texts.replace_tokens(texts.ordinary, baseline)["input_ids"]
    for index in range(len(texts)):
        inputs = texts.batch_of(index)
        ids = torch.cat([absent[index : index + 1, : inputs["input_ids"].shape[1]], inputs["input_ids"]])
        with torch.no_grad():
            start, end = layer(network.place(ids)).float()
        yield Path(FromEmbeddings(network, layer, inputs), start, end, int(target[index]), axis=1)


def word_removal(network: Network, texts: TokenizedTexts, target: Tensor, *, removal: Replacement) -> Scores:
    """Return by how much the lead of the classes ``target`` (N,) falls when a word is taken out.

    The tokens of a word share its drop evenly. A text of more than ``MAX_REMOVALS`` words loses several words that
    stand together at a time. Source: Li et al. 2016, arXiv:1612.08220, on the margin in the place of the likelihood.
    """
    places = track_progress(range(len(texts)), "Word removal")
    return Scores("word_removal", tuple(remove_words(network, texts, target, index, removal) for index in places))


def remove_words(
    network: Network, texts: TokenizedTexts, target: Tensor, index: int, removal: Replacement
) -> np.ndarray:
    """Return (T,) float32 what ``word_removal`` says of the text ``index``."""
    length = int(texts.inputs["attention_mask"][index].sum())
    words = _join_words(texts, index)
    alone = texts.select_texts(np.full(len(words) + 1, index))
    where = np.vstack([np.zeros((1, words.shape[1]), dtype=bool), words])
    margins = network.margins(removal.replace(alone, where), target[index].expand(len(alone))).numpy()
    drops = (margins[0] - margins[1:]) / words.sum(axis=1)
    values: np.ndarray = (drops @ words).astype(np.float32)[:length]
    return values


def _join_words(texts: TokenizedTexts, index: int) -> np.ndarray:
    """Return (W, T) the tokens of each word of a text, or of words that stand together, at most ``MAX_REMOVALS``."""
    words = texts.cover_spans(index, FoldedText.fold(texts.strings[index]).find_words())
    words = words[words.any(axis=1)]
    together = np.array_split(words, min(len(words), MAX_REMOVALS)) if len(words) else []
    joined: np.ndarray = np.array([run.any(axis=0) for run in together], dtype=bool).reshape(-1, words.shape[1])
    return joined
