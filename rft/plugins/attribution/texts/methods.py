"""Integrated gradients on the word embeddings, with checks on what they return.

They explain the logit of the predicted class and run the joined classifier on tokens: cached features have no way back
to the words. The parameters stay frozen; Captum asks for gradients of the embeddings alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rft.errors import Unavailable
from rft.plugins.attribution.network import FromEmbeddings, Network
from rft.plugins.attribution.path import Completeness, Path
from rft.plugins.attribution.texts.tokenized_texts import TokenizedTexts
from rft.runtime.progress import track_progress

METHOD = "integrated_gradients"


@dataclass(frozen=True)
class Scores:
    """Attributions of N texts by integrated gradients.

    Attributes:
        values: N of (T,) float32, one a token, padding left out; 0 for special tokens, which the baseline has too.
        completeness: how complete each is.
    """

    values: tuple[np.ndarray, ...]
    completeness: tuple[Completeness, ...]

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
    name = network.model.embedding_layer
    if name is None:
        raise Unavailable("this model has no word embeddings")
    layer, absent = network.model.get_submodule(name), texts.replace_tokens(texts.ordinary, baseline)["input_ids"]
    results = []
    for index in track_progress(range(len(texts)), "Integrated gradients"):
        inputs = texts.batch_of(index)
        ids = torch.cat([absent[index : index + 1, : inputs["input_ids"].shape[1]], inputs["input_ids"]])
        with torch.no_grad():
            start, end = layer(network.place(ids)).float()
        path = Path(FromEmbeddings(network, layer, inputs), start, end, int(target[index]), axis=1)
        results.append(path.integrate(max_steps))
    values, completeness = zip(*results, strict=True)
    return Scores(values, completeness)
