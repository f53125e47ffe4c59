"""The loss of transcripts against a sum over all ways to write them, and what padding and confidence must be."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from rft.backbones.recognizer import FrameHead
from rft.data.transcripts.vocabulary import CharacterVocabulary
from rft.training.objectives import CROSS_ENTROPY, CTC

LABELS = torch.tensor([[1, 2, 0], [1, 1, 0], [0, 0, 0], [2, 0, 0]])


def probability_of(probabilities: np.ndarray, text: str) -> float:
    """Return the probability that (T, 3) outputs are ones that stand for a text, by going through all of them."""
    vocabulary = CharacterVocabulary(("a", "b"))
    return sum(
        math.prod(probabilities[number, output] for number, output in enumerate(outputs))
        for outputs in itertools.product(range(3), repeat=len(probabilities))
        if vocabulary.decode(outputs) == text
    )


def test_a_loss_is_that_of_all_ways_to_write_a_transcript() -> None:
    logits = torch.randn(4, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    losses = CTC.example_losses(logits, LABELS)
    probabilities = logits.softmax(2).numpy()
    wanted = [probability_of(row, text) for row, text in zip(probabilities, ["ab", "aa", "", "b"], strict=True)]
    assert losses.numpy() == pytest.approx(-np.log(wanted))
    assert CTC.mean_loss(logits, LABELS).item() == pytest.approx(float(losses.mean()))
    odds = np.array(wanted) / (1 - np.array(wanted))
    assert CTC.label_confidences(logits, LABELS).numpy() == pytest.approx(np.log(odds))


def test_what_cannot_be_written_has_an_infinite_loss() -> None:
    logits = torch.zeros(1, 2, 3)
    assert CTC.example_losses(logits, torch.tensor([[1, 1]])).item() == math.inf
    assert math.isfinite(CTC.example_losses(logits, torch.tensor([[1, 2]])).item())


def test_confidence_of_a_certain_transcript_is_finite() -> None:
    logits = torch.full((1, 3, 3), -1e4)
    logits[..., 0] = 0
    assert math.isfinite(CTC.label_confidences(logits, torch.zeros(1, 2, dtype=torch.int64)).item())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_padding_changes_neither_loss_nor_gradient_nor_transcript(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    head = FrameHead(4, 3).to(dtype)
    features = torch.randn(4, 7, 4, dtype=dtype)
    lengths = torch.tensor([7, 5, 3, 4])
    mask = (torch.arange(7) < lengths[:, None]).long()
    together = head({"features": features, "attention_mask": mask})
    losses = CTC.example_losses(together, LABELS)
    (gradient,) = torch.autograd.grad(losses.sum(), head.linear.weight)
    alone = torch.zeros_like(gradient)
    for row, length in enumerate(lengths.tolist()):
        batch = {"features": features[row : row + 1, :length], "attention_mask": mask[row : row + 1, :length]}
        logits = head(batch)
        (loss,) = CTC.example_losses(logits, LABELS[row : row + 1])
        assert loss.item() == pytest.approx(losses[row].item(), rel=1e-5)
        alone += torch.autograd.grad(loss, head.linear.weight)[0]
        outputs = together[row].argmax(1)
        assert outputs[:length].tolist() == logits[0].argmax(1).tolist()
        assert not outputs[length:].any()
    assert gradient.numpy() == pytest.approx(alone.numpy(), rel=1e-4, abs=1e-6)


def test_made_up_labels_are_ones_that_training_could_meet() -> None:
    assert CROSS_ENTROPY.make_up_labels(5, 3).tolist() == [0, 1, 2, 0, 1]
    for outputs in (2, 3, 30):
        labels = CTC.make_up_labels(9, outputs)
        assert labels.shape == (9, 2)
        assert labels[:, 0].min() >= 1
        assert labels.max() < outputs
        assert CTC.example_losses(torch.zeros(9, 2, outputs), labels).isfinite().all()
