"""Where a backbone can be cut, and what each cut costs: measured on made-up inputs, by running it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from rft.backbones.classifier import Batch
from rft.backbones.load import LoadedBackbone
from rft.backbones.partition.cut import NETWORK, Cut, Uncuttable, at_layer, cut
from rft.backbones.partition.trace import Anatomy
from rft.data.text import Tokenisation
from rft.runtime.allocator import keep_freed_memory
from rft.runtime.progress import track

BATCH, TOKENS = 4, 128
PAIRS, SECONDS = 5, 1.0  # most pairs of steps that a place is timed with, and the time after which no more are begun
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


@dataclass(frozen=True)
class Place:
    """A place to cut.

    Attributes:
        freeze: what to write into ``model.freeze``.
        trained: parameters that are trained behind it, the head of two classes included.
        epoch: processor time of a training step behind the cut, as a share of one that runs the whole model; the
            median of neighbouring pairs.
        cached: bytes that one example takes in the cache; texts of ``tokens_of``; None where nothing is cached.
    """

    freeze: str
    trained: int
    epoch: float
    cached: int | None


def places(backbone: LoadedBackbone) -> list[Place]:
    """Return the places where a backbone can be cut, from nothing frozen to everything frozen.

    Candidates are the blocks: modules with parameters that lie directly in the network or in a sequence. Those where
    the model does not run on from what was cached are left out.
    """
    keep_freed_memory()
    classifier = backbone.classifier(2, False, 0)
    anatomy = Anatomy.of(classifier, backbone.example)
    inputs = backbone.example(BATCH, tokens_of(backbone), 0)
    whole = cut(classifier, "none", "full", backbone.example)
    full = _Timed(whole, inputs)
    found = [Place("none", _trained(whole), 1.0, None)]
    seen: set[frozenset[str]] = {whole.trained}
    for layer in track(list(_candidates(classifier)), "Layers"):
        try:
            made = at_layer(classifier, layer, "full", anatomy, backbone.example)
        except Uncuttable:
            continue
        if made.trained not in seen:
            seen.add(made.trained)
            found.append(_place(made, inputs, full))
    return [*found, _place(cut(classifier, "all", "full", backbone.example), inputs, full)]


def tokens_of(backbone: LoadedBackbone) -> int:
    """Return how many tokens the texts have that places are measured with."""
    prepared = backbone.preparation
    return min(TOKENS, prepared.max_length) if isinstance(prepared, Tokenisation) else TOKENS


def _candidates(classifier: nn.Module) -> Iterator[str]:
    modules = dict(classifier.named_modules())
    for name, module in modules.items():
        if not name.startswith(NETWORK) or not any(True for _ in module.parameters()):
            continue
        parent = modules[name.rpartition(".")[0]]
        if isinstance(parent, CONTAINERS) or name.count(".") == NETWORK.count("."):
            yield name.removeprefix(NETWORK)


def _place(made: Cut, inputs: Batch, full: _Timed) -> Place:
    with torch.no_grad():
        features = made.prefix()(inputs)
    return Place(made.freeze, _trained(made), _share(_Timed(made, features), full), features["features"][0].numel() * 4)


def _share(part: _Timed, full: _Timed) -> float:
    """Return the median of part / full over pairs, side by side: what slows the machine for a while slows both."""
    ratios: list[float] = []
    spent = 0.0
    while len(ratios) < PAIRS and spent < SECONDS:
        own, whole = part.seconds(), full.seconds()
        ratios.append(own / whole)
        spent += own + whole
    return statistics.median(ratios)


def _trained(made: Cut) -> int:
    return sum(parameter.numel() for name, parameter in made.classifier.named_parameters() if name in made.trained)


class _Timed:
    """Training steps of what is trained behind a cut, without the optimizer's, to be timed. The first is not."""

    def __init__(self, made: Cut, batch: Batch) -> None:
        self._model, self._batch = made.trial(cached=made.cached).train(), batch
        self._step()

    def seconds(self) -> float:
        """Return the processor time of a step: time in which other programs had the processor does not count."""
        start = time.process_time()
        self._step()
        return time.process_time() - start

    def _step(self) -> None:
        self._model(self._batch).square().mean().backward()
        self._model.zero_grad()  # so that two models never hold their gradients at the same time
