"""What training lowers: the loss of each example, from what the trained part gives for it and from its label.

One objective serves the standard loop, validation, private training and the attacks on what was trained. Both have
losses of single examples, since a bound on one example's part in a step needs no other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from rft.data.transcripts.vocabulary import BLANK

SMALLEST = torch.finfo(torch.float64).tiny


class Objective(Protocol):
    """A loss of single examples.

    Attributes:
        name: what it is called, as part of a sentence.
    """

    @property
    def name(self) -> str: ...

    def example_losses(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return (B,) losses, at least 0, of what the trained part gives for B examples, and of their labels."""

    def mean_loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the mean of ``example_losses``, a number."""

    def label_confidences(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return (B,) float64 log of the odds, p / (1 - p), of each label: how sure a model is of it."""

    def make_up_labels(self, rows: int, outputs: int) -> Tensor:
        """Return labels of ``rows`` made-up examples, the same in every run, for a network with so many outputs."""


@dataclass(frozen=True)
class CrossEntropy:
    """Of (B, K) logits and (B,) class indices."""

    name: str = "cross-entropy"

    def example_losses(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return (B,) losses."""
        return nn.functional.cross_entropy(outputs, labels, reduction="none")

    def mean_loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return their mean."""
        return nn.functional.cross_entropy(outputs, labels)

    def label_confidences(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return (B,) log p_y - log sum over c != y of p_c, which does not saturate as p_y does."""
        wide = outputs.double()
        others = wide.scatter(1, labels[:, None], -torch.inf)
        return wide.gather(1, labels[:, None])[:, 0] - others.logsumexp(1)

    def make_up_labels(self, rows: int, outputs: int) -> Tensor:
        """Return (rows,) class indices, each class in turn."""
        return torch.arange(rows) % outputs


@dataclass(frozen=True)
class ConnectionistTemporalClassification:
    """Of (B, T, V) logits and (B, L) numbers of characters, filled up with the blank, 0 (Graves et al. 2006, ICML).

    The loss of an utterance is minus the log of the probability that its transcript is written in any of the ways in
    which T outputs can; infinite where there is none. Vectors that fill up an utterance are certain blanks (see
    ``rft.backbones.recognizer``), which change no loss.
    """

    name: str = "CTC loss"

    def example_losses(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return (B,) losses."""
        log_probabilities = outputs.log_softmax(2).transpose(0, 1)  # (T, B, V)
        vectors = torch.full((len(labels),), outputs.shape[1], dtype=torch.int64)
        lengths = (labels != BLANK).sum(1).cpu()
        return nn.functional.ctc_loss(log_probabilities, labels, vectors, lengths, reduction="none")

    def mean_loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return their mean."""
        return self.example_losses(outputs, labels).mean()

    def label_confidences(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return (B,) log p - log(1 - p) of the probability p of each transcript."""
        log_p = -self.example_losses(outputs.double(), labels).clamp(min=SMALLEST)
        return log_p - torch.log(-torch.expm1(log_p))

    def make_up_labels(self, rows: int, outputs: int) -> Tensor:
        """Return (rows, 2) numbers: transcripts of one or two characters, which are no two alike in a row."""
        first = torch.arange(rows) % (outputs - 1) + 1
        second = (torch.arange(rows) + 1) % (outputs - 1) + 1
        second[(second == first) | (torch.arange(rows) % 3 == 0)] = BLANK
        return torch.stack([first, second], dim=1)


CROSS_ENTROPY, CTC = CrossEntropy(), ConnectionistTemporalClassification()
