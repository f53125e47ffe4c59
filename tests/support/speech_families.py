"""Small random encoders of speech, saved as the hub lays them out, and made-up clips to try them on."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import transformers as hf
from torch import Tensor, nn

from rft.backbones.load import LoadedBackbone, load_backbone
from rft.config.schema import ModelConfig
from rft.data.audio.decoding import Recording
from tests.support.families import SMALL, Family, build_seeded, numbered, write_hub_folder

RATE = 16_000
CONVOLUTIONS = {
    **{"conv_dim": (16, 16, 16), "conv_stride": (5, 4, 4), "conv_kernel": (10, 4, 4)},
    "num_feat_extract_layers": 3,
}
_waves = {**SMALL, **CONVOLUTIONS, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4}
_layered = {**_waves, "feat_extract_norm": "layer", "do_stable_layer_norm": True}
_data2vec = {**SMALL, **CONVOLUTIONS, "conv_pos_kernel_size": 5, "num_conv_pos_embeddings": 3}
_whisper = {
    **{"d_model": 32, "encoder_layers": 3, "encoder_attention_heads": 4, "encoder_ffn_dim": 64},
    **{"decoder_layers": 1, "decoder_attention_heads": 4, "decoder_ffn_dim": 64, "vocab_size": 64},
    **{"max_source_positions": 300, "max_target_positions": 16, "pad_token_id": 0, "bos_token_id": 1},
    **{"eos_token_id": 2, "decoder_start_token_id": 1},
    "init_std": 0.2,  # with the usual .02 all clips have nearly the same features, and a logit hardly depends on them
}


def _waveform_extractor(config: Any) -> Any:
    return hf.Wav2Vec2FeatureExtractor(do_normalize=getattr(config, "feat_extract_norm", "layer") == "layer")


def _last_states(network: nn.Module, processor: Any, samples: np.ndarray) -> Tensor:
    return network(**processor(samples, sampling_rate=RATE, return_tensors="pt")).last_hidden_state


def _whisper_states(network: Any, processor: Any, samples: np.ndarray) -> Tensor:
    """Run the library's own encoder, told that its window is as long as the clip."""
    spectrum = processor(samples, sampling_rate=RATE, return_tensors="pt").input_features
    frames = -(-len(samples) // processor.hop_length)
    encoder = copy.deepcopy(network.get_encoder())
    positions = frames // 2
    encoder.config.max_source_positions = encoder.max_source_positions = positions
    encoder.embed_positions = nn.Embedding.from_pretrained(encoder.embed_positions.weight[:positions])
    return encoder(spectrum[..., :frames]).last_hidden_state


def speech(
    config: Any,
    layer: str,
    behind: tuple[str, ...],
    processor: Any = None,
    states: Callable[[Any, Any, np.ndarray], Tensor] = _last_states,
) -> Family:
    """Return a family of speech: the mean over time of its last hidden states."""

    def load_family(folder: Path) -> LoadedBackbone:
        write_hub_folder(folder / "own", build_seeded(lambda: hf.AutoModel.from_config(config)).eval())
        (processor or _waveform_extractor(config)).save_pretrained(folder / "own")
        return load_backbone(ModelConfig(backbone="transformers/own"), folder, modality="audio", seed=0, offline=True)

    def expected_features(folder: Path, samples: np.ndarray) -> Tensor:
        network = hf.AutoModel.from_pretrained(folder / "own").eval()
        return states(network, hf.AutoFeatureExtractor.from_pretrained(folder / "own"), samples).mean(dim=1)

    return Family(load_family, layer, behind, expected_features)


# Those with group normalisation over time cannot be cut within: their clips run one length at a time.
SPEECH = {
    "whisper": speech(
        hf.WhisperConfig(**_whisper),
        "layers.2",
        ("layers.2", "layer_norm"),
        hf.WhisperFeatureExtractor(chunk_length=6),
        _whisper_states,
    ),
    "wav2vec2": speech(hf.Wav2Vec2Config(**_layered), "encoder.layers.2", ("encoder.layers.2", "encoder.layer_norm")),
    "wav2vec2/group": speech(hf.Wav2Vec2Config(**_waves), "all", ()),
    "hubert": speech(
        hf.HubertConfig(**_layered), "encoder.layers.1", (*numbered("encoder.layers", 1, 2), "encoder.layer_norm")
    ),
    "hubert/group": speech(hf.HubertConfig(**_waves), "all", ()),
    "wavlm": speech(hf.WavLMConfig(**_layered), "all", ()),
    "wavlm/group": speech(hf.WavLMConfig(**_waves), "all", ()),
    "data2vec-audio": speech(hf.Data2VecAudioConfig(**_data2vec), "all", ()),
    "wav2vec2-bert": speech(
        hf.Wav2Vec2BertConfig(**SMALL, feature_projection_input_dim=160),
        "encoder.layers.2",
        ("encoder.layers.2",),
        hf.SeamlessM4TFeatureExtractor(),
    ),
    "sew": speech(hf.SEWConfig(**_waves, squeeze_factor=2), "all", ()),
}


def some_clips(count: int = 12) -> list[np.ndarray]:
    """Return made-up clips of .1 to .5 s, (T,) float32: noise around a tone of its own; some are of one length."""
    rng = np.random.default_rng(7)
    lengths = itertools.islice(itertools.cycle([1600, 8000, 4800, 4800, 6400, 2400, 5600]), count)
    return [
        (0.3 * np.sin(np.arange(n) * rng.uniform(0.05, 0.5)) + rng.normal(scale=0.05, size=n)).astype(np.float32)
        for n in lengths
    ]


def as_recording(samples: np.ndarray) -> Recording:
    """Return a clip as it is read from a file."""
    return Recording(samples, RATE)
