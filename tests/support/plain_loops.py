"""Training written without rft: the usual loop over the whole model, and one over what was cached by hand."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from rft.backbones.batch import Batch
from rft.backbones.classifier import Classifier, new_head
from rft.backbones.partition.cut import Cut
from rft.training import trained_state

SEED, CLASSES, STEPS, BATCH = 3, 3, 20, 6
Reader = Callable[[Sequence[int]], Batch]  # numbers of examples -> a batch of the model's inputs


class PlainLoop:
    """The usual way to train the last layers, written without rft: frozen parts in eval mode, the rest in train mode.

    Args:
        classifier: the joined model as loaded.
        behind: modules of its network that are trained, with the head.
    """

    def __init__(self, classifier: Classifier, behind: tuple[str, ...]) -> None:
        self.model = copy.deepcopy(classifier).eval().requires_grad_(False)
        head = self.model.head
        head.load_state_dict(new_head(head.linear.in_features, CLASSES, False, SEED).state_dict())
        for module in (head, *(self.model.backbone.network.get_submodule(name) for name in behind)):
            module.train().requires_grad_(True)
        self.names = {name for name, parameter in self.model.named_parameters() if parameter.requires_grad}

    def train(self, read: Reader, count: int) -> list[float]:
        """Train on ``count`` examples and return the loss of each step."""
        return train_steps(self.model, ((read(rows.tolist()), labels) for rows, labels in shuffle(count)))


def train_from_cache(partition: Cut, read: Reader, count: int) -> tuple[list[float], Classifier]:
    """Run the frozen part once, on one example at a time, train what is behind it, and join both again."""
    prefix, suffix = partition.prefix(), partition.new_suffix(SEED)
    with torch.no_grad():
        rows = [prefix(read([number])) for number in range(count)]
    batches = ((pad_rows([rows[number] for number in numbers.tolist()]), labels) for numbers, labels in shuffle(count))
    losses = train_steps(suffix.train(), batches)
    return losses, partition.join(trained_state(suffix))


def pad_rows(rows: list[Batch]) -> Batch:
    """Join cached examples to a batch; where they differ in length, they are padded with zeros on the right."""
    return {name: nn.utils.rnn.pad_sequence([row[name][0] for row in rows], batch_first=True) for name in rows[0]}


def shuffle(count: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield rows and labels of each step; the last batch of an epoch is smaller."""
    random = torch.Generator().manual_seed(1)
    batches = [rows for _ in range(STEPS) for rows in torch.randperm(count, generator=random)[:-1].split(BATCH)]
    for rows in batches[:STEPS]:
        yield rows, rows % CLASSES


def train_steps(model: nn.Module, batches: Iterator[tuple[Batch, Tensor]]) -> list[float]:
    """Train by SGD and return the loss of each step; dropout follows from the seed.

    The steps are short: BatchNorms on a few small maps double a rounding error from step to step when they are long.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=0.001, momentum=0.9)
    losses = []
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        for batch, labels in batches:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(batch), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses
