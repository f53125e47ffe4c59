"""Classifiers of recordings that others trained: a checkpoint of transformers, or what a factory builds."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rft.backbones.batch import Batch
from rft.backbones.partition.frozen_part import by_length
from rft.backbones.sources.snapshot import PretrainedFolder
from rft.backbones.sources.speech.encoders import SpeechBackbone
from rft.backbones.sources.speech.loading import (
    NEGLIGIBLE_CHANGE,
    REGULAR,
    check_family,
    measure_padding_dependence,
    prepare_audio,
    read_processor,
)
from rft.data.audio.decoding import Recording
from rft.data.audio.inputs import pad_recordings
from rft.data.audio.preprocessing import AudioPreprocessing
from rft.data.audio.spectrum import SpectrumExtractor
from rft.errors import ModelError
from rft.models.external_model import CallAdapter

SECONDS = (1.0, 0.6, 0.8)  # of the made-up recordings that a model is tried on


class RecordingAdapter(CallAdapter):
    """A classifier of recordings with the way it is called.

    Attributes:
        one_length_at_a_time: whether padding would change a recording's outputs whatever the mask says, so that the
            recordings of a batch run in parts of equal lengths.
    """

    one_length_at_a_time = False

    def forward(self, inputs: Batch) -> Tensor:
        """Map a batch of B recordings, as ``SpeechBackbone`` takes it, to (B, K) outputs."""
        if not self.one_length_at_a_time:
            return self.call(self.network, inputs)
        parts = [(rows, self.call(self.network, part)) for rows, part in by_length(inputs)]
        order = torch.cat([rows for rows, _ in parts]).argsort()
        return torch.cat([outputs for _, outputs in parts])[order]


def prepare_config(config: Any, source: PretrainedFolder) -> None:
    """Switch off what hides parts of an input by chance; raise ``ModelError`` for a family that is not known."""
    check_family(config, source)
    config.update({name: value for name, value in REGULAR.items() if hasattr(config, name)})


def prepare_checkpoint(network: Any, source: PretrainedFolder) -> tuple[RecordingAdapter, AudioPreprocessing]:
    """Return a classifier of transformers as it is called, and how recordings are prepared by its folder.

    Whisper hears windows of 30 s that silence fills, as in its training: its mean over time is one over the silence
    too. Others hear a recording at its own length, and whether padding changes their outputs is measured.

    Args:
        network: a ``...ForSequenceClassification`` or ``...ForAudioClassification``, in eval mode.
        source: its folder.

    Raises:
        ModelError: the folder does not say how recordings are prepared, or something that the network does not take.
    """
    is_whisper = network.config.model_type == "whisper"
    processor = read_processor(source)
    preprocessing = prepare_audio(network, processor, fills_window=is_whisper)
    if is_whisper:
        frames, taken = processor.nb_max_frames, 2 * network.config.max_source_positions
        if frames != taken:
            raise ModelError(
                f"its feature extractor makes windows of {frames:,} frames, and the network takes {taken:,}",
                where=source.where,
                remedy="Put the file there that the model was saved with.",
            )
        return RecordingAdapter(network, _run_window), preprocessing
    adapter = RecordingAdapter(network, _run_masked)
    dependence = measure_padding_dependence(SpeechBackbone(network.base_model, None), adapter)
    adapter.one_length_at_a_time = dependence > NEGLIGIBLE_CHANGE
    return adapter, preprocessing


def prepare_module(network: nn.Module, prepares: Any, where: str) -> tuple[RecordingAdapter, AudioPreprocessing]:
    """Return a module of the user's own as it is called, and how recordings are prepared for it.

    Args:
        network: maps (B, T) samples or (B, T, F) frames, and a (B, T) mask, to (B, K) outputs.
        prepares: the samples a second that it takes; or a feature extractor of transformers.
        where: the key of audit.toml that named it, for errors.

    Raises:
        ModelError: ``prepares`` is neither.
    """
    adapter = RecordingAdapter(network, _run_positional)
    preprocessing = _read_preparation(prepares, where)
    adapter.one_length_at_a_time = _depends_on_padding(adapter.eval(), make_up_recordings(preprocessing))
    return adapter, preprocessing


def make_up_recordings(preprocessing: AudioPreprocessing) -> Batch:
    """Return the inputs of three recordings of noise, of different lengths."""
    rng = np.random.default_rng(0)
    fewest = preprocessing.min_samples
    lengths = [max(round(seconds * preprocessing.rate), fewest) for seconds in SECONDS]
    noise = [rng.normal(scale=0.1, size=length).astype(np.float32) for length in lengths]
    return pad_recordings([preprocessing(Recording(samples, preprocessing.rate)) for samples in noise])


def _read_preparation(prepares: Any, where: str) -> AudioPreprocessing:
    if isinstance(prepares, int) and not isinstance(prepares, bool):
        return AudioPreprocessing(prepares)
    rate, takes = getattr(prepares, "sampling_rate", None), getattr(prepares, "model_input_names", [None])[0]
    if not isinstance(rate, int) or takes not in ("input_values", "input_features"):
        raise ModelError(
            f"the factory returned {type(prepares).__name__} beside the module",
            where=where,
            remedy="Expected the samples a second that the module takes, or a feature extractor of transformers.",
        )
    if takes == "input_values":
        normalised = bool(getattr(prepares, "do_normalize", False))
        return AudioPreprocessing(rate, "zero-mean-unit-variance" if normalised else "none", processor=prepares)
    return AudioPreprocessing(rate, extractor=SpectrumExtractor(prepares), processor=prepares)


def _depends_on_padding(adapter: RecordingAdapter, example: Batch) -> bool:
    """Tell whether padding changes the outputs, or cannot be told not to, since the module fails on the recordings."""
    try:
        with torch.no_grad():
            together = adapter(example)
            alone = torch.cat([adapter(part) for _, part in by_length(example)])
            order = torch.cat([rows for rows, _ in by_length(example)])
            changes = (together[order] - alone).norm(dim=1) / alone.norm(dim=1).clamp(min=1e-30)
    except Exception:  # foreign code may raise anything; one that fails without padding as well is told when it is run
        return True
    return bool((changes > NEGLIGIBLE_CHANGE).any())


def _run_window(network: nn.Module, inputs: Batch) -> Tensor:
    output: Tensor = network(inputs["spectrum"].transpose(1, 2)).logits
    return output


def _run_masked(network: nn.Module, inputs: Batch) -> Tensor:
    names = {"waveform": "input_values", "spectrum": "input_features"}
    output: Tensor = network(**{names.get(name, name): tensor for name, tensor in inputs.items()}).logits
    return output


def _run_positional(network: nn.Module, inputs: Batch) -> Tensor:
    sounds = inputs["waveform"] if "waveform" in inputs else inputs["spectrum"]
    output: Tensor = network(sounds, inputs["attention_mask"])
    return output
