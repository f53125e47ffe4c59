"""What one pass of a classifier computes, operation by operation: FLOPs, the parameters it reads, what follows from it.

A cut is priced from this record without running anything again: which operations are left behind it, which parameters
they alone read, which of their gradients are computed, and whether something from before the cut passes it by.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from rft.backbones.batch import Args, Batch, Kwargs

SHAPE_ONLY = ("_like", "new_")  # operations whose results follow from the shape of their argument, not its content
FUSED_ATTENTION = "_scaled_dot_product"
ATTENTION_BACKWARD = 2.5  # its scores are computed again, and four products: five for the two of the forward pass


@dataclass(frozen=True)
class Op:
    """One operation.

    Attributes:
        flops: of the forward pass, two for a multiplication and an addition; 0 for what is no product of tensors.
        factors: the tensors that are multiplied: for each that needs a gradient, ``flops`` are spent on it.
        fused: whether it is a fused attention, whose gradients are computed together.
        reads: tensors that its results follow from; ``parameters`` among them by name.
        writes: tensors that are its results, those changed in place included.
        parameters: names of the parameters that it reads.
        differentiable: whether a result can have a gradient.
    """

    flops: int
    factors: tuple[int, ...]
    fused: bool
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    parameters: frozenset[str]
    differentiable: bool


@dataclass
class OpTrace:
    """The operations of one pass in their order. A tensor is known by the number of its storage, views share one.

    Attributes:
        ops: what was computed.
        sources: parameter -> its number.
        inputs: numbers of the tensors that hold the content of the example.
        begins: module -> how many operations were over when it was first called.
        ends: module -> how many were over when that call was.
        arguments: module -> the leaves of the arguments of its first call; None for what is no tensor.
        output: the number of the logits.
    """

    ops: list[Op] = field(default_factory=list)
    sources: dict[str, int] = field(default_factory=dict)
    inputs: frozenset[int] = frozenset()
    begins: dict[str, int] = field(default_factory=dict)
    ends: dict[str, int] = field(default_factory=dict)
    arguments: dict[str, list[int | None]] = field(default_factory=dict)
    output: int = -1

    @classmethod
    def record(cls, model: nn.Module, inputs: Batch) -> OpTrace:
        """Run a classifier in eval mode on a batch; masks of texts hold no content, a cut passes them on."""
        trace, recorder = cls(), _Recorder(model)
        trace.sources = recorder.sources
        trace.inputs = frozenset(recorder.number(tensor) for name, tensor in inputs.items() if name != "attention_mask")
        fast_path = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)  # one operation for a layer, which training does not use
        try:
            with torch.no_grad(), _noting_calls(model, trace, recorder), recorder:
                trace.output = recorder.number(model(inputs))
        finally:
            torch.backends.mha.set_fastpath_enabled(fast_path)
        trace.ops = recorder.ops
        return trace

    def trained_parameters(self, layer: str | None = None, position: int = 0) -> frozenset[str]:
        """Return the names of the parameters that are trained behind a cut: what is kept there does not rest on them.

        Args:
            layer: the module that the cut lies before; None: nothing is cut off.
            position: which leaf of its arguments is kept.
        """
        reached = _find_parameters(self.output, self.ops)
        if layer is None:
            return reached
        kept = self.arguments[layer][position]
        assert kept is not None, "a tensor is kept"
        return reached - _find_parameters(kept, self.ops[: self.begins[layer]])

    def passes_by(self, layer: str, position: int) -> bool:
        """Tell whether something that follows from the example passes by a cut before the first call of ``layer``.

        Args:
            layer: the module that the cut lies before.
            position: which leaf of its arguments is kept; within that call it may be read, elsewhere it passes by.
        """
        begin, end = self.begins[layer], self.ends[layer]
        passing = set(self.inputs)
        for op in self.ops[:begin]:
            if not passing.isdisjoint(op.reads):
                passing.update(op.writes)
        kept = self.arguments[layer][position]
        for number, op in enumerate(self.ops[begin:], start=begin):
            read = passing.intersection(op.reads)
            if read - {kept} or (kept in read and number >= end):
                return True
            if kept in op.writes:  # changed in place: from here on it is what the layer made
                passing.discard(kept)
        return False

    def count_step_flops(self, ops: list[Op], trained: Iterable[str]) -> float:
        """Return the FLOPs of a training step through ``ops``: forward, and the gradients that reach ``trained``."""
        total, used = 0.0, _trace_back(self.output, ops)
        differentiated = {self.sources[name] for name in trained}
        for number, op in enumerate(ops):
            gradients = sum(factor in differentiated for factor in op.factors) if number in used else 0
            backward = (ATTENTION_BACKWARD if gradients else 0.0) if op.fused else gradients
            total += op.flops * (1 + backward)
            if op.differentiable and not differentiated.isdisjoint(op.reads):
                differentiated.update(op.writes)
        return total


def _trace_back(tensor: int, ops: list[Op]) -> set[int]:
    """Return the positions of the operations through which a tensor has a gradient."""
    needed, positions = {tensor}, set[int]()
    for number in reversed(range(len(ops))):
        op = ops[number]
        if op.differentiable and not needed.isdisjoint(op.writes):
            needed.update(op.reads)
            positions.add(number)
    return positions


def _find_parameters(tensor: int, ops: list[Op]) -> frozenset[str]:
    """Return the names of the parameters that a tensor has a gradient for, after ``ops`` gave it its content."""
    return frozenset().union(*(ops[number].parameters for number in _trace_back(tensor, ops)))


class _Recorder(TorchDispatchMode):
    """Notes what torch computes. Tensors are told apart by their storage, parameters by their place in it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.ops: list[Op] = []
        # A weak reference keeps the address of a storage from being given to another one, and not its content.
        self._storages: dict[int, tuple[StorageWeakRef, int]] = {}
        self.sources: dict[str, int] = {}
        self._places: list[tuple[int, int, str]] = []
        for at, (name, parameter) in enumerate(model.named_parameters()):
            self.sources[name] = -1 - at
            if parameter.numel():
                first = parameter.data_ptr()
                self._places.append((first, first + parameter.numel() * parameter.element_size(), name))
        self._places.sort()

    def number(self, tensor: Tensor) -> int:
        """Return the number of a tensor of any shape: that of its storage, or of the parameter that it views."""
        name = self._parameter_of(tensor)
        if name is not None:
            return self.sources[name]
        storage = tensor.untyped_storage()
        return self._storages.setdefault(storage._cdata, (StorageWeakRef(storage), len(self._storages)))[1]

    def _parameter_of(self, tensor: Tensor) -> str | None:
        at = bisect_right(self._places, (tensor.data_ptr(), float("inf"), "")) - 1
        if not tensor.numel() or at < 0 or tensor.data_ptr() >= self._places[at][1]:
            return None
        return self._places[at][2]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and note it."""
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        name = func._overloadpacket.__name__
        read = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        written = [leaf for leaf in pytree.tree_leaves(out) if isinstance(leaf, Tensor)]
        count = flop_registry.get(func._overloadpacket)
        numbers = tuple(self.number(tensor) for tensor in read)
        self.ops.append(
            Op(
                flops=int(count(*args, **kwargs, out_val=out)) if count else 0,
                factors=tuple(map(self.number, _select_factors(name, args))) if count else (),
                fused=name.startswith(FUSED_ATTENTION),
                reads=() if any(mark in name for mark in SHAPE_ONLY) else numbers,
                writes=(*map(self.number, written), *map(self.number, _changed_in_place(func, args, kwargs))),
                parameters=frozenset(name for tensor in read if (name := self._parameter_of(tensor)) is not None),
                differentiable=any(tensor.is_floating_point() for tensor in written),
            )
        )
        return out


def _select_factors(name: str, args: Args) -> tuple[Tensor, ...]:
    """Return the tensors that an operation multiplies: not the bias that it adds."""
    if name.startswith(FUSED_ATTENTION):
        return args[:3]
    return args[1:3] if name in ("addmm", "baddbmm") else args[:2]


def _changed_in_place(func: Any, args: Args, kwargs: Kwargs) -> list[Tensor]:
    """Return the arguments that an operation changes, as its schema says."""
    given = dict(zip((argument.name for argument in func._schema.arguments), args, strict=False)) | kwargs
    changed = [argument.name for argument in func._schema.arguments if argument.is_write]
    return [leaf for name in changed for leaf in pytree.tree_leaves(given.get(name)) if isinstance(leaf, Tensor)]


@contextmanager
def _noting_calls(model: nn.Module, trace: OpTrace, recorder: _Recorder) -> Iterator[None]:
    """Note when each module is first called, on what, and when that call ends."""

    def begin(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, args: Args, kwargs: Kwargs) -> None:
            if name not in trace.begins:
                trace.begins[name] = len(recorder.ops)
                leaves = pytree.tree_leaves((args, kwargs))
                trace.arguments[name] = [recorder.number(leaf) if isinstance(leaf, Tensor) else None for leaf in leaves]

        return hook

    def end(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _args: Args, _output: object) -> None:
            trace.ends.setdefault(name, len(recorder.ops))

        return hook

    handles = []
    for name, module in model.named_modules():
        handles.append(module.register_forward_pre_hook(begin(name), with_kwargs=True))
        handles.append(module.register_forward_hook(end(name)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
