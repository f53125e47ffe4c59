"""The deletion test of recordings: do the windows or bands that an attribution marks matter more than others?

They are held against random ones, and against those that are loudest: speech is loud, and what is loud knows nothing of
what the network has learned.
"""

from __future__ import annotations

import numpy as np
import torch

from rft.plugins.attribution.network import Network, batch_slices
from rft.plugins.attribution.quality.deletion import PartDeletion, delete_parts
from rft.plugins.attribution.speech.clips import ExplainedClips
from rft.plugins.attribution.speech.methods import Scores, occlude_parts
from rft.plugins.attribution.speech.parts import PARTS_OF
from rft.plugins.attribution.speech.replacements import Replacement
from rft.plugins.attribution.speech.spectra import ShortTimeSpectrum

LOUD = "what is merely loud"


def measure_deletion(
    network: Network,
    explained: ExplainedClips,
    scores: Scores,
    replacement: Replacement,
    rng: np.random.Generator,
) -> PartDeletion:
    """Fill the parts that attributions mark, beside random ones and the loudest, of the sound ones alone.

    Args:
        network: the classifier.
        explained: the recordings that are explained.
        scores: attributions of M of them.
        replacement: fills the parts that the method has.
        rng: source of the random parts.
    """
    used = np.flatnonzero(scores.sound)
    chosen = explained.take(scores.places[used])
    values = [scores.values[index] for index in used.tolist()]

    def margins_without(parts: list[np.ndarray]) -> np.ndarray:
        margins = []
        for part in batch_slices(len(chosen)):
            recordings = chosen.clips.read(chosen.rows[part])
            filled = [
                occlude_parts(recording, [which], replacement)[0]
                for recording, which in zip(recordings, parts[part], strict=True)
            ]
            margins.append(network.margins(chosen.clips.prepare(filled), chosen.target[part]))
        joined: np.ndarray = torch.cat(margins).numpy()
        return joined

    loudness = [_measure_loudness(chosen, place, replacement.method) for place in range(len(chosen))]
    eligible = [np.ones(len(of_values), dtype=bool) for of_values in values]
    return delete_parts(values, eligible, margins_without, rng=rng, references={LOUD: loudness})


def _measure_loudness(explained: ExplainedClips, place: int, method: str) -> np.ndarray:
    """Return (P,) the power in each part of a recording."""
    spectrum = ShortTimeSpectrum.from_recording(explained.read_one(place)[0])
    power = spectrum.power.numpy()
    return np.array([float((power * part).sum()) for part in PARTS_OF[method](spectrum)])
