"""The deletion test of texts: do the tokens that an attribution marks matter more to the prediction than others?"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from rft.plugins.attribution.network import Network
from rft.plugins.attribution.quality.deletion import delete_parts
from rft.plugins.attribution.texts.methods import Scores
from rft.plugins.attribution.texts.replacements import Replacement
from rft.plugins.attribution.texts.tokenized_texts import TokenizedTexts


def deletion_gain(
    network: Network,
    texts: TokenizedTexts,
    target: Tensor,
    scores: Scores,
    *,
    replacement: Replacement,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return (M,) how much more the predicted class loses by the attribution's deletion than by a random one.

    The ordinary tokens with the largest attributions are replaced; the control replaces as many random ones.

    Args:
        network: the classifier.
        texts: N texts.
        target: (N,) predicted classes.
        scores: attributions of the texts; M of them are sound, and only those are used.
        replacement: what stands for the absence of a word.
        rng: source of the random tokens.

    Returns:
        For each sound attribution the drop by its own deletion minus the mean drop by random ones, as a share of the
        mean margin of the texts; empty where there is no margin.
    """
    used = np.flatnonzero(scores.sound)
    texts, target = texts.select_texts(used), target[used]
    values = [scores.values[index] for index in used]
    ordinary = [of_text[: len(of_values)] for of_text, of_values in zip(texts.ordinary, values, strict=True)]

    def margins_without(parts: list[np.ndarray]) -> np.ndarray:
        where = np.zeros_like(texts.ordinary)
        for of_text, of_parts in zip(where, parts, strict=True):
            of_text[: len(of_parts)] = of_parts
        inputs = replacement.replace(texts, where) if where.any() else texts.inputs
        margins: np.ndarray = network.margins(inputs, target).numpy()
        return margins

    return delete_parts(values, ordinary, margins_without, rng=rng).gain
