"""A recogniser: an encoder of speech that gives a vector for each moment, and a linear head on each of them.

What fills up a shorter utterance is a certain blank: it adds nothing to a transcript, and nothing to its loss or
gradient by connectionist temporal classification, so that no length has to be handed on beside the logits.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rft.backbones.batch import Batch
from rft.backbones.classifier import Classifier, Head
from rft.data.transcripts.vocabulary import BLANK

CERTAIN = 1e4  # by how much the logit of the blank is above the others: their probability is 0 in float32 and float64


class FrameHead(Head):
    """A linear head on every vector of an utterance."""

    def forward(self, batch: Batch) -> Tensor:
        """Map ``{"features": (B, T, D), "attention_mask": (B, T)}`` to (B, T, V) logits; padding is a certain blank."""
        logits = super().forward(batch)
        padding = (batch["attention_mask"] == 0)[..., None]
        is_blank = torch.arange(logits.shape[-1], device=logits.device) == BLANK
        return torch.where(padding, torch.where(is_blank, 0.0, -CERTAIN).to(logits), logits)


class Recognizer(Classifier):
    """Encoder and head, joined: a batch of inputs in, (B, T, V) logits out."""

    def forward(self, inputs: Batch) -> Tensor:
        """Map a batch of clips, as ``SpeechBackbone`` takes it, to (B, T, V) logits; padding is a certain blank."""
        mask = self.backbone.mask_vectors(inputs)  # type: ignore[operator]
        output: Tensor = self.head({"features": self.features(inputs), "attention_mask": mask})
        return output
