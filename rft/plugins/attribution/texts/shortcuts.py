"""The verdict on suspected words: replace them in the texts that have them and count the flips.

Attributions understate reliance, so they do not decide. What decides is how many predictions change when the words are
replaced by the baseline token, beyond those that change when other words of the same texts are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from rft.plugins.attribution.interventions import Condition, Intervention, one_per_unit
from rft.plugins.attribution.network import Network, batch_slices
from rft.plugins.attribution.texts.tokenized_texts import TokenizedTextReader, TokenizedTexts
from rft.plugins.attribution.texts.words import FoldedText, whole_word_pattern
from rft.runtime.progress import track_progress

THESE, OTHERS = "these words", "other words of the same texts"


def replace_words(
    network: Network,
    reader: TokenizedTextReader,
    units: np.ndarray | None,
    *,
    words: Sequence[str],
    most: int,
    rng: np.random.Generator,
) -> Intervention:
    """Replace words in the test texts that have them and count the predictions that change.

    Both conditions change the same texts, and of each unit one text: the cases of a condition are independent.

    Args:
        network: the classifier.
        reader: reads rows of the test split.
        units: (N,) whose text each row is, or None.
        words: words or phrases, found whole as ``words`` says.
        most: largest number of texts.
        rng: source of the draws.

    Returns:
        ``shortcut``: all places with one of the words are replaced. ``control``: so are random other words of the text,
        at least as many and with at least as many tokens. Texts that have too few other words are left out of both.
    """
    pattern = whole_word_pattern(words)
    having = np.flatnonzero([len(FoldedText.fold(text).find_spans(pattern)) > 0 for text in reader.strings])
    rows = having[one_per_unit(len(having), None if units is None else units[having], rng)]
    changed, flipped, n = [np.empty(0, dtype=np.int64)], [np.empty((2, 0), dtype=bool)], 0
    for part in track_progress(list(batch_slices(len(rows))), "Interventions"):
        texts = reader.read(rows[part])
        masks = np.stack(
            [matching_tokens(texts, index, pattern, rng) for index in range(len(texts))], axis=1
        )  # (2, N, T)
        usable = np.flatnonzero(masks.any(axis=2).all(axis=0))[: most - n]
        if len(usable):
            flipped.append(_find_flips(network, texts.select_texts(usable), masks[:, usable], reader.baseline))
            changed.append(texts.rows[usable])
            n += len(usable)
        if n == most:
            break
    these, others = np.concatenate(flipped, axis=1)
    return Intervention(Condition(THESE, these), Condition(OTHERS, others), np.concatenate(changed))


def matching_tokens(
    texts: TokenizedTexts, index: int, pattern: re.Pattern[str], rng: np.random.Generator
) -> np.ndarray:
    """Return (2, T) the tokens that a pattern finds in a text, and those of random other words.

    The others are at least as many words and at least as many tokens. Both rows are empty where there is no such pair.
    """
    folded = FoldedText.fold(texts.strings[index])
    named = _cover_tokens(texts, index, folded.find_spans(pattern))
    words = _cover_tokens(texts, index, folded.find_words())
    is_named = np.logical_or.reduce(named)
    hit = (words & is_named).any(axis=1)
    wanted = max(int(hit.sum()), int(named.any(axis=1).sum()))
    free = rng.permutation(np.flatnonzero(words.any(axis=1) & ~hit))
    tokens = words[free].sum(axis=1).cumsum()
    enough = np.flatnonzero((np.arange(1, len(free) + 1) >= wanted) & (tokens >= is_named.sum()))
    if not is_named.any() or not len(enough):
        return np.zeros((2, len(is_named)), dtype=bool)
    return np.stack([is_named, words[free[: enough[0] + 1]].any(axis=0)])


def _cover_tokens(texts: TokenizedTexts, index: int, spans: np.ndarray) -> np.ndarray:
    """Return (W, T) which ordinary tokens belong to each of (W, 2) spans in the part of the text that is read."""
    starts, ends = texts.spans[index].T
    read = spans[spans[:, 0] < ends.max()]
    values: np.ndarray = (starts < read[:, 1:]) & (ends > read[:, :1]) & texts.ordinary[index]
    return values


def _find_flips(network: Network, texts: TokenizedTexts, masks: np.ndarray, baseline: int) -> np.ndarray:
    """Return (A, N) which predictions change when the tokens under each of (A, N, T) masks are replaced."""
    before = network.logits(texts.inputs).argmax(dim=1)
    after = [network.logits(texts.replace_tokens(mask, baseline)).argmax(dim=1) for mask in masks]
    return np.stack([(predictions != before).numpy() for predictions in after])
