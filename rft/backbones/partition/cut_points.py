"""Where a backbone can be cut, and what each cut costs: measured on made-up inputs, by running it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from rft.backbones.batch import Batch
from rft.backbones.load import LoadedBackbone
from rft.backbones.partition.cut import NETWORK, Cut, Uncuttable, cut_at_layer, cut_classifier
from rft.backbones.partition.trace import ModelTrace
from rft.data.text import TextPreprocessing
from rft.runtime.allocator import keep_freed_memory
from rft.runtime.progress import track_progress

BATCH, TOKENS = 4, 128
MAX_TIMED_PAIRS, MAX_TIMED_SECONDS = (
    5,
    1.0,
)  # most pairs of steps that a place is timed with, and the time after which no more are begun
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


@dataclass(frozen=True)
class CutPoint:
    """A place to cut.

    Attributes:
        freeze: what to write into ``model.freeze``.
        trained: parameters that are trained behind it, the head of two classes included.
        epoch: processor time of a training step behind the cut, as a share of one that runs the whole model; the
            median of neighbouring pairs.
        cached: bytes that one example takes in the cache, of ``count_example_tokens`` for texts; None where nothing
            is cached.
    """

    freeze: str
    trained: int
    epoch: float
    cached: int | None


def measure_cut_points(backbone: LoadedBackbone) -> list[CutPoint]:
    """Return the places where a backbone can be cut, from nothing frozen to everything frozen.

    Candidates are the blocks: modules with parameters that lie directly in the network or in a sequence. Those where
    the model does not run on from what was cached are left out.
    """
    keep_freed_memory()
    classifier = backbone.classifier(2, False, 0)
    trace = ModelTrace.record(classifier, backbone.example)
    inputs = backbone.example(BATCH, count_example_tokens(backbone), 0)
    whole = cut_classifier(classifier, "none", "full", backbone.example)
    full = _TimedSteps(whole, inputs)
    cut_points = [CutPoint("none", _count_trained(whole), 1.0, None)]
    seen: set[frozenset[str]] = {whole.trained}
    for layer in track_progress(list(_candidate_layers(classifier)), "Layers"):
        try:
            candidate = cut_at_layer(classifier, layer, "full", trace, backbone.example)
        except Uncuttable:
            continue
        if candidate.trained not in seen:
            seen.add(candidate.trained)
            cut_points.append(_measure_cut_point(candidate, inputs, full))
    return [*cut_points, _measure_cut_point(cut_classifier(classifier, "all", "full", backbone.example), inputs, full)]


def count_example_tokens(backbone: LoadedBackbone) -> int:
    """Return how many tokens the texts have that places are measured with."""
    prepared = backbone.preprocessing
    return min(TOKENS, prepared.max_length) if isinstance(prepared, TextPreprocessing) else TOKENS


def _candidate_layers(classifier: nn.Module) -> Iterator[str]:
    modules = dict(classifier.named_modules())
    for name, module in modules.items():
        if not name.startswith(NETWORK) or not any(True for _ in module.parameters()):
            continue
        parent = modules[name.rpartition(".")[0]]
        if isinstance(parent, CONTAINERS) or name.count(".") == NETWORK.count("."):
            yield name.removeprefix(NETWORK)


def _measure_cut_point(cut: Cut, inputs: Batch, full: _TimedSteps) -> CutPoint:
    with torch.no_grad():
        features = cut.prefix()(inputs)
    return CutPoint(
        cut.freeze,
        _count_trained(cut),
        _median_time_share(_TimedSteps(cut, features), full),
        features["features"][0].numel() * 4,
    )


def _median_time_share(part: _TimedSteps, full: _TimedSteps) -> float:
    """Return the median of part / full over pairs, side by side: what slows the machine for a while slows both."""
    ratios: list[float] = []
    spent = 0.0
    while len(ratios) < MAX_TIMED_PAIRS and spent < MAX_TIMED_SECONDS:
        part_seconds, full_seconds = part.time_step(), full.time_step()
        ratios.append(part_seconds / full_seconds)
        spent += part_seconds + full_seconds
    return statistics.median(ratios)


def _count_trained(cut: Cut) -> int:
    return sum(parameter.numel() for name, parameter in cut.classifier.named_parameters() if name in cut.trained)


class _TimedSteps:
    """Training steps of what is trained behind a cut, without the optimizer's, to be timed. The first is not."""

    def __init__(self, cut: Cut, batch: Batch) -> None:
        self._model, self._batch = cut.shared_suffix(cached=cut.cached).train(), batch
        self._run_step()

    def time_step(self) -> float:
        """Return the processor time of a step: time in which other programs had the processor does not count."""
        start = time.process_time()
        self._run_step()
        return time.process_time() - start

    def _run_step(self) -> None:
        self._model(self._batch).square().mean().backward()
        self._model.zero_grad()  # so that two models never hold their gradients at the same time
