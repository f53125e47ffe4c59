"""What may stand for the absence of a stretch of time or of a band, by how little it shifts predictions by itself.

Silence is no nothing to a model: within speech it is a stop, and a band without any energy a filter that no room has.
So in a sample of the test recordings a few random parts are filled in each way, and what shifts the predictions least
is taken.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rft.plugins.attribution import FILLED_RECORDINGS
from rft.plugins.attribution.interventions import one_per_unit
from rft.plugins.attribution.network import Network, batch_slices
from rft.plugins.attribution.replacement_shift import REPLACED_SHARE, MeasuredReplacement, measure_shift
from rft.plugins.attribution.speech.clips import TestClips
from rft.plugins.attribution.speech.parts import PARTS_OF
from rft.plugins.attribution.speech.spectra import FILLS, Fill, ShortTimeSpectrum
from rft.runtime.progress import track_progress

NAMES: dict[Fill, str] = {
    "silence": "silence",
    "background": "noise like the quietest tenth of the recording",
    "mean spectrum": "noise with the mean spectrum of the recording",
}


@dataclass(frozen=True)
class Replacement(MeasuredReplacement):
    """What may stand for the absence of parts of recordings, and what it does.

    Attributes:
        method: whose parts are filled, a key of ``PARTS_OF``.
        fill: how.
    """

    method: str
    fill: Fill


def measure_replacements(
    network: Network, clips: TestClips, n: int, units: np.ndarray | None, rng: np.random.Generator
) -> dict[str, list[Replacement]]:
    """Return what each way of filling does, by method, the least shift first; the same parts are filled in each way.

    Args:
        network: the classifier.
        clips: reads rows of the test split.
        n: number of its rows.
        units: (N,) whose recording each row is, or None; one recording of each is taken.
        rng: source of the recordings and parts.
    """
    rows = one_per_unit(n, units, rng)[:FILLED_RECORDINGS]
    before: list[Tensor] = []
    after: dict[tuple[str, Fill], list[Tensor]] = {(method, fill): [] for method in PARTS_OF for fill in FILLS}
    for part in track_progress(list(batch_slices(len(rows))), "Replacements"):
        recordings = clips.read(rows[part])
        spectra = [ShortTimeSpectrum.from_recording(recording) for recording in recordings]
        before.append(network.logits(clips.prepare(recordings)))
        for method, cut in PARTS_OF.items():
            where = [_draw_parts(cut(spectrum), rng) for spectrum in spectra]
            for fill in FILLS:
                filled = [
                    spectrum.fill(cells, fill).to_recording() for spectrum, cells in zip(spectra, where, strict=True)
                ]
                after[method, fill].append(network.logits(clips.prepare(filled)))
    whole = torch.cat(before)
    measured = [
        Replacement(NAMES[fill], *measure_shift(whole, torch.cat(logits)), method, fill)
        for (method, fill), logits in after.items()
    ]
    return {
        method: sorted((filling for filling in measured if filling.method == method), key=lambda filling: filling.shift)
        for method in PARTS_OF
    }


def _draw_parts(parts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the cells of a few random parts."""
    count = max(round(REPLACED_SHARE * len(parts)), 1)
    cells: np.ndarray = np.logical_or.reduce(parts[rng.permutation(len(parts))[:count]])
    return cells
