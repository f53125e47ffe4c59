"""How far attributions of recordings can be believed: their parts filled, and the recordings attributed again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from rft.backbones.batch import Batch
from rft.plugins.attribution import OCCLUSIONS
from rft.plugins.attribution.network import Network, batch_slices
from rft.plugins.attribution.quality.parts import Parts
from rft.plugins.attribution.speech.clips import ExplainedClips
from rft.plugins.attribution.speech.methods import Scores, occlude_one, occlude_parts, repeat_gradients
from rft.plugins.attribution.speech.parts import PARTS_OF
from rft.plugins.attribution.speech.replacements import Replacement
from rft.plugins.attribution.speech.spectra import ShortTimeSpectrum

LOUD = "what is merely loud"


@dataclass(frozen=True)
class ClipExamples:
    """M recordings with a sound attribution: a ``PartExamples`` whose parts are windows of time or bands.

    Attributes:
        network: the classifier.
        method: its name.
        clips: the recordings.
        values: M of (P,) attributions.
        filling: fills the parts that the method has.
    """

    network: Network
    method: str
    clips: ExplainedClips
    values: Parts
    filling: Replacement

    @classmethod
    def from_scores(
        cls, network: Network, explained: ExplainedClips, scores: Scores, filling: Replacement
    ) -> ClipExamples:
        """Take the sound ones of attributions of some of the explained recordings."""
        used = np.flatnonzero(scores.sound)
        values = [scores.values[index] for index in used.tolist()]
        return cls(network, scores.method, explained.take(scores.places[used]), values, filling)

    @property
    def eligible(self) -> Parts:
        """M of (P,): all parts."""
        return [np.ones(len(of_clip), dtype=bool) for of_clip in self.values]

    @cached_property
    def references(self) -> Mapping[str, Parts]:
        """The loudness of the parts: speech is loud, and loudness knows nothing of what the network has learned."""
        return {LOUD: self.measure_content(np.arange(len(self.clips)))}

    @property
    def takes_fewer_steps(self) -> bool:
        """Whether attributions are made again with fewer steps: integrated gradients are."""
        return self.method not in OCCLUSIONS

    def read_inputs(self, places: np.ndarray) -> Batch:
        """Return the inputs of some recordings."""
        reader = self.clips.clips
        return reader.prepare(reader.read(self.clips.rows[places]))

    def measure_margins(self, removed: list[np.ndarray]) -> np.ndarray:
        """Return the (M,) margins of recordings of which M of (P,) parts are filled."""
        margins = []
        for part in batch_slices(len(self.clips)):
            recordings = self.clips.clips.read(self.clips.rows[part])
            filled = [
                occlude_parts(recording, [which], self.filling)[0]
                for recording, which in zip(recordings, removed[part], strict=True)
            ]
            margins.append(self.network.margins(self.clips.clips.prepare(filled), self.clips.target[part]))
        joined: np.ndarray = torch.cat(margins).numpy()
        return joined

    def measure_content(self, places: np.ndarray) -> Parts:
        """Return the loudness of the parts of some recordings: their power."""
        loudness = []
        for place in places.tolist():
            spectrum = ShortTimeSpectrum.from_recording(self.clips.read_one(place)[0])
            power, parts = spectrum.power.numpy(), PARTS_OF[self.filling.method](spectrum)
            loudness.append(np.array([float((power * part).sum()) for part in parts]))
        return loudness

    def attribute(self, network: Network, places: np.ndarray) -> Parts:
        """Return the attributions of some recordings by a network."""
        return self._attribute_clips(network, self.clips.take(places))

    def attribute_noisy(self, places: np.ndarray, rng: np.random.Generator) -> Parts:
        """Return those of some recordings under white noise, of which each reading of a recording has the same."""
        return self._attribute_clips(self.network, self.clips.take(places).add_noise(int(rng.integers(2**63))))

    def _attribute_clips(self, network: Network, clips: ExplainedClips) -> Parts:
        attribute = repeat_gradients if self.takes_fewer_steps else occlude_one
        return [attribute(network, clips, place, self.filling) for place in range(len(clips))]
