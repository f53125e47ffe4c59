"""The deletion test: do the tokens that an attribution marks matter more to the prediction than others?"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from rft.plugins.attribution.interventions import DELETED_SHARES, RANDOM_CONTROLS
from rft.plugins.attribution.network import Network
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

    The ordinary tokens with the largest attributions, at least one, are replaced, and the drop of
    the predicted class's margin over the others is noted: the mean over the shares ``DELETED_SHARES`` of the tokens
    (after Samek et al. 2017, IEEE TNNLS 28:2660, carried over to tokens). The control replaces as many random ordinary
    tokens.

    Args:
        network: the classifier.
        texts: N texts.
        target: (N,) predicted classes.
        scores: attributions of the texts; M of them are sound, and only those are used.
        replacement: what stands for the absence of a word.
        rng: source of the random tokens.

    Returns:
        For each sound attribution the drop by its own deletion minus the mean drop by ``RANDOM_CONTROLS`` random ones,
        as a share of the mean margin of the texts; empty where there is no margin.
    """
    used = np.flatnonzero(scores.sound)
    texts, target = texts.select_texts(used), target[used]
    values = [scores.values[index] for index in used]
    margin = float(network.margins(texts.inputs, target).mean())
    if not margin > 0:
        return np.array([])

    def margins_without(where: np.ndarray) -> Tensor:
        return network.margins(replacement.replace(texts, where), target)

    gains = torch.zeros(len(used), dtype=torch.float64)
    for share in DELETED_SHARES:
        controls = [
            margins_without(top_tokens(texts, [rng.random(len(text_values)) for text_values in values], share))
            for _ in range(RANDOM_CONTROLS)
        ]
        gains += torch.stack(controls).mean(dim=0) - margins_without(top_tokens(texts, values, share))
    return (gains / len(DELETED_SHARES) / margin).numpy()


def top_tokens(texts: TokenizedTexts, values: list[np.ndarray], share: float) -> np.ndarray:
    """Return (N, T) where the largest ``share`` of N ``values`` is, each (T,), among the ordinary tokens of a text."""
    top = np.zeros_like(texts.ordinary)
    for is_top, ordinary, text_values in zip(top, texts.ordinary, values, strict=True):
        places = np.flatnonzero(ordinary)
        count = max(round(share * len(places)), 1)
        is_top[places[np.argsort(-text_values[places], kind="stable")[:count]]] = True
    return top
