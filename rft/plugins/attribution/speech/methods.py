"""Occlusion of windows of time and of mel bands, and integrated gradients, with checks on what they return.

They explain the predicted class. Occlusion changes the samples, and the model's own preprocessing runs on what is left;
integrated gradients lead to the input that this makes of the recording, a waveform or a spectrum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from rft.data.audio.decoding import Recording
from rft.errors import Unavailable
from rft.plugins.attribution.network import Network
from rft.plugins.attribution.path import REPEATED_STEPS, Completeness, Path, explain_unsettled
from rft.plugins.attribution.speech.clips import ExplainedClips
from rft.plugins.attribution.speech.parts import PARTS_OF, count_windows
from rft.plugins.attribution.speech.replacements import Replacement
from rft.plugins.attribution.speech.spectra import ShortTimeSpectrum
from rft.runtime.progress import track_progress


@dataclass(frozen=True)
class Scores:
    """Attributions of M of the explained recordings by one method.

    Attributes:
        method: its name.
        places: (M,) of these recordings among all that are explained.
        values: M of (P,) float32, one a window or band.
        completeness: how complete each is; None for occlusion, which promises nothing.
    """

    method: str
    places: np.ndarray
    values: tuple[np.ndarray, ...]
    completeness: tuple[Completeness, ...] | None = None

    @property
    def sound(self) -> np.ndarray:
        """(M,) whether attributions are finite and one speaks for the predicted class; only such are used."""
        return np.array([bool(np.isfinite(values).all() and (values > 0).any()) for values in self.values])


def occlude_parts(recording: Recording, chosen: Sequence[np.ndarray], replacement: Replacement) -> list[Recording]:
    """Return a recording with each of V choices of its parts, (P,) booleans, filled; as it is where none is chosen."""
    spectrum = ShortTimeSpectrum.from_recording(recording)
    parts = PARTS_OF[replacement.method](spectrum)
    return [
        spectrum.fill(parts[which].any(axis=0), replacement.fill).to_recording() if which.any() else recording
        for which in chosen
    ]


def find_filled(recording: Recording, replacement: Replacement) -> Recording:
    """Return a recording of which all is filled: what integrated gradients start from."""
    return occlude_parts(recording, [np.ones(count_parts(recording, replacement.method), dtype=bool)], replacement)[0]


def count_parts(recording: Recording, method: str) -> int:
    """Return how many parts a method cuts a recording into."""
    return len(PARTS_OF[method](ShortTimeSpectrum.from_recording(recording)))


def measure_occlusion(network: Network, explained: ExplainedClips, replacement: Replacement) -> Scores:
    """Return by how much the lead of the predicted class falls when a part is filled, one part after the other.

    Source: Zeiler and Fergus 2014, ECCV, on windows and bands in the place of patches, and on the margin.
    """
    places = track_progress(range(len(explained)), "Occlusion")
    values = tuple(occlude_one(network, explained, place, replacement) for place in places)
    return Scores(replacement.method, np.arange(len(explained)), values)


def occlude_one(network: Network, explained: ExplainedClips, place: int, replacement: Replacement) -> np.ndarray:
    """Return (P,) float32 what ``measure_occlusion`` says of the recording at one place."""
    recording, target = explained.read_one(place)
    count = count_parts(recording, replacement.method)
    chosen = [np.zeros(count, dtype=bool), *np.eye(count, dtype=bool)]
    inputs = explained.clips.prepare(occlude_parts(recording, chosen, replacement))
    margins = network.margins(inputs, target.expand(len(chosen))).numpy()
    values: np.ndarray = (margins[0] - margins[1:]).astype(np.float32)
    return values


def integrate_gradients(
    network: Network,
    explained: ExplainedClips,
    places: np.ndarray,
    replacement: Replacement,
    *,
    max_steps: int,
    must_converge: bool,
) -> Scores:
    """Return integrated gradients of the predicted class, summed over each window of time.

    The path leads from the input of the recording with all of it filled to the input of the recording (Sundararajan et
    al. 2017, ICML). Whether it has converged is judged of these sums, since they are what is read.

    Args:
        network: the classifier.
        explained: the recordings.
        places: (M,) which of them.
        replacement: of windows; what the path starts from.
        max_steps: largest number of gradients of each.
        must_converge: whether there are no attributions at all where one of them has not converged by then.

    Raises:
        Unavailable: when one of them must converge and does not, or silence fills the inputs up to one length.
    """
    if explained.clips.inputs.preprocessing.fills_window:
        raise Unavailable("the model hears a window that silence fills, and no window of time of the recording alone")
    results = []
    for place in track_progress(places.tolist(), "Integrated gradients"):
        values, completeness = _make_path(network, explained, place, replacement).integrate(max_steps)
        if must_converge and completeness.unsettled:
            raise Unavailable(explain_unsettled(completeness, "a recording"))
        results.append((values, completeness))
    values_of_all, completeness_of_all = zip(*results, strict=True)
    return Scores("integrated_gradients", places, values_of_all, completeness_of_all)


def repeat_gradients(network: Network, explained: ExplainedClips, place: int, replacement: Replacement) -> np.ndarray:
    """Return (W,) integrated gradients with ``REPEATED_STEPS`` steps, to be compared with others of as many."""
    return _make_path(network, explained, place, replacement).integrate_with(REPEATED_STEPS)


class FromSteps(nn.Module):
    """The classifier as a function of one recording's input whose steps lie in windows: (B, W, S * F) -> (B, K)."""

    def __init__(self, network: Network, name: str, steps: int, bands: tuple[int, ...], windows: int) -> None:
        """Take the input's name, its number of steps of time, the shape of one, and how many windows there are."""
        super().__init__()
        self.model, self.name, self.bands = network.model, name, bands
        window = torch.arange(steps) * windows // steps
        first = torch.searchsorted(window, torch.arange(windows))
        self.width = int(torch.bincount(window, minlength=windows).max())
        self.windows, self.device = windows, network.device
        self.places = (window * self.width + torch.arange(steps) - first[window]).to(network.device)

    def arrange(self, values: Tensor) -> Tensor:
        """Return (W, S * F) the steps of (T, ...) values in their windows; what is left of a window is zero."""
        arranged = torch.zeros(self.windows * self.width, *self.bands, device=self.device)
        arranged[self.places] = values.to(self.device)
        return arranged.reshape(self.windows, -1)

    def forward(self, arranged: Tensor) -> Tensor:
        """Return the logits."""
        values = arranged.reshape(len(arranged), -1, *self.bands)[:, self.places]
        mask = torch.ones(values.shape[:2], dtype=torch.int64, device=values.device)
        logits: Tensor = self.model({self.name: values, "attention_mask": mask})
        return logits.float()


def _make_path(network: Network, explained: ExplainedClips, place: int, replacement: Replacement) -> Path:
    recording, target = explained.read_one(place)
    inputs = explained.clips.prepare([find_filled(recording, replacement), recording])
    inputs.pop("attention_mask")
    ((name, (start, end)),) = inputs.items()
    windows = count_windows(len(recording.samples) / recording.rate)
    function = FromSteps(network, name, len(end), tuple(end.shape[1:]), windows)
    return Path(function, function.arrange(start), function.arrange(end), int(target), axis=1)
