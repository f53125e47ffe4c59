"""Load an encoder of speech from a folder of transformers, or from a Whisper checkpoint of CTranslate2."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rft.backbones.batch import Batch
from rft.backbones.sources import ctranslate2, snapshot, transformers
from rft.backbones.sources.image_processor import FILES
from rft.backbones.sources.snapshot import PretrainedFolder
from rft.backbones.sources.speech.encoders import (
    Layer,
    SpeechBackbone,
    count_fewest_samples,
    count_layers,
    takes_waveforms,
)
from rft.config.schema import ModelConfig
from rft.data.audio.preprocessing import AudioPreprocessing
from rft.data.audio.spectrum import SpectrumExtractor
from rft.errors import ModelError
from rft.runtime.devices.random_state import seeded_torch

SPECTRA = ("whisper", "wav2vec2-bert")  # model types that take spectra whose length may vary
FAMILIES = "Whisper, wav2vec2, HuBERT, WavLM, data2vec-audio, wav2vec2-bert, SEW and their like"
# What would hide parts of an input, or leave out layers, by chance in training.
REGULAR = {"apply_spec_augment": False, "mask_time_prob": 0.0, "mask_feature_prob": 0.0, "layerdrop": 0.0}
PADDED_CLIPS = 4  # made-up clips of different lengths, by which it is seen whether padding matters
SHORTEST, LONGEST = 6, 24  # vectors that they become
NEGLIGIBLE_CHANGE = 1e-4  # of a clip's features by the padding beside it, relative


def speech_backbone(
    source: PretrainedFolder, settings: ModelConfig, *, seed: int, keeps_time: bool = False
) -> tuple[SpeechBackbone, AudioPreprocessing]:
    """Return an encoder, pooled unless time is kept, and how recordings are prepared for it.

    Args:
        source: the folder.
        settings: ``[model]``: whether its weights are taken, and whose hidden states.
        seed: initialises ``weights = "random"``.
        keeps_time: see ``SpeechBackbone``.

    Raises:
        ModelError: it is no encoder of speech that is known, does not say how recordings are prepared, or has no such
            layer.
    """
    network, processor = _load_network(source, pretrained=settings.weights == "pretrained", seed=seed)
    layers = count_layers(network)
    if isinstance(settings.layer, int) and settings.layer > layers:
        raise ModelError(
            f"it has {layers} layers, and there is no layer {settings.layer}",
            where="model.layer",
            remedy=f'Expected 0 to {layers}, or "mean".',
        )
    backbone = SpeechBackbone(network.eval(), settings.layer)
    backbone.keeps_time = keeps_time
    backbone.one_length_at_a_time = measure_padding_dependence(backbone) > NEGLIGIBLE_CHANGE
    return backbone, prepare_audio(network, processor)


def prepare_audio(network: nn.Module, processor: Any, *, fills_window: bool = False) -> AudioPreprocessing:
    """Return how recordings are prepared for a network, by the feature extractor of its folder.

    Args:
        network: of transformers.
        processor: the feature extractor.
        fills_window: see ``SpectrumExtractor``.
    """
    config: Any = network.config
    if takes_waveforms(network):
        normalised = bool(getattr(processor, "do_normalize", False))
        return AudioPreprocessing(
            int(processor.sampling_rate),
            "zero-mean-unit-variance" if normalised else "none",
            processor=processor,
            # SEW squeezes so many of the vectors that the convolutions make into its first one.
            min_samples=int(count_fewest_samples(network, torch.tensor(getattr(config, "squeeze_factor", 1)))),
            samples_per_token=math.prod(config.conv_stride),
        )
    extractor = SpectrumExtractor(processor, fills_window)
    positions = getattr(config, "max_source_positions", None) if config.model_type == "whisper" else None
    hop = processor.hop_length if positions else extractor.rate // 100  # kaldi's frames are 10 ms apart
    seconds = None if positions is None else 2 * positions * hop / extractor.rate
    # Kaldi's windows are 25 ms wide, and as many as the stride are stacked to a vector.
    fewest = 1 if positions else extractor.rate // 40 + (processor.stride - 1) * hop
    return AudioPreprocessing(
        extractor.rate,
        max_seconds=seconds,
        extractor=extractor,
        processor=processor,
        min_samples=fewest,
        samples_per_token=2 * hop,
    )


def read_description(
    folder: Path, layer: Layer | None, *, keeps_time: bool = False
) -> tuple[SpeechBackbone, AudioPreprocessing]:
    """Return an untrained backbone, and the preprocessing, of a folder as ``transformers.write_description`` writes it.

    Raises:
        ModelError: as ``speech_backbone`` does.
    """
    source = snapshot.find_snapshot(".", folder, offline=True, where=folder.name)
    settings = ModelConfig.model_validate({"backbone": "", "weights": "random", "layer": layer})
    return speech_backbone(source, settings, seed=0, keeps_time=keeps_time)


def measure_padding_dependence(backbone: SpeechBackbone, outputs: Callable[[Batch], Tensor] | None = None) -> float:
    """Return the largest relative change of a made-up clip's features by the padding that longer ones bring.

    Some networks normalise over the whole batch row, padding included, whatever the mask says: with group
    normalisation a clip has other features beside a longer one.

    Args:
        backbone: makes up the clips.
        outputs: maps a batch of them to (B, K) outputs that are looked at in the place of its features.
    """
    counts = torch.linspace(LONGEST, SHORTEST, PADDED_CLIPS).long()
    batch = backbone.make_up_inputs(counts, torch.Generator().manual_seed(0))
    keeps_time, run = backbone.keeps_time and outputs is None, outputs or backbone
    with torch.no_grad():
        together = run(batch)
        changes = [torch.zeros(())]
        for row, length in enumerate(batch["attention_mask"].sum(dim=1).tolist()):
            alone = run({name: tensor[row : row + 1, :length] for name, tensor in batch.items()})[0]
            beside = together[row, : len(alone)] if keeps_time else together[row]
            changes.append((beside - alone).norm() / alone.norm().clamp(min=1e-30))
    return float(torch.stack(changes).max())


def _load_network(source: PretrainedFolder, *, pretrained: bool, seed: int) -> tuple[Any, Any]:
    """Return the encoder of a folder, in float32, and its feature extractor."""
    checkpoint = ctranslate2.read_whisper(source.path, source.where) if source.ctranslate2 else None
    with transformers.quiet_transformers(), seeded_torch(seed):
        if checkpoint is not None:
            network, processor = _build_whisper(checkpoint, pretrained=pretrained)
        else:
            config = transformers.read_config(source)
            check_family(config, source)
            config.update({name: value for name, value in REGULAR.items() if hasattr(config, name)})
            load = transformers.load_pretrained if pretrained else transformers.build_untrained
            network, processor = load(source, config), read_processor(source)
    return (network.get_encoder() if network.config.is_encoder_decoder else network), processor


def _build_whisper(checkpoint: ctranslate2.WhisperCheckpoint, *, pretrained: bool) -> tuple[Any, Any]:
    library = transformers.import_transformers()
    network = library.WhisperModel(library.WhisperConfig(**checkpoint.sizes, pad_token_id=None))
    if pretrained:
        network.load_state_dict(checkpoint.tensors)
    # Of its spectra the checkpoint says how many bands they have; all else is the same for every Whisper.
    return network, library.WhisperFeatureExtractor(feature_size=checkpoint.sizes["num_mel_bins"])


def check_family(config: Any, source: PretrainedFolder) -> None:
    """Raise ``ModelError`` for a config that is of no encoder of speech that is known."""
    if config.model_type not in SPECTRA and not (hasattr(config, "conv_kernel") and hasattr(config, "conv_stride")):
        raise ModelError(
            f"a model of the type {config.model_type} is no encoder of speech that is known",
            where=source.where,
            remedy=f"Expected one of {FAMILIES}.",
        )


def read_processor(source: PretrainedFolder) -> Any:
    """Return the feature extractor of a folder; raises ``ModelError``."""
    if not any((source.path / name).is_file() for name in FILES):
        raise ModelError(
            f"the folder {source.path.name!r} does not say how recordings are prepared: it has no {FILES[0]}",
            where=source.where,
            remedy="Put the file there that the model was saved with.",
        )
    with transformers.errors_named(source, "its feature extractor"):
        return transformers.import_transformers().AutoFeatureExtractor.from_pretrained(**source.source)
