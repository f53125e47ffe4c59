"""Recordings of noise with a planted tone, a network that hears it alone, and an audited model around them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from rft.data.audio.inputs import AudioInputs
from rft.data.audio.preprocessing import AudioPreprocessing
from rft.data.audio.spectrum import SpectrumExtractor
from rft.plugins import AuditedModel
from rft.records import ModelFacts, Split, Training
from tests.support.audio_cases import encode_sound

RATE, SECONDS = 8_000, 0.8
CLASSES = ("quiet", "loud")
WINDOW, HERTZ = (0.2, 0.3), 2_000.0  # where the planted tone stands, as windows of 0.1 s are cut, and its frequency


class Hearing(nn.Module):
    """Answers the second class as far as there is energy in one stretch of time and one band, and hears nothing else.

    The energy is that of the recording filtered by a tone's quarter waves, so that waveforms are enough.
    """

    embedding_layer = None

    def __init__(self, window: tuple[float, float] = WINDOW, hertz: float = HERTZ) -> None:
        super().__init__()
        self.window, self.hertz = window, hertz
        self.eval().requires_grad_(False)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        start, end = (round(edge * RATE) for edge in self.window)
        stretch = inputs["waveform"][:, start:end]
        angle = 2 * torch.pi * self.hertz * torch.arange(stretch.shape[1]) / RATE
        amplitude = torch.hypot((stretch * angle.cos()).mean(dim=1), (stretch * angle.sin()).mean(dim=1))
        score = 8 * torch.tanh(20 * amplitude) - 3
        return torch.stack([torch.zeros_like(score), score], dim=1)


class Bands(nn.Module):
    """Answers by the mean of one column of a spectrum, within some of its steps."""

    embedding_layer = None

    def __init__(self, column: int, steps: slice) -> None:
        super().__init__()
        self.column, self.steps = column, steps
        self.eval().requires_grad_(False)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        score = inputs["spectrum"][:, self.steps, self.column].mean(dim=1)
        return torch.stack([-score, score], dim=1)


class Weights(nn.Module):
    """Weighs the loudness of stretches of a tenth of a second: a network of recordings that has parameters."""

    embedding_layer = None

    def __init__(self, stretches: int) -> None:
        super().__init__()
        self.linear = nn.Linear(stretches, 2)
        weight = torch.from_numpy(np.random.default_rng(0).normal(size=stretches)).float()
        self.linear.weight.data = torch.stack([-weight, weight])
        self.linear.bias.data = torch.tensor([-2.0, 2.0])
        self.eval().requires_grad_(False)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        stretches = inputs["waveform"].unflatten(1, (self.linear.in_features, -1))
        return self.linear(100 * stretches.square().mean(dim=2))


class LogPower:
    """A feature extractor as transformers has them: log power in frames of 10 ms, (T, 41)."""

    sampling_rate = RATE

    def __call__(self, samples: np.ndarray, **_: Any) -> dict[str, np.ndarray]:
        frames = samples[: len(samples) // 80 * 80].reshape(-1, 80) * np.hanning(80)
        power = np.log10(np.abs(np.fft.rfft(frames)) ** 2 + 1e-4)[None]
        return {"input_features": power, "attention_mask": np.ones(power.shape[:2], dtype=np.int64)}


def spectrum_preprocessing() -> AudioPreprocessing:
    """Return a preprocessing that makes spectra."""
    return AudioPreprocessing(RATE, extractor=SpectrumExtractor(LogPower()))


def make_sounds(
    n: int,
    *,
    planted: float = 0.5,
    window: tuple[float, float] = WINDOW,
    hertz: float = HERTZ,
    seconds: float = SECONDS,
    seed: int = 0,
) -> list[np.ndarray]:
    """Return recordings of noise, of which the first share has a tone in one stretch of time."""
    rng = np.random.default_rng(seed)
    sounds = []
    for row in range(n):
        samples = rng.normal(scale=0.02, size=round(seconds * RATE))
        start, end = (round(edge * RATE) for edge in window)
        if row < planted * n:
            samples[start:end] += 0.3 * np.sin(2 * np.pi * hertz * np.arange(end - start) / RATE)
        sounds.append(samples.astype(np.float32))
    return sounds


def audited_model(
    model: nn.Module,
    sounds: Sequence[np.ndarray],
    folder: Path,
    *,
    preprocessing: AudioPreprocessing | None = None,
    units: np.ndarray | None = None,
    groups: dict[str, np.ndarray] | None = None,
    show_examples: bool = False,
) -> AuditedModel:
    """Return an audited model whose test split is ``sounds`` with what ``model`` predicts."""
    files = [folder / f"{number}.wav" for number in range(len(sounds))]
    for file, samples in zip(files, sounds, strict=True):
        file.write_bytes(encode_sound(samples, rate=RATE, subtype="FLOAT"))
    split = Split(
        name="test",
        ids=np.array([f"r{row}" for row in range(len(sounds))]),
        items=files,
        labels=np.zeros(len(sounds), dtype=np.int64),
        units=units,
        groups=groups or {},
    )
    inputs = AudioInputs({"test": split}, preprocessing or AudioPreprocessing(RATE), 30.0)
    with torch.no_grad():
        predicted = [int(model(inputs.batch("test", [row])).argmax()) for row in range(len(sounds))]
    names = [CLASSES[index] for index in predicted]
    split.labels[:] = predicted
    facts = ModelFacts(name="tiny", modality="audio", classes=CLASSES, training=Training(mode="standard"))
    return AuditedModel(
        facts=facts,
        seed=0,
        splits={"test": split},
        predictions=pd.DataFrame({"split": "test", "id": split.ids, "unit": None, "label": names, "prediction": names}),
        model=model,
        inputs=inputs,
        show_examples=show_examples,
    )
