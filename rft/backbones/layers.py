"""Where a backbone can be cut, and what each cut costs: measured on made-up inputs, by running it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rft.backbones.anatomy import Anatomy
from rft.backbones.classifier import Batch
from rft.backbones.cut import NETWORK, Cut, Uncuttable, at_layer, cut
from rft.backbones.load import LoadedBackbone
from rft.data.text import Tokenisation
from rft.progress import track

BATCH, TOKENS, REPEATS = 4, 128, 3
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


@dataclass(frozen=True)
class Place:
    """A place to cut.

    Attributes:
        freeze: what to write into ``model.freeze``.
        trained: parameters that are trained behind it, the head of two classes included.
        epoch: time of a training step behind the cut, as a share of one that runs the whole model.
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
    classifier = backbone.classifier(2, False, 0)
    anatomy = Anatomy.of(classifier, backbone.example)
    inputs = backbone.example(BATCH, tokens_of(backbone), 0)
    whole = cut(classifier, "none", "full", backbone.example)
    full = _seconds(whole, inputs)
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


def _place(made: Cut, inputs: Batch, full: float) -> Place:
    with torch.no_grad():
        features = made.prefix()(inputs)["features"]
    return Place(made.freeze, _trained(made), _seconds(made, inputs) / full, features[0].numel() * 4)


def _trained(made: Cut) -> int:
    return sum(parameter.numel() for name, parameter in made.classifier.named_parameters() if name in made.trained)


def _seconds(made: Cut, inputs: Batch) -> float:
    """Return the median time of a training step behind a cut."""
    with torch.no_grad():
        batch = made.prefix()(inputs) if made.cached else inputs
    suffix = made.new_suffix(0).train()
    return statistics.median(_timed(lambda: _step(suffix, batch)) for _ in range(REPEATS))


def _step(suffix: nn.Module, batch: Batch) -> Tensor:
    suffix.zero_grad()
    loss = suffix(batch).square().mean()
    loss.backward()
    return loss


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
