"""Explained recordings as pictures of their sound with their attributions, and as clips that can be played.

Made only when the report may show examples.
"""

from __future__ import annotations

import io
import wave
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from rft.data.audio.decoding import Recording
from rft.plugins.attribution.modality_words import METHOD_NAMES
from rft.plugins.attribution.speech.clips import ExplainedClips
from rft.plugins.attribution.speech.methods import Scores
from rft.plugins.attribution.speech.parts import list_band_edges, to_hertz, to_mel
from rft.plugins.attribution.speech.profiles import name_bands
from rft.plugins.attribution.speech.spectra import ShortTimeSpectrum
from rft.records import Figure, Table, asset_name, images_figure

MAX_CLIPS = 6  # recordings
MAX_BYTES = 128_000  # of samples in a clip: 4 s at 16,000 a second
WIDTH, HEIGHT, STRIP, GAP = 240, 96, 16, 3  # pixels of the picture of the sound, and of what stands beside it
RANGE = 70.0  # dB below the loudest cell that are drawn
# Colour-blind readers tell them apart (Okabe, Ito).
FOR, AGAINST = np.array([230, 159, 0]), np.array([0, 114, 178])


def draw_examples(
    explained: ExplainedClips, scores: Sequence[Scores], captions: Sequence[str]
) -> tuple[Table, dict[str, bytes]]:
    """Return the table ``examples``, and its pictures and clips by name: the first few recordings.

    Args:
        explained: N recordings.
        scores: attributions by methods that explain all of them.
        captions: of all N.
    """
    table: Table = []
    assets: dict[str, bytes] = {}
    shown = [place for place in range(len(explained)) if any(of_method.sound[place] for of_method in scores)][
        :MAX_CLIPS
    ]
    peaks = {of_method.method: _find_peak(of_method, shown) for of_method in scores}
    for place in shown:
        recording, _ = explained.read_one(place)
        values = {of_method.method: of_method.values[place] for of_method in scores if of_method.sound[place]}
        picture = _draw_picture(recording, {method: parts / peaks[method] for method, parts in values.items()})
        clip, cut = _write_clip(recording)
        assets |= {asset_name(content): content for content in (picture, clip)}
        said = "; ".join([captions[place], *_say_strongest(values, recording), *([cut] if cut else [])])
        table.append({"asset": asset_name(picture), "clip": asset_name(clip), "caption": said})
    return table, assets


def _find_peak(scores: Scores, shown: Sequence[int]) -> float:
    """Return what gets the full colour in all recordings that are shown: those of a method have one scale."""
    return max((float(np.abs(scores.values[place]).max()) for place in shown if scores.sound[place]), default=1.0)


def draw_figure() -> Figure:
    """Return the figure that shows the table ``examples``."""
    return images_figure(
        id="examples",
        lead=True,
        table="examples",
        asset="asset",
        clip="clip",
        caption="caption",
        title="Examples from the test split",
        alt="Test recordings, each as a picture of its sound, time from left to right and pitch from bottom to top in "
        "mels; in the strip below it the windows of time, and in the strip on its right the bands: orange where they "
        "speak for the predicted class, blue where they speak against it. The attributions of a method have one scale.",
    )


def _say_strongest(values: Mapping[str, np.ndarray], recording: Recording) -> list[str]:
    """Return which window and which band speak most for the class, in words; nothing where there are no values."""
    strongest = []
    for method, of_method in values.items():
        best = int(of_method.argmax())
        if method == "band_occlusion":
            place = name_bands(recording.rate)[best]
        else:
            seconds = len(recording.samples) / recording.rate
            start, end = (edge * seconds / len(of_method) for edge in (best, best + 1))
            place = f"{start:.2f} to {end:.2f} s"
        strongest.append(f"{place} ({METHOD_NAMES[method]})")
    return [f"strongest for it: {', '.join(strongest)}"] if strongest else []


def _draw_picture(recording: Recording, values: Mapping[str, np.ndarray]) -> bytes:
    """Return the PNG of a recording's sound, with what has -1 to 1 in ``values`` below it and on its right."""
    canvas = Image.new("RGB", (WIDTH + GAP + STRIP, HEIGHT + GAP + STRIP), "white")
    canvas.paste(Image.fromarray(_shade_spectrum(recording)).resize((WIDTH, HEIGHT)), (0, 0))
    windows = values.get("window_occlusion", values.get("integrated_gradients"))
    if windows is not None:
        strip = Image.fromarray(_colour_values(windows)[None])
        canvas.paste(strip.resize((WIDTH, STRIP), Image.Resampling.NEAREST), (0, HEIGHT + GAP))
    if "band_occlusion" in values:
        strip = Image.fromarray(_colour_values(values["band_occlusion"])[::-1, None])
        canvas.paste(strip.resize((STRIP, HEIGHT), Image.Resampling.NEAREST), (WIDTH + GAP, 0))
    buffer = io.BytesIO()
    canvas.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _shade_spectrum(recording: Recording) -> np.ndarray:
    """Return (H, K) greys, uint8: dark where it is loud, the highest mel on top."""
    spectrum = ShortTimeSpectrum.from_recording(recording)
    edges = list_band_edges(recording.rate)
    mels = np.linspace(to_mel(edges[-1]), 0, HEIGHT)
    rows = np.searchsorted(spectrum.hertz, to_hertz(mels)).clip(max=len(spectrum.hertz) - 1)
    power = spectrum.power.numpy()[rows]
    loudest = float(power.max())
    decibels = 10 * np.log10(np.maximum(power, 1e-30) / max(loudest, 1e-30))
    shades: np.ndarray = (255 * np.clip(-decibels / RANGE, 0, 1)).round().astype(np.uint8)
    return shades


def _colour_values(values: np.ndarray) -> np.ndarray:
    """Return (P, 3) colours, uint8: white at zero, one of two colours in full at 1 and -1."""
    opacity = np.sqrt(np.abs(values).clip(max=1))[:, None]
    colours: np.ndarray = (1 - opacity) * 255 + opacity * np.where(values[:, None] > 0, FOR, AGAINST)
    return colours.round().astype(np.uint8)


def _write_clip(recording: Recording) -> tuple[bytes, str]:
    """Return a WAV file in mono with 16 bits a sample, and what of the recording it holds, empty where that is all."""
    samples = recording.samples[: MAX_BYTES // 2]
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(recording.rate)
        file.writeframes((samples.clip(-1, 1) * 32767).round().astype("<i2").tobytes())
    whole = len(samples) == len(recording.samples)
    return buffer.getvalue(), "" if whole else f"the first {len(samples) / recording.rate:.1f} s can be played"
