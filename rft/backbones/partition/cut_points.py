"""Where a backbone can be cut, and what each cut costs: counted from one pass on made-up inputs, timed on request."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from torch import nn

from rft.backbones.batch import Batch
from rft.backbones.classifier import Classifier
from rft.backbones.load import LoadedBackbone
from rft.backbones.partition.cut import NETWORK, Cut, Uncuttable, cut_at_layer, cut_classifier, plan_replay
from rft.backbones.partition.op_trace import OpTrace
from rft.backbones.partition.trace import ModelTrace
from rft.data.text import TextPreprocessing
from rft.runtime.allocator import keep_freed_memory

BATCH, TOKENS = 4, 128
MAX_TIMED_PAIRS = 5  # most pairs of steps that a place is timed with
MAX_TIMED_SECONDS = 1.0  # after which no more of them are begun
BYTES = 4  # of a number in float32
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


@dataclass(frozen=True)
class CutPoint:
    """A place to cut, or a layer where one cannot.

    Attributes:
        freeze: what to write into ``model.freeze``.
        trained: parameters that are trained behind it, the head of two classes included; None where it is no place.
        flops: FLOPs of a training step behind the cut, as a share of one that trains the whole model: forward, and
            the gradients that are computed. An epoch is as many steps either way, so this is its share too.
        cached: bytes that one example takes in the cache in float32, of ``count_example_tokens`` for texts; None where
            nothing is cached.
        obstacle: why one cannot cut there; None where one can.
        seconds: processor time of a training step as a share of one that runs the whole model; None unless timed.
    """

    freeze: str
    trained: int | None = None
    flops: float | None = None
    cached: int | None = None
    obstacle: str | None = None
    seconds: float | None = None


class CutPoints:
    """The places of a backbone, from nothing frozen to everything frozen, each when it is asked for.

    Candidates are the blocks: modules with parameters that lie directly in the network or in a sequence. Of those that
    train the same parameters the first is listed.

    Args:
        backbone: what is cut.
        timed: whether training steps are run and timed, which takes minutes where the model is large.
    """

    def __init__(self, backbone: LoadedBackbone, *, timed: bool = False) -> None:
        self._tokens = count_example_tokens(backbone)
        self._example = backbone.example
        self._classifier = backbone.classifier(2, False, 0)
        self._sizes = {name: parameter.numel() for name, parameter in self._classifier.named_parameters()}
        self._ops = OpTrace.record(self._classifier, self._example(1, self._tokens, 0))
        self._calls = ModelTrace.record(self._classifier, self._example)
        self._reached = self._ops.trained_parameters()
        self._whole = self._ops.count_step_flops(self._ops.ops, self._reached)
        self._timer = _StepTimer(self._classifier, backbone, self._tokens) if timed else None
        self.layers = list(_candidate_layers(self._classifier))

    def __iter__(self) -> Iterator[CutPoint]:
        """Yield the places."""
        yield CutPoint("none", self._count_parameters(self._reached), 1.0, seconds=1.0 if self._timer else None)
        seen = {self._reached}
        for layer in self.layers:
            try:
                trained, cut_point = self._price_layer(layer)
                if trained not in seen:
                    seen.add(trained)
                    yield self._add_time(cut_point)
            except Uncuttable as reason:
                yield CutPoint(layer, obstacle=str(reason))
        head = frozenset(name for name in self._reached if name.startswith("head."))
        features = self._classifier.head.linear.in_features * BYTES
        yield self._add_time(
            CutPoint(
                "all", self._count_parameters(head), self._share_of_flops(self._ops.begins["head"], head), features
            )
        )

    def _price_layer(self, layer: str) -> tuple[frozenset[str], CutPoint]:
        """Return the names of the parameters that are trained behind a layer, and its place; raises ``Uncuttable``."""
        module = NETWORK + layer
        plan = plan_replay(self._calls, module, self._classifier.modality)
        if self._ops.passes_by(module, plan.position):
            raise Uncuttable("a branch passes by")
        begin = self._ops.begins[module]
        trained = self._ops.trained_parameters(module, plan.position)
        if all(name.startswith("head.") for name in trained):
            raise Uncuttable("nothing but the head would be trained")
        return trained, CutPoint(
            layer,
            self._count_parameters(trained),
            self._share_of_flops(begin, trained),
            self._cached_bytes(module, plan.position),
        )

    def _add_time(self, cut_point: CutPoint) -> CutPoint:
        if self._timer is None:
            return cut_point
        if cut_point.freeze == "all":
            cut = cut_classifier(self._classifier, "all", "full", self._example)
        else:
            cut = cut_at_layer(self._classifier, cut_point.freeze, "full", self._calls, self._example)
        return replace(cut_point, seconds=self._timer.time_share(cut))

    def _share_of_flops(self, begin: int, trained: frozenset[str]) -> float:
        return self._ops.count_step_flops(self._ops.ops[begin:], trained) / self._whole

    def _count_parameters(self, names: frozenset[str]) -> int:
        return sum(self._sizes[name] for name in names)

    def _cached_bytes(self, module: str, position: int) -> int:
        """Return the size of the argument that is cached, of one example."""
        at = self._calls.first_call(module)
        assert at is not None, "it was planned from that call"
        small, large = self._calls.first[at].inputs[position], self._calls.larger[at].inputs[position]
        dimensions = self._calls.explain_shape(small, large)
        assert dimensions is not None, "the plan holds one row an example"
        return math.prod(factor * {"B": 1, "T": self._tokens}.get(unit, 1) for factor, unit in dimensions) * BYTES


def count_example_tokens(backbone: LoadedBackbone) -> int:
    """Return how many tokens the texts have that places are priced with."""
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


class _StepTimer:
    """Times training steps behind a cut beside steps of the whole model."""

    def __init__(self, classifier: Classifier, backbone: LoadedBackbone, tokens: int) -> None:
        keep_freed_memory()
        self._inputs = backbone.example(BATCH, tokens, 0)
        self._full = _TimedSteps(cut_classifier(classifier, "none", "full", backbone.example), self._inputs)

    def time_share(self, cut: Cut) -> float:
        """Return the median of part / whole over pairs, side by side: what slows the machine for a while slows both."""
        part = _TimedSteps(cut, cut.prefix()(self._inputs))
        ratios: list[float] = []
        spent = 0.0
        while len(ratios) < MAX_TIMED_PAIRS and spent < MAX_TIMED_SECONDS:
            part_seconds, full_seconds = part.time_step(), self._full.time_step()
            ratios.append(part_seconds / full_seconds)
            spent += part_seconds + full_seconds
        return statistics.median(ratios)


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
