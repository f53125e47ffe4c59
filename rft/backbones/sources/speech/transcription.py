"""Load a checkpoint that others trained to recognise speech: Whisper with its decoder, or an encoder with CTC."""

from __future__ import annotations

import json
from typing import Any

from torch import nn

from rft.backbones.sources import ctranslate2, transformers
from rft.backbones.sources.folder_weights import load_model
from rft.backbones.sources.snapshot import PretrainedFolder
from rft.backbones.sources.speech.ctc import AT_ONCE, CtcTranscriber
from rft.backbones.sources.speech.encoders import SpeechBackbone
from rft.backbones.sources.speech.loading import (
    NEGLIGIBLE_CHANGE,
    REGULAR,
    check_family,
    measure_padding_dependence,
    prepare_audio,
    read_processor,
)
from rft.backbones.sources.speech.transcriber import Transcriber
from rft.backbones.sources.speech.whisper import TABLE, WhisperTranscriber, check_decoding, prepare_windows
from rft.config.schema import ModelConfig
from rft.errors import ConfigError, ModelError

# What CTranslate2 keeps of a generation config -> what transformers calls it.
KEPT = {
    "suppress_ids": "suppress_tokens",
    "suppress_ids_begin": "begin_suppress_tokens",
    "alignment_heads": "alignment_heads",
}
TASKS = ("transcribe", "translate")
ENGLISH_ALONE = 51864  # tokens of a Whisper that knows one language; those of many languages have more
LATEST_START = 50  # of the first word of a window, in steps of 20 ms: OpenAI's own decoding begins within 1 s


def load_transcriber(source: PretrainedFolder, settings: ModelConfig) -> Transcriber:
    """Return a checkpoint with all that writes texts, in float32.

    Args:
        source: its folder.
        settings: ``[model]``, with how it decodes.

    Raises:
        ModelError: it is no recogniser that is known, or lacks weights, a tokenizer or a feature extractor.
        ConfigError: ``[model.decoding]`` asks for what it cannot do.
    """
    if source.ctranslate2:
        return _load_ctranslate2(source, settings)
    config = transformers.read_config(source)
    if config.model_type == "whisper":
        network = _load_network("WhisperForConditionalGeneration", source, config)
        return _join_whisper(source, settings, network, read_processor(source), transformers.read_tokenizer(source))
    library = transformers.import_transformers()
    if type(config) not in library.MODEL_FOR_CTC_MAPPING:
        raise ModelError(
            f"a model of the type {config.model_type} does not recognise speech",
            where=source.where,
            remedy="Expected Whisper, or wav2vec2, HuBERT, WavLM and their like with a CTC head. Where it is another, "
            "have it write its transcripts into a table, and give that as [predictions].",
        )
    return _load_ctc(source, settings, config)


def _load_ctc(source: PretrainedFolder, settings: ModelConfig, config: Any) -> CtcTranscriber:
    if "decoding" in settings.model_fields_set:
        raise ConfigError(
            f"{config.model_type} with a CTC head has no decoder: its likeliest tokens are read",
            where=f"[{TABLE}]",
            remedy="Remove the table.",
        )
    check_family(config, source)
    config.update({name: value for name, value in REGULAR.items() if hasattr(config, name)})
    network = _load_network("AutoModelForCTC", source, config)
    processor, tokenizer = read_processor(source), transformers.read_tokenizer(source)
    _check_numbers(tokenizer, config, source)
    encoder = SpeechBackbone(network.base_model, None)
    depends = measure_padding_dependence(encoder) > NEGLIGIBLE_CHANGE
    joins = isinstance(tokenizer, transformers.import_transformers().Wav2Vec2CTCTokenizer)
    blank = None if joins else _find_blank(config, source)
    return CtcTranscriber(network, prepare_audio(network, processor), tokenizer, blank, 1 if depends else AT_ONCE)


def _find_blank(config: Any, source: PretrainedFolder) -> int:
    """Return the number of the blank: transformers' loss of CTC takes the token of padding for it."""
    blank = config.pad_token_id
    if blank is None or not 0 <= blank < config.vocab_size:
        raise ModelError(
            f"its config says that the blank of CTC has number {blank}, which none of its {config.vocab_size} outputs "
            "has",
            where=source.where,
            remedy="Set pad_token_id in config.json to the number of the blank that it was trained with.",
        )
    return int(blank)


def _load_network(kind: str, source: PretrainedFolder, config: Any) -> Any:
    """Load a network with its head; transformers would make up what the folder lacks, which is refused here."""
    library = transformers.import_transformers()
    with transformers.errors_named(source, "its weights"), transformers.quiet_transformers():
        model = load_model(getattr(library, kind), source, config)
    if absent := [*model.missing, *model.mismatched]:
        raise ModelError(
            f"{len(absent)} tensors of {type(model.network).__name__} are not in the folder's weights, or of another "
            f"shape, first {absent[0]!r}: what it writes would be random",
            where=source.where,
            remedy="Give the folder of a model that was trained to recognise speech, as save_pretrained wrote it.",
        )
    return model.network.eval()


def _load_ctranslate2(source: PretrainedFolder, settings: ModelConfig) -> WhisperTranscriber:
    """Return a Whisper of CTranslate2, whose tokens and their roles its tokenizer tells."""
    library = transformers.import_transformers()
    checkpoint = ctranslate2.read_whisper(source.path, source.where)
    with transformers.errors_named(source, "its tokenizer"), transformers.quiet_transformers():
        tokenizer = library.WhisperTokenizer.from_pretrained(str(source.path), local_files_only=True)
    with transformers.quiet_transformers():
        network = library.WhisperForConditionalGeneration(
            library.WhisperConfig(**checkpoint.sizes, **_name_tokens(tokenizer))
        )
    _fill_network(network, checkpoint, source)
    described = json.loads((source.path / "config.json").read_text(encoding="utf-8"))
    kept = {ours: described[theirs] for theirs, ours in KEPT.items() if theirs in described}
    network.generation_config = library.GenerationConfig(
        **kept, **_describe_languages(tokenizer, checkpoint), **_name_tokens(tokenizer)
    )
    processor = library.WhisperFeatureExtractor(feature_size=checkpoint.sizes["num_mel_bins"])
    return _join_whisper(source, settings, network.eval(), processor, tokenizer)


def _fill_network(network: nn.Module, checkpoint: ctranslate2.WhisperCheckpoint, source: PretrainedFolder) -> None:
    """Put the tensors of a checkpoint into a network, whose last layer is its embedding of tokens."""
    named = {f"model.{name}": tensor for name, tensor in checkpoint.tensors.items()}
    named["proj_out.weight"] = checkpoint.tensors["decoder.embed_tokens.weight"]
    with transformers.errors_named(source, "its weights"):
        network.load_state_dict(named)


def _name_tokens(tokenizer: Any) -> dict[str, int]:
    """Return the roles of special tokens, as configs of transformers name them."""
    end, start = tokenizer.convert_tokens_to_ids(["<|endoftext|>", "<|startoftranscript|>"])
    return {"bos_token_id": end, "eos_token_id": end, "pad_token_id": end, "decoder_start_token_id": start}


def _describe_languages(tokenizer: Any, checkpoint: ctranslate2.WhisperCheckpoint) -> dict[str, Any]:
    """Return what a generation config says of languages, tasks and times."""
    number = tokenizer.convert_tokens_to_ids
    described: dict[str, Any] = {
        "no_timestamps_token_id": number("<|notimestamps|>"),
        "max_initial_timestamp_index": LATEST_START,
        "max_length": checkpoint.sizes["max_target_positions"],
        "is_multilingual": checkpoint.sizes["vocab_size"] > ENGLISH_ALONE,
        "return_timestamps": False,
    }
    if described["is_multilingual"]:
        names = tokenizer.get_added_vocab()
        first, last = number("<|startoftranscript|>"), number("<|translate|>")
        described["lang_to_id"] = {name: index for name, index in names.items() if first < index < last}
        described["task_to_id"] = {task: number(f"<|{task}|>") for task in TASKS}
    return described


def _join_whisper(
    source: PretrainedFolder, settings: ModelConfig, network: Any, processor: Any, tokenizer: Any
) -> WhisperTranscriber:
    check_decoding(network, settings.decoding)
    _check_numbers(tokenizer, network.config, source)
    frames, positions = processor.nb_max_frames, network.config.max_source_positions
    if frames != 2 * positions:
        raise ModelError(
            f"its feature extractor makes windows of {frames:,} frames, and the network takes {2 * positions:,}",
            where=source.where,
            remedy="Put the file there that the model was saved with.",
        )
    if network.generation_config.max_length is None:  # transformers would stop after 20 tokens
        network.generation_config.max_length = network.config.max_target_positions
    return WhisperTranscriber(network, prepare_windows(processor), tokenizer, settings.decoding, source.where)


def _check_numbers(tokenizer: Any, config: Any, source: PretrainedFolder) -> None:
    """Raise ``ModelError`` for a tokenizer with more tokens than the network writes."""
    numbers = max(tokenizer.get_vocab().values()) + 1
    if numbers > config.vocab_size:
        raise ModelError(
            f"the tokenizer numbers {numbers} tokens and the model {config.vocab_size}: they do not belong together",
            where=source.where,
            remedy="Put the tokenizer's files that the model was trained with into its folder.",
        )
