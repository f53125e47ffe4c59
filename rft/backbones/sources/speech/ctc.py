"""Networks with a CTC head (Graves et al. 2006, ICML): one token or none for each vector of sound, read greedily."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from rft.backbones.sources import transformers
from rft.backbones.sources.speech.encoders import takes_waveforms
from rft.backbones.sources.speech.transcriber import Transcript
from rft.data.audio.decoding import Recording
from rft.data.audio.inputs import pad_recordings
from rft.data.audio.preprocessing import AudioPreprocessing
from rft.data.transcripts.tokens import join_tokens
from rft.data.transcripts.vocabulary import collapse_outputs

AT_ONCE = 8  # clips


@dataclass(frozen=True)
class CtcTranscriber:
    """An encoder of speech with a CTC head and its tokenizer.

    Attributes:
        network: a ``...ForCTC`` of transformers.
        preprocessing: as the checkpoint's feature extractor says.
        tokenizer: from tokens to texts.
        blank: the number of the blank; None where the tokenizer itself, ``Wav2Vec2CTCTokenizer``, joins what repeats
            and takes the blank out.
        batch_size: 1 where padding would change what is heard in a clip, whatever the mask says.
    """

    network: Any
    preprocessing: AudioPreprocessing
    tokenizer: Any
    blank: int | None = None
    batch_size: int = AT_ONCE

    def transcribe(self, clips: Sequence[np.ndarray]) -> list[Transcript]:
        """Return what was said in each clip, as ``Transcriber`` says: the likeliest token of each vector."""
        prepared = [self.preprocessing(Recording(clip, self.preprocessing.rate)) for clip in clips]
        written: list[Transcript] = []
        for start in range(0, len(prepared), self.batch_size):
            inputs = pad_recordings(prepared[start : start + self.batch_size])
            mask = inputs["attention_mask"].to(self.network.device)
            sounds = inputs["waveform" if "waveform" in inputs else "spectrum"].to(self.network.device)
            with torch.no_grad(), transformers.quiet_transformers():
                logits = self.network(sounds, attention_mask=mask).logits
            tokens = logits.argmax(dim=-1)
            lengths = self._count_vectors(mask.sum(dim=1), tokens.shape[1])
            for row, length in enumerate(lengths):
                written.append(Transcript(self._read_text(tokens[row, :length].tolist()).strip()))
        return written

    def _read_text(self, tokens: list[int]) -> str:
        """Return the text of the likeliest token of each vector."""
        if self.blank is not None:
            return join_tokens(self.tokenizer, collapse_outputs(tokens, self.blank))
        text: str = self.tokenizer.decode(tokens)
        return text

    def _count_vectors(self, samples: torch.Tensor, longest: int) -> list[int]:
        """Return how many of at most ``longest`` vectors stand for the sound of (B,) numbers of samples or frames."""
        if takes_waveforms(self.network) or getattr(self.network.config, "add_adapter", False):
            samples = self.network._get_feat_extract_output_lengths(samples)
        counts: list[int] = samples.clamp(max=longest).tolist()
        return counts
