"""Whisper writes what it hears, by the search of transformers' own ``generate`` over windows of 30 s.

Radford et al. 2023, "Robust Speech Recognition via Large-Scale Weak Supervision", sections 2.3 and 3.8: a clip that
fits into a window is decoded at once, without timestamps; of a longer one each window begins where the timestamps say
that the last one ended. Nothing is drawn by chance: the temperature stays 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rft.backbones.partition.trace import first_line
from rft.backbones.sources import transformers
from rft.backbones.sources.speech.transcriber import Transcript
from rft.config.tables.model import DecodingConfig
from rft.data.audio.preprocessing import AudioPreprocessing
from rft.data.audio.spectrum import SpectrumExtractor
from rft.errors import ConfigError, ModelError

AT_ONCE = 8  # clips: a window of 30 s of each, whatever its length
TABLE = "model.decoding"


@dataclass(frozen=True)
class WhisperTranscriber:
    """A Whisper checkpoint with its decoder.

    Attributes:
        network: ``WhisperForConditionalGeneration``.
        preprocessing: makes the spectra, by the checkpoint's feature extractor.
        tokenizer: from tokens to texts.
        decoding: how texts are searched for.
        where: the key of audit.toml that named it, for errors.
    """

    network: Any
    preprocessing: AudioPreprocessing
    tokenizer: Any
    decoding: DecodingConfig
    where: str
    batch_size: int = AT_ONCE

    def transcribe(self, clips: Sequence[np.ndarray]) -> list[Transcript]:
        """Return what was said in each clip, as ``Transcriber`` says; a clip longer than a window runs by itself."""
        window = self.preprocessing.processor.n_samples
        short = [row for row, clip in enumerate(clips) if len(clip) <= window]
        written = dict(zip(short, self._transcribe_windows([clips[row] for row in short]), strict=True))
        for row in set(range(len(clips))) - set(short):
            written[row] = self._transcribe_long(clips[row])
        return [written[row] for row in range(len(clips))]

    def _transcribe_windows(self, clips: Sequence[np.ndarray]) -> Iterator[Transcript]:
        """Yield what was said in clips of which each fits into a window, which silence fills."""
        if clips:
            prepared = self._prepare(clips, padding="max_length")
            yield from self._generate(prepared["input_features"], return_timestamps=False)

    def _transcribe_long(self, clip: np.ndarray) -> Transcript:
        """Return what was said in a clip that is longer than a window."""
        prepared = self._prepare([clip], padding="longest", truncation=False, return_attention_mask=True)
        mask = prepared["attention_mask"].to(self.network.device)
        (transcript,) = self._generate(prepared["input_features"], attention_mask=mask, return_timestamps=True)
        return transcript

    def _prepare(self, clips: Sequence[np.ndarray], **options: Any) -> Any:
        processor, rate = self.preprocessing.processor, self.preprocessing.rate
        return processor(list(clips), sampling_rate=rate, return_tensors="pt", **options)

    def _generate(self, spectra: Tensor, **options: Any) -> list[Transcript]:
        """Run transformers' search on (B, F, T) spectra."""
        if self._is_multilingual:
            options |= {"language": self.decoding.language, "task": self.decoding.task}
        options |= {"num_beams": self.decoding.beams, "do_sample": False, "return_segments": True}
        try:
            with transformers.quiet_transformers(), torch.no_grad():
                output = self.network.generate(spectra.to(self.network.device), **options)
        except (ValueError, TypeError, AttributeError, IndexError) as error:  # by what its generation config lacks
            raise ModelError(
                f"cannot decode: {first_line(error)}",
                where=self.where,
                remedy="Give the folder with the generation_config.json that the model was saved with.",
            ) from error
        return list(map(self._read_transcript, output["sequences"], output["segments"]))

    def _read_transcript(self, tokens: Tensor, segments: Sequence[Mapping[str, Any]]) -> Transcript:
        """Return the text of (T,) tokens, and how its windows ended: their segments share what the search returned."""
        windows = {id(segment["result"]): segment["result"] for segment in segments}
        cut = sum(not self._is_finished(window) for window in windows.values())
        return Transcript(self._read_text(tokens), max(1, len(windows)), cut)

    @property
    def _is_multilingual(self) -> bool:
        return bool(getattr(self.network.generation_config, "is_multilingual", False))

    def _is_finished(self, tokens: Tensor) -> bool:
        """Tell whether the model ended a text by itself; the tokens that it was begun with are never the end."""
        prompt = 1 if tokens[0] == self.network.generation_config.decoder_start_token_id else 0
        return bool((tokens[prompt:] == self.network.generation_config.eos_token_id).any())

    def _read_text(self, tokens: Tensor) -> str:
        """Return the text of (T,) tokens, of which those of times stand behind all words."""
        times = getattr(self.network.generation_config, "no_timestamps_token_id", None)
        kept = [token for token in tokens.tolist() if times is None or token < times]
        text: str = self.tokenizer.decode(kept, skip_special_tokens=True)
        return text.strip()


def prepare_windows(processor: Any) -> AudioPreprocessing:
    """Return how recordings of any length are prepared for Whisper's decoder."""
    extractor = SpectrumExtractor(processor)
    return AudioPreprocessing(
        extractor.rate,
        extractor=extractor,
        processor=processor,
        samples_per_token=2 * processor.hop_length,
    )


def check_decoding(network: Any, decoding: DecodingConfig) -> None:
    """Raise ``ConfigError`` for a language or a task that a checkpoint was not trained for."""
    generation = network.generation_config
    if not getattr(generation, "is_multilingual", False):
        if named := sorted({"language", "task"} & decoding.model_fields_set):
            raise ConfigError(
                "this Whisper knows one language, which it was trained on, and takes neither language nor task",
                where=f"{TABLE}.{named[0]}",
                remedy=f"Remove {' and '.join(named)}.",
            )
        return
    known = {token.strip("<|>") for token in getattr(generation, "lang_to_id", {})}
    if decoding.language is not None and decoding.language not in known:
        raise ConfigError(
            f"this Whisper knows no language {decoding.language!r}",
            where=f"{TABLE}.language",
            remedy=f"Expected one of {', '.join(sorted(known))}." if known else "Remove it.",
        )
