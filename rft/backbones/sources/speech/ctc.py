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

AT_ONCE = 8  # clips


@dataclass(frozen=True)
class CtcTranscriber:
    """An encoder of speech with a CTC head and its tokenizer.

    Attributes:
        network: a ``...ForCTC`` of transformers.
        preprocessing: as the checkpoint's feature extractor says.
        tokenizer: ``Wav2Vec2CTCTokenizer``: it joins what repeats, and takes the blank out.
        batch_size: 1 where padding would change what is heard in a clip, whatever the mask says.
    """

    network: Any
    preprocessing: AudioPreprocessing
    tokenizer: Any
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
                written.append(Transcript(self.tokenizer.decode(tokens[row, :length].tolist()).strip()))
        return written

    def _count_vectors(self, samples: torch.Tensor, longest: int) -> list[int]:
        """Return how many of at most ``longest`` vectors stand for the sound of (B,) numbers of samples or frames."""
        if takes_waveforms(self.network) or getattr(self.network.config, "add_adapter", False):
            samples = self.network._get_feat_extract_output_lengths(samples)
        counts: list[int] = samples.clamp(max=longest).tolist()
        return counts
