"""How far attributions of texts can be believed: their tokens taken away, and the texts attributed again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from rft.backbones.batch import Batch
from rft.plugins.attribution.interventions import NOISE
from rft.plugins.attribution.network import Network, move_embeddings
from rft.plugins.attribution.quality.parts import Parts
from rft.plugins.attribution.texts.methods import Scores, find_embeddings, remove_words, repeat_gradients
from rft.plugins.attribution.texts.replacements import Replacement, choose_token, find_removal
from rft.plugins.attribution.texts.tokenized_texts import TokenizedTexts


@dataclass(frozen=True)
class TextExamples:
    """M texts with a sound attribution: a ``PartExamples`` whose parts are tokens, of which ordinary ones count.

    Attributes:
        network: the classifier.
        method: ``integrated_gradients`` or ``word_removal``.
        texts: the texts.
        target: (M,) predicted classes.
        values: M of (T,) attributions, padding left out.
        replacements: what may stand for the absence of a word, the least shift first.
        references: none: the deletion test of texts is held against random tokens alone.
    """

    network: Network
    method: str
    texts: TokenizedTexts
    target: Tensor
    values: Parts
    replacements: Sequence[Replacement]
    references: Mapping[str, Parts] = field(default_factory=dict)

    @classmethod
    def from_scores(
        cls,
        network: Network,
        texts: TokenizedTexts,
        target: Tensor,
        scores: Scores,
        replacements: Sequence[Replacement],
    ) -> TextExamples:
        """Take the sound ones of the attributions of N texts."""
        used = np.flatnonzero(scores.sound)
        values = [scores.values[index] for index in used.tolist()]
        return cls(network, scores.method, texts.select_texts(used), target[used], values, replacements)

    @property
    def eligible(self) -> Parts:
        """M of (T,), which tokens are ordinary."""
        return [of_text[: len(values)] for of_text, values in zip(self.texts.ordinary, self.values, strict=True)]

    @property
    def takes_fewer_steps(self) -> bool:
        """Whether attributions are made again with fewer steps: integrated gradients are."""
        return self.method == "integrated_gradients"

    def read_inputs(self, places: np.ndarray) -> Batch:
        """Return the inputs of some texts."""
        return self.texts.select_texts(places).inputs

    def measure_margins(self, removed: list[np.ndarray]) -> np.ndarray:
        """Return the (M,) margins of texts of which M of (T,) tokens are replaced as shifts predictions least."""
        where = np.zeros_like(self.texts.ordinary)
        for of_text, of_parts in zip(where, removed, strict=True):
            of_text[: len(of_parts)] = of_parts
        inputs = self.replacements[0].replace(self.texts, where) if where.any() else self.texts.inputs
        margins: np.ndarray = self.network.margins(inputs, self.target).numpy()
        return margins

    def measure_content(self, places: np.ndarray) -> Parts:
        """Return how far the embedding of each token is from that of the baseline token, ``|x - baseline|``.

        NaN where the model has no word embeddings.
        """
        if self.network.model.embedding_layer is None:
            return [np.full(len(self.values[place]), np.nan) for place in places.tolist()]
        layer = find_embeddings(self.network)
        distances = []
        for place in places.tolist():
            ids = self.texts.batch_of(place)["input_ids"]
            with torch.no_grad():
                both = [
                    layer(self.network.place(tokens)).float()
                    for tokens in (ids, torch.full_like(ids, self._baseline_token))
                ]
            distances.append((both[0] - both[1]).norm(dim=2)[0].cpu().numpy())
        return distances

    def attribute(self, network: Network, places: np.ndarray) -> Parts:
        """Return the attributions of some texts by a network."""
        texts, target = self.texts.select_texts(places), self.target[places]
        if self.method == "integrated_gradients":
            return repeat_gradients(network, texts, target, baseline=self._baseline_token)
        removal = find_removal(self.replacements)
        return [remove_words(network, texts, target, index, removal) for index in range(len(texts))]

    def attribute_noisy(self, places: np.ndarray, rng: np.random.Generator) -> Parts:
        """Return those of some texts while the embeddings of their words, and of what replaces them, are moved.

        A word is moved alike wherever it stands in a text, so that the noise of a text from which words were taken out
        is that of the text; each text gets noise of its own.

        Raises:
            Unavailable: when the model has no word embeddings, or does not ask them for tokens.
        """
        layer = find_embeddings(self.network)
        values: list[np.ndarray] = []
        used = [replacement.token for replacement in self.replacements if replacement.token is not None]
        for place in places.tolist():
            ids = self.texts.batch_of(place)["input_ids"]
            with torch.no_grad():
                embeddings = layer(self.network.place(ids)).float()
            tokens = torch.cat([ids.flatten(), torch.tensor(used, dtype=ids.dtype)]).unique()
            scale = NOISE * float(embeddings.max() - embeddings.min())
            drawn = rng.standard_normal((len(tokens), embeddings.shape[-1]), dtype=np.float32)
            with move_embeddings(layer, tokens, scale * torch.from_numpy(drawn)):
                values.extend(self.attribute(self.network, np.array([place])))
        return values

    @property
    def _baseline_token(self) -> int:
        """The token that integrated gradients start from."""
        token = choose_token(self.replacements).token
        assert token is not None  # a token was chosen, not the removal
        return token
