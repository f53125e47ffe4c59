"""The two sides of a cut: the frozen part, run once, and the trained part, run again and again from what was cached.

The trained part is the whole model, run with blank inputs: calls that ended before the cut are not made, zeros of the
right shape stand for their results, and the layer at the cut gets the cached tensor in place of its own argument. What
does not depend on the data (positions, rotary tables, masks) runs as always. Whether that gives what the model itself
gives is for ``cut`` to verify.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from rft.backbones.batch import Args, Batch, Kwargs
from rft.backbones.classifier import Classifier

InputShape = tuple[int, ...] | None  # (C, H, W) of images; None for texts
Shape = tuple[tuple[int, str], ...]  # of each dimension: (factor, of), see ModelTrace


@dataclass(frozen=True)
class StubOutput:
    """What stands for the result of a call that is not made: its tree, and the shape and type of its tensors."""

    tree: Any
    leaves: tuple[tuple[Shape, torch.dtype] | None, ...]

    def __call__(self, sizes: Mapping[str, int], device: torch.device) -> Any:
        """Return the result for a batch of these sizes. Its tensors are single zeros, seen in every place."""
        leaves = [
            torch.zeros((), dtype=leaf[1], device=device).expand([factor * sizes[unit] for factor, unit in leaf[0]])
            if leaf
            else None
            for leaf in self.leaves
        ]
        return pytree.tree_unflatten(leaves, self.tree)


@dataclass(frozen=True)
class ReplayPlan:
    """How a model is run from a cut on.

    Attributes:
        layer: name of the module that the cut lies before, at its first call.
        position: which leaf of that call's arguments is cached.
        ragged: whether the cached tensor is (B, T, ...), with one row a token.
        overwrites: whether the layer changes its argument in place.
        stub_outputs: module -> for each of its calls before the cut that are not within another such call: what stands
            for its result, or None where the call is made.
        behind: modules that run behind the cut, at least once; only these are ever in training mode.
        behind_only: those of them that neither run before the cut nor hold the layer.
        hollow: modules that run before the cut only; their tensors are not needed behind it.
    """

    layer: str
    position: int
    ragged: bool
    overwrites: bool
    stub_outputs: Mapping[str, tuple[StubOutput | None, ...]]
    behind: frozenset[str]
    behind_only: frozenset[str]
    hollow: frozenset[str]


class _Reached(Exception):
    """The layer at the cut is about to run; carries its argument."""

    def __init__(self, argument: Tensor) -> None:
        self.argument = argument


class Prefix(nn.Module):
    """The frozen part: inputs in, what the trained part starts from out.

    It cannot be put in training mode: ``requires_grad_(False)`` alone does not freeze a BatchNorm, whose running
    statistics would move, that is, release statistics of the training data.

    Args:
        classifier: a replica of the model that belongs to this prefix.
        plan: where it stops; None: before the head.
    """

    def __init__(self, classifier: Classifier, plan: ReplayPlan | None) -> None:
        super().__init__()
        self.classifier, self.plan = classifier.requires_grad_(False), plan
        self.train(False)

    def train(self, mode: bool = True) -> Prefix:
        """Stay in eval mode whatever is asked."""
        super().train(False)
        return self

    @property
    def modality(self) -> str:
        """``image``, ``text`` or ``audio``."""
        return self.classifier.modality

    def tensors(self) -> dict[str, Tensor]:
        """Return parameters and buffers, of any shape, that run before the cut, by their names in the classifier."""
        state = self.classifier.state_dict()
        if self.plan is None:
            return {name: tensor for name, tensor in state.items() if not name.startswith("head.")}
        return {name: tensor for name, tensor in state.items() if owning_module(name) not in self.plan.behind_only}

    def forward(self, inputs: Batch) -> Batch:
        """Map a batch of inputs to ``{"features": ...}``, with ``attention_mask`` where there is one row a token."""
        backbone: Any = self.classifier.backbone
        if self.plan is None:
            features = backbone(inputs)
            mask = {"attention_mask": backbone.mask_vectors(inputs)} if features.dim() == 3 else {}
            return {"features": features, **mask}
        try:
            with _hooked_before(self.classifier.get_submodule(self.plan.layer), self._stop_at_cut):
                self.classifier(inputs)
        except _Reached as reached:
            mask = {"attention_mask": backbone.mask_vectors(inputs)} if self.plan.ragged else {}
            return {"features": reached.argument, **mask}
        raise AssertionError(f"{self.plan.layer} did not run")

    def _stop_at_cut(self, args: Args, kwargs: Kwargs) -> None:
        assert self.plan is not None
        raise _Reached(pytree.tree_leaves((args, kwargs))[self.plan.position])


class Suffix(nn.Module):
    """The trained part, behind a cut or, without a plan, all of the model.

    Args:
        classifier: a replica of the model that belongs to this suffix.
        plan: where it starts; None: it takes the model's own inputs.
        trainable: modules that ``train()`` puts in training mode; None: all.
        input_shape: (C, H, W) of the images, for blank inputs.
    """

    def __init__(
        self,
        classifier: Classifier,
        plan: ReplayPlan | None,
        trainable: frozenset[str] | None,
        input_shape: InputShape,
    ) -> None:
        super().__init__()
        self.classifier, self.plan = classifier, plan
        self.trainable, self.input_shape = trainable, input_shape
        self.train(False)

    def train(self, mode: bool = True) -> Suffix:
        """Set the mode of what runs behind the cut; what runs before it stays in eval mode."""
        super().train(False)
        self.training = mode
        for name, module in self.classifier.named_modules():
            module.training = mode and (self.trainable is None or name in self.trainable)
        return self

    def forward(self, batch: Batch) -> Tensor:
        """Map a batch of features (or of inputs, without a plan) to (B, K) logits."""
        logits: Tensor
        if self.plan is None:
            logits = self.classifier(batch)
            return logits
        with ExitStack() as stack:
            self._enter_replay(stack, batch)
            logits = self.classifier(self._blank_inputs(batch))
            return logits

    def _blank_inputs(self, batch: Batch) -> Batch:
        """Return inputs of the right shape without content; a mask is kept."""
        features = batch["features"]
        if "attention_mask" in batch:
            backbone: Any = self.classifier.backbone
            blank: Batch = backbone.blank_inputs(batch["attention_mask"])
            return blank
        assert self.input_shape is not None  # images have a size
        return {"pixels": features.new_zeros(()).expand(len(features), *self.input_shape)}

    def _enter_replay(self, stack: ExitStack, batch: Batch) -> None:
        assert self.plan is not None
        features = batch["features"]
        tokens = batch["attention_mask"].shape[1] if "attention_mask" in batch else 0
        sizes = {"": 1, "B": len(features), "T": tokens, "BT": len(features) * tokens}
        for name, stubs in self.plan.stub_outputs.items():
            results = [stub and stub(sizes, features.device) for stub in stubs]
            is_made = [stub is None for stub in stubs]
            stack.enter_context(_stub_calls(self.classifier.get_submodule(name), results, is_made))
        argument = features.clone() if self.plan.overwrites else features
        stack.enter_context(
            _hooked_before(
                self.classifier.get_submodule(self.plan.layer), _replace_leaf_once(argument, self.plan.position)
            )
        )


@contextmanager
def _hooked_before(module: nn.Module, hook: Callable[[Args, Kwargs], Any]) -> Iterator[None]:
    """Call ``hook(args, kwargs)`` whenever the module is about to run."""
    handle = module.register_forward_pre_hook(lambda _module, args, kwargs: hook(args, kwargs), with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def _replace_leaf_once(argument: Tensor, position: int) -> Callable[[Args, Kwargs], tuple[Args, Kwargs] | None]:
    """Return a hook that puts ``argument``, (B, ...), in the place of a leaf of the arguments, once."""
    waiting = [argument]

    def hook(args: Args, kwargs: Kwargs) -> tuple[Args, Kwargs] | None:
        if not waiting:
            return None
        leaves, tree = pytree.tree_flatten((args, kwargs))
        leaves[position] = waiting.pop()
        arguments: tuple[Args, Kwargs] | None = pytree.tree_unflatten(leaves, tree)
        return arguments

    return hook


@contextmanager
def _stub_calls(module: nn.Module, results: list[Any], is_made: list[bool]) -> Iterator[None]:
    """Let the first calls of a module return ``results`` where they are not ``is_made``; later calls are made."""
    real, calls = module.forward, iter(zip(results, is_made, strict=True))

    def forward(*args: Any, **kwargs: Any) -> Any:
        result, run = next(calls, (None, True))
        return real(*args, **kwargs) if run else result

    module.forward = forward
    try:
        yield
    finally:
        del module.forward


def owning_module(tensor: str) -> str:
    """Return the name of the module that a parameter or buffer belongs to."""
    return tensor.rpartition(".")[0]
