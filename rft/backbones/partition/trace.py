"""What happens, call by call, while a classifier runs: the facts that a cut is planned from.

Every call of every module is recorded in three runs: two that differ in content only, so that it shows which outputs
depend on the data, and one that differs in size only, so that it shows how shapes follow from the batch.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from rft.backbones.batch import Args, Batch, Kwargs

FAILURES = (RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError)  # what networks raise
SMALL_RUN, LARGE_RUN = (
    (2, 5),
    (3, 7),
)  # (B, T) of the runs that differ in size: prime, so that a dimension tells its origin


@dataclass(frozen=True)
class Leaf:
    """A tensor that went into or came out of a module: shape, type, and a checksum of its content."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    checksum: int

    @classmethod
    def from_tensor(cls, tensor: Tensor) -> Leaf:
        """Return shape, type and checksum of a tensor of any shape."""
        plain = tensor.detach().float() if tensor.dtype == torch.bfloat16 else tensor.detach()
        return cls(tuple(tensor.shape), tensor.dtype, zlib.crc32(plain.cpu().contiguous().numpy().tobytes()))


@dataclass
class Call:
    """One call of a module. ``start`` and ``end`` are ticks of the run's clock, ``index`` counts calls of the module.

    ``inputs`` and ``outputs`` list the leaves of the arguments and of the result in the order of their trees; what is
    no tensor stands as None. ``overwrites`` tells whether the call changed its arguments in place.
    """

    module: str
    index: int
    parent: int | None
    start: int
    end: int = -1
    inputs: list[Leaf | None] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)
    overwrites: bool = False
    outputs: list[Leaf | None] = field(default_factory=list)
    output_tree: Any = None


Example = Callable[[int, int, int], Batch]  # (batch size, tokens, seed) -> inputs of the model


def record_calls(model: nn.Module, inputs: Batch) -> list[Call]:
    """Run ``model`` on ``inputs`` and return its calls in the order in which they began."""
    calls: list[Call] = []
    open_calls: list[int] = []
    counts: Counter[str] = Counter()
    clock = iter(range(10**9))

    def begin(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, args: Args, kwargs: Kwargs) -> None:
            parent = open_calls[-1] if open_calls else None
            call = Call(name, counts[name], parent, next(clock), inputs=_describe_leaves((args, kwargs)))
            call.versions = _count_changes_in_place((args, kwargs))
            counts[name] += 1
            open_calls.append(len(calls))
            calls.append(call)

        return hook

    def finish(_module: nn.Module, args: Args, kwargs: Kwargs, output: object) -> None:
        call = calls[open_calls.pop()]
        call.end = next(clock)
        call.overwrites = _count_changes_in_place((args, kwargs)) != call.versions
        call.outputs, call.output_tree = _describe_leaves(output), pytree.tree_structure(output)

    handles = []
    for name, module in model.named_modules():
        handles.append(module.register_forward_pre_hook(begin(name), with_kwargs=True))
        handles.append(module.register_forward_hook(finish, with_kwargs=True))
    try:
        with torch.no_grad():
            model(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return calls


def first_line(error: Exception) -> str:
    """Return the first line of an error's message that says something, or else its kind."""
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _describe_leaves(tree: object) -> list[Leaf | None]:
    return [Leaf.from_tensor(leaf) if isinstance(leaf, Tensor) else None for leaf in pytree.tree_leaves(tree)]


def _count_changes_in_place(tree: object) -> list[int]:
    """Return torch's counts of the changes in place to each tensor."""
    return [leaf._version for leaf in pytree.tree_leaves(tree) if isinstance(leaf, Tensor)]


@dataclass(frozen=True)
class ModelTrace:
    """The calls of a model in three runs: ``first``, ``second`` with other content, ``larger`` with other sizes."""

    first: list[Call]
    second: list[Call]
    larger: list[Call]

    @classmethod
    def record(cls, model: nn.Module, example: Example) -> ModelTrace:
        """Record a model in eval mode on made-up inputs."""
        runs = [
            record_calls(model, example(*size, seed)) for size, seed in ((SMALL_RUN, 0), (SMALL_RUN, 1), (LARGE_RUN, 2))
        ]
        return cls(*runs)

    @property
    def comparable(self) -> bool:
        """Whether the three runs made the same calls: otherwise control flow depends on the data."""
        names = [[(call.module, call.index) for call in run] for run in (self.first, self.second, self.larger)]
        return names[0] == names[1] == names[2]

    def first_call(self, layer: str) -> int | None:
        """Return the position of the first call of a module, or None when it is never called."""
        return next((at for at, call in enumerate(self.first) if call.module == layer), None)

    def changing_inputs(self, at: int) -> list[int]:
        """Return the positions, among the leaves of a call's arguments, of tensors that depend on the data."""
        return _differing_positions(self.first[at].inputs, self.second[at].inputs)

    def changing_outputs(self, at: int) -> list[int]:
        """Return the positions, among the leaves of a call's result, of tensors that depend on the data."""
        return _differing_positions(self.first[at].outputs, self.second[at].outputs)

    @staticmethod
    def explain_shape(small: Leaf | None, large: Leaf | None) -> tuple[tuple[int, str], ...] | None:
        """Return how each dimension of a leaf of ``first`` and ``larger`` follows from the batch, or None.

        A dimension is ``(factor, of)`` with ``from_tensor`` one of "" (constant), "B", "T" and "BT".
        """
        if small is None or large is None or len(small.shape) != len(large.shape):
            return None
        dimensions = [
            _explain_dimension(size, larger_size) for size, larger_size in zip(small.shape, large.shape, strict=True)
        ]
        return None if None in dimensions else tuple(dimension for dimension in dimensions if dimension is not None)


def _differing_positions(first_leaves: list[Leaf | None], second_leaves: list[Leaf | None]) -> list[int]:
    return [at for at, (a, b) in enumerate(zip(first_leaves, second_leaves, strict=True)) if a != b]


def _explain_dimension(small: int, large: int) -> tuple[int, str] | None:
    """Explain a dimension that is ``small`` in one run and ``large`` in another by their sizes."""
    units = {"": (1, 1), "B": (SMALL_RUN[0], LARGE_RUN[0]), "T": (SMALL_RUN[1], LARGE_RUN[1])}
    units["BT"] = (SMALL_RUN[0] * SMALL_RUN[1], LARGE_RUN[0] * LARGE_RUN[1])
    for unit, (small_unit, large_unit) in units.items():
        if small % small_unit == 0 and large % large_unit == 0 and small // small_unit == large // large_unit:
            return small // small_unit, unit
    return None
