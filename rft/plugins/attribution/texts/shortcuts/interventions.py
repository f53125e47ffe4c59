"""Suspected words are changed in the texts that have them, and flips counted beside a control.

Attributions understate reliance, so they do not decide. What decides is how many predictions change when the words are
removed or exchanged, beyond those that change when as many other words of the same texts are.
"""

from __future__ import annotations

import re

import numpy as np

from rft.backbones.batch import Batch
from rft.plugins.attribution.interventions import Condition, Intervention, one_per_unit
from rft.plugins.attribution.network import Network, batch_slices
from rft.plugins.attribution.texts.shortcuts.changes import WordChange
from rft.plugins.attribution.texts.shortcuts.edits import apply_edits
from rft.plugins.attribution.texts.tokenized_texts import TokenizedTextReader, TokenizedTexts
from rft.plugins.attribution.texts.words import FoldedText
from rft.runtime.progress import track_progress

THESE, OTHERS = "these words", "other words of the same texts"


class FirstPredictions:
    """What the network predicts for texts as they are: once for all shortcuts that change them."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self._known: dict[int, int] = {}

    def predict(self, texts: TokenizedTexts) -> np.ndarray:
        """Return (N,) predicted classes."""
        new = np.flatnonzero([row not in self._known for row in texts.rows.tolist()])
        if len(new):
            fresh = texts.select_texts(new)
            self._known |= zip(fresh.rows.tolist(), _predict(self.network, fresh.inputs), strict=True)
        return np.array([self._known[row] for row in texts.rows.tolist()], dtype=np.int64)


def change_words(
    first: FirstPredictions,
    reader: TokenizedTextReader,
    units: np.ndarray | None,
    *,
    change: WordChange,
    most: int,
    rng: np.random.Generator,
) -> Intervention:
    """Change words in the test texts that have them and count the predictions that change.

    Both conditions change the same texts, and of each unit one text: the pairs of outcomes are independent.

    Args:
        first: the classifier, and what it predicts for texts as they are.
        reader: reads rows of the test split.
        units: (N,) whose text each row is, or None.
        change: which words, and what is done to them.
        most: largest number of texts.
        rng: source of the draws.

    Returns:
        ``shortcut``: all places with one of the words are changed. ``control``: so are random other words of the text,
        at least as many and with at least as many tokens. Texts that have too few other words are left out of both.
    """
    having = np.flatnonzero([len(FoldedText.fold(text).find_spans(change.pattern)) > 0 for text in reader.strings])
    rows = having[one_per_unit(len(having), None if units is None else units[having], rng)]
    changed, flipped, n = [np.empty(0, dtype=np.int64)], [np.empty((2, 0), dtype=bool)], 0
    for part in track_progress(list(batch_slices(len(rows))), "Interventions"):
        texts = reader.read(rows[part])
        edited = {index: _edit_text(texts, index, change, rng) for index in range(len(texts))}
        usable = {index: both for index, both in edited.items() if both is not None}
        kept = np.array(list(usable)[: most - n], dtype=np.int64)
        if len(kept):
            before = first.predict(texts.select_texts(kept))
            after = [
                _predict(first.network, reader.encode([usable[index][condition] for index in kept.tolist()]))
                for condition in (0, 1)
            ]
            flipped.append(np.stack(after) != before)
            changed.append(texts.rows[kept])
            n += len(kept)
        if n == most:
            break
    these, others = np.concatenate(flipped, axis=1)
    return Intervention(Condition(THESE, these), Condition(OTHERS, others), np.concatenate(changed))


def _edit_text(
    texts: TokenizedTexts, index: int, change: WordChange, rng: np.random.Generator
) -> tuple[str, str] | None:
    """Return a text with its suspected words changed, and with others changed; None where there are no such others."""
    spans = select_control_words(texts, index, change.pattern, rng)
    if spans is None:
        return None
    text = texts.strings[index]
    suspected = change.edit_suspected(text, rng)
    others = change.edit_others(text, spans, suspected, rng)
    return apply_edits(text, suspected), apply_edits(text, others)


def select_control_words(
    texts: TokenizedTexts, index: int, pattern: re.Pattern[str], rng: np.random.Generator
) -> np.ndarray | None:
    """Return (W, 2) where random words of a text stand that a pattern does not find.

    They are at least as many words, and at least as many tokens, as what it finds in the part that the model reads.
    None where there is nothing to find there, or not enough else.
    """
    folded = FoldedText.fold(texts.strings[index])
    named = texts.cover_spans(index, folded.find_spans(pattern))
    words = folded.find_words()
    tokens = texts.cover_spans(index, words)
    is_named = np.logical_or.reduce(named)
    hit = (tokens & is_named).any(axis=1)
    wanted = max(int(hit.sum()), int(named.any(axis=1).sum()))
    free = rng.permutation(np.flatnonzero(tokens.any(axis=1) & ~hit))
    count = tokens[free].sum(axis=1).cumsum()
    enough = np.flatnonzero((np.arange(1, len(free) + 1) >= wanted) & (count >= is_named.sum()))
    if not is_named.any() or not len(enough):
        return None
    chosen: np.ndarray = words[np.sort(free[: enough[0] + 1])]
    return chosen


def _predict(network: Network, inputs: Batch) -> np.ndarray:
    predicted: np.ndarray = network.logits(inputs).argmax(dim=1).numpy()
    return predicted
