"""By how much the features of an example depend on which others are run with it.

A frozen part treats each example by itself, but its arithmetic does not quite: in a batch of another size sums are
added up in another order, and in few bits that shows. Private training bounds what one example contributes and takes
for granted that the contributions of all others stay as they are when it is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

from rft.backbones.batch import Batch
from rft.backbones.partition.trace import Example
from rft.data.decoders import Rows
from rft.features.batches import USUAL_EXAMPLES
from rft.features.extract import run_batches

EXAMPLES_RUN_ALONE = 4  # made-up examples that are run alone as well
MAX_TOKENS = 24  # of a made-up text, at most
NEGLIGIBLE_CHANGE = 1e-4  # float32 stays far below, bfloat16 can be far above


@dataclass(frozen=True)
class BatchDependence:
    """By how much the features of an example depend on the others in its batch.

    Attributes:
        change: largest relative change of the features of a made-up example, in a batch beside alone; may be infinite.
        alone: whether each example is run alone for that reason, so that nothing depends on the others.
    """

    change: float
    alone: bool


def measure_batch_dependence(
    prefix: nn.Module, example: Example, *, tokens: int | None, device: str, precision: str
) -> BatchDependence:
    """Run made-up examples in a batch and alone; no example of a user takes part, so that nothing follows from one.

    In bfloat16 examples are run alone whatever is seen: a few examples that happen to agree would be no evidence.

    Args:
        prefix: the frozen part; it is moved to ``device``.
        example: makes inputs: how many, tokens, seed.
        tokens: what texts are cut to; None for images.
        device, precision: as in ``extract``.
    """
    inputs = MadeUpInputs(_of_all_lengths(example(USUAL_EXAMPLES, min(MAX_TOKENS, tokens or MAX_TOKENS), 0)))
    rows = [np.arange(USUAL_EXAMPLES), *(np.array([row]) for row in range(EXAMPLES_RUN_ALONE))]
    together, *apart = run_batches(prefix, inputs, range(USUAL_EXAMPLES), rows, device=device, precision=precision)
    change = max(_relative_change(alone["features"][0], together["features"][row]) for row, alone in enumerate(apart))
    return BatchDependence(change, alone=precision == "bfloat16" or not change <= NEGLIGIBLE_CHANGE)


def _of_all_lengths(batch: Batch) -> Batch:
    """Return texts of which those that are run alone are shorter, one more than the other; images as they are."""
    if "attention_mask" not in batch:
        return batch
    ids, mask = batch["input_ids"].clone(), batch["attention_mask"].clone()
    padding = ids[mask == 0][0] if (mask == 0).any() else 0
    for row in range(EXAMPLES_RUN_ALONE):
        length = max(1, mask.shape[1] * (row + 1) // (EXAMPLES_RUN_ALONE + 1))
        ids[row, length:], mask[row, length:] = padding, 0
    return {**batch, "input_ids": ids, "attention_mask": mask}


def _relative_change(alone: Tensor, together: Tensor) -> float:
    """Return the length of a difference of (T, D) or (D,) features over that alone; texts are padded beside those."""
    batch_features = together[: len(alone)].double()
    change = float((batch_features - alone).norm() / alone.double().norm().clamp(min=1e-30))
    return change if change == change else float("inf")


@dataclass(frozen=True)
class MadeUpInputs:
    """Gives rows of a made-up batch, texts without the padding that longer ones brought upon them."""

    batch: Batch

    def batches(self, items: Sequence[Any], batches: Sequence[Rows]) -> Iterator[Batch]:
        """Yield the batch of each list of rows."""
        for rows in batches:
            chosen = {name: column[np.asarray(rows)] for name, column in self.batch.items()}
            if "attention_mask" in chosen:
                longest = int(chosen["attention_mask"].sum(dim=1).max())
                chosen = {name: column[:, :longest] for name, column in chosen.items()}
            yield chosen
