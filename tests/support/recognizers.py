"""Small random recognisers of speech with their tokenizers, saved as the hub lays them out."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from torch import nn

from tests.support.families import SMALL, build_seeded, write_hub_folder
from tests.support.speech_families import CONVOLUTIONS
from tests.support.token_cases import SPECIAL, delimited_tokenizer

WINDOW = 6  # seconds
LETTERS = [*string.ascii_lowercase, "Ġ", "."]
MARKS = ["endoftext", "startoftranscript", "en", "de", "translate", "transcribe", "startofprev", "nospeech"]
TIMES = 50 * WINDOW + 1  # every 20 ms
# Part of a tensor's name -> what its random values are multiplied by: as transformers draws them, nothing is heard.
SPREAD = {
    "encoder_attn": 50,
    "embed_tokens": 40,
    "decoder.layers.0.self_attn": 10,
    "decoder.layers.1.self_attn": 10,
    "encoder.layers": 6,
    "conv": 10,
    "lm_head": 6,
}


def whisper_tokenizer() -> Any:
    """Return a tokenizer of letters, with the special tokens of Whisper, of which those of times have no names."""
    tokenizer = hf.WhisperTokenizer({letter: number for number, letter in enumerate(LETTERS)}, [])
    tokenizer.add_special_tokens({"additional_special_tokens": [f"<|{mark}|>" for mark in [*MARKS, "notimestamps"]]})
    return tokenizer


def write_whisper(folder: Path, *, multilingual: bool = True, longest: int = 24) -> Path:
    """Write a Whisper of random weights.

    Args:
        folder: where to.
        multilingual: whether it knows languages and tasks.
        longest: tokens that it writes of a window, at most.
    """
    tokenizer = whisper_tokenizer()
    number = {mark: tokenizer.convert_tokens_to_ids(f"<|{mark}|>") for mark in [*MARKS, "notimestamps"]}
    tokens = {"bos_token_id": number["endoftext"], "eos_token_id": number["endoftext"]}
    tokens |= {"pad_token_id": number["endoftext"], "decoder_start_token_id": number["startoftranscript"]}
    config = hf.WhisperConfig(
        **{"d_model": 32, "encoder_layers": 2, "encoder_attention_heads": 4, "encoder_ffn_dim": 64},
        **{"decoder_layers": 2, "decoder_attention_heads": 4, "decoder_ffn_dim": 64},
        vocab_size=max(number.values()) + 1 + TIMES,
        max_source_positions=50 * WINDOW,
        max_target_positions=longest,
        tie_word_embeddings=False,  # a random network would repeat itself
        **tokens,
    )
    network = build_seeded(lambda: hf.WhisperForConditionalGeneration(config)).eval()
    widen_weights(network)
    with torch.no_grad():  # times seldom, and not in the place of letters
        network.proj_out.weight[number["notimestamps"] + 1 :] *= 0.3
    described: dict[str, Any] = {
        "no_timestamps_token_id": number["notimestamps"],
        "max_initial_timestamp_index": 50,
        "max_length": longest,
        "is_multilingual": multilingual,
        "suppress_tokens": [number["startofprev"], number["nospeech"]],
        "begin_suppress_tokens": [LETTERS.index("Ġ"), number["endoftext"]],
    }
    if multilingual:
        described["lang_to_id"] = {f"<|{name}|>": number[name] for name in ("en", "de")}
        described["task_to_id"] = {name: number[name] for name in ("translate", "transcribe")}
    network.generation_config = hf.GenerationConfig(**described, **tokens)
    write_hub_folder(folder, network, tokenizer)
    hf.WhisperFeatureExtractor(chunk_length=WINDOW).save_pretrained(folder)
    return folder


def write_ctc(folder: Path, *, norm: str = "layer", tokenizer: Any = None) -> Path:
    """Write a wav2vec2 with a CTC head of random weights.

    Args:
        folder: where to.
        norm: how its features are normalised.
        tokenizer: what it writes with; None: letters, with the tokenizer of wav2vec2.
    """
    folder.mkdir(parents=True)
    if tokenizer is None:
        tokenizer = delimited_tokenizer(folder, [*SPECIAL, "|", *"abcdefgh"])
    config = hf.Wav2Vec2Config(
        **SMALL,
        **CONVOLUTIONS,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4,
        feat_extract_norm=norm,
        do_stable_layer_norm=norm == "layer",
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
    )
    network = build_seeded(lambda: hf.Wav2Vec2ForCTC(config)).eval()
    widen_weights(network)
    write_hub_folder(folder, network, tokenizer)
    hf.Wav2Vec2FeatureExtractor(do_normalize=norm == "layer").save_pretrained(folder)
    return folder


def widen_weights(network: nn.Module) -> None:
    """Make random weights so wide that what is written depends on what is heard."""
    with torch.no_grad():
        for name, tensor in network.named_parameters():
            factor = next((factor for part, factor in SPREAD.items() if part in name), 1)
            if tensor.dim() > 1:
                tensor.mul_(factor)
