"""Gradients of single examples, several ways. None is right for every network: ``engine_selection`` tries them.

Each maps a batch of B examples to one tensor (B, *shape) for each trained parameter: row i is the gradient of the loss
of example i alone. A parameter that plays no part in the loss has the gradient zero.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from rft.backbones.classifier import scale_rows
from rft.backbones.recognizer import FrameHead
from rft.training.objectives import CROSS_ENTROPY, Objective

Batch = dict[str, Tensor]


class Engine(Protocol):
    """A way to the gradients of single examples of one network, which is used by nobody else meanwhile.

    Attributes:
        name: how the report calls it.
        parameters: those that are trained, in the order of the gradients.
    """

    name: str
    parameters: list[nn.Parameter]

    def __init__(self, suffix: nn.Module, objective: Objective = CROSS_ENTROPY) -> None:
        """Take hold of a network, whose output and labels the objective takes."""

    def example_gradients(self, batch: Batch, labels: Tensor) -> list[Tensor]:
        """Return the gradient of the loss of each of B >= 1 examples, for each parameter (B, *shape)."""

    def close(self) -> None:
        """Leave the network as it was found, but for the values of its parameters."""


class Hooks:
    """Opacus: a rule for each kind of layer, from its input and the gradient at its output. One pass for a batch.

    Wrong where a layer's input is not laid out as the rule expects (``channels_last``) or has no row for each example
    (positions shared by the batch); raises on changes in place and on trained layers with buffers.
    """

    name = "hooks"

    def __init__(self, suffix: nn.Module, objective: Objective = CROSS_ENTROPY) -> None:
        from opacus.grad_sample import GradSampleModule  # two seconds to import: after the config was read

        self.parameters = trained_parameters(suffix)
        # Not strict: a layer with constant buffers is refused by its looks then, and judged by its results here.
        self._model = GradSampleModule(suffix, loss_reduction="sum", strict=False)
        self._objective = objective
        self._hooked = [module for module in suffix.modules() if owns_trained(module)]

    def example_gradients(self, batch: Batch, labels: Tensor) -> list[Tensor]:
        """Return the gradient of each example, for each parameter (B, *shape)."""
        self._drop_opacus_state()  # of a pass that ran out of memory
        with _silence_warnings():
            summed_loss(self._model, batch, labels, self._objective).backward()
        gradients: list[Any] = [parameter.grad_sample for parameter in self.parameters]  # type: ignore[attr-defined]
        self._drop_opacus_state()
        return [
            parameter.new_zeros(len(labels), *parameter.shape) if gradient is None else gradient
            for parameter, gradient in zip(self.parameters, gradients, strict=True)
        ]

    def close(self) -> None:
        """Remove the hooks."""
        self._drop_opacus_state()
        self._model.to_standard_module()

    def _drop_opacus_state(self) -> None:
        """Drop what Opacus keeps: a layer whose output the loss did not need would meet the next batch with it."""
        for parameter in self.parameters:
            parameter.grad = parameter.grad_sample = None  # type: ignore[attr-defined]
            parameter._forward_counter = 0  # type: ignore[attr-defined]
            vars(parameter).pop("_current_grad_sample", None)
        for module in self._hooked:
            vars(module).pop("activations", None)
            vars(module).pop("max_batch_len", None)


class Functorch:
    """``torch.func``: the gradient of one example's loss as a function, mapped over the batch.

    Knows no kinds of layers, so that it has none to be wrong about; raises where the network looks at values to decide
    what to compute, as the handling of text masks does.
    """

    name = "functorch"

    def __init__(self, suffix: nn.Module, objective: Objective = CROSS_ENTROPY) -> None:
        self.parameters = trained_parameters(suffix)
        # Views of the values: a step that changes the parameters changes these too.
        self._values = {
            name: parameter.detach() for name, parameter in suffix.named_parameters() if parameter.requires_grad
        }

        def example_loss(values: dict[str, Tensor], batch: Batch, label: Tensor) -> Tensor:
            def model(single: Batch) -> Tensor:
                logits: Tensor = torch.func.functional_call(suffix, values, (single,))
                return logits

            return summed_loss(model, {name: column[None] for name, column in batch.items()}, label[None], objective)

        # Randomness: each example gets its own dropout, as in a plain batch.
        self._gradients = torch.func.vmap(torch.func.grad(example_loss), in_dims=(None, 0, 0), randomness="different")

    def example_gradients(self, batch: Batch, labels: Tensor) -> list[Tensor]:
        """Return the gradient of each example, for each parameter (B, *shape)."""
        with _silence_warnings():
            gradients = self._gradients(self._values, batch, labels)
        return [gradient.contiguous() for gradient in gradients.values()]  # some are one row, expanded: not to write in

    def close(self) -> None:
        """Do nothing: the network was not touched."""


class OneByOne:
    """A backward pass for each example, as if it were alone: exact by construction, slowest, and the reference."""

    name = "one by one"

    def __init__(self, suffix: nn.Module, objective: Objective = CROSS_ENTROPY) -> None:
        self.parameters = trained_parameters(suffix)
        self._suffix, self._objective = suffix, objective

    def example_gradients(self, batch: Batch, labels: Tensor) -> list[Tensor]:
        """Return the gradient of each example, for each parameter (B, *shape)."""
        rows = []
        for example, label in zip(_split_examples(batch), labels, strict=True):
            value = summed_loss(self._suffix, example, label[None], self._objective)
            rows.append(torch.autograd.grad(value, self.parameters, allow_unused=True, materialize_grads=True))
        return [torch.stack(gradients) for gradients in zip(*rows, strict=True)]

    def close(self) -> None:
        """Do nothing: the network was not touched."""


class ClosedForm:
    """For a linear head on each vector of an utterance: the sum over its vectors of residual times vector.

    The residual is the gradient of the loss by the logits, which one backward pass through the loss alone gives for all
    utterances of a batch; the network itself is not run backward.
    """

    name = "closed form"

    def __init__(self, suffix: nn.Module, objective: Objective = CROSS_ENTROPY) -> None:
        if type(suffix) is not FrameHead:  # what is made from one may compute anything
            raise TypeError(f"expected a linear head on each vector, not {type(suffix).__name__}")
        self.parameters = trained_parameters(suffix)
        self._head, self._objective = suffix, objective

    def example_gradients(self, batch: Batch, labels: Tensor) -> list[Tensor]:
        """Return the gradient of each example: (B, V, D) by the weight and (B, V) by the bias."""
        with torch.no_grad():
            logits = self._head(batch)
        logits.requires_grad_(True)
        (residuals,) = torch.autograd.grad(self._objective.example_losses(logits, labels).sum(), logits)
        residuals = residuals * batch["attention_mask"][..., None]  # what fills up is no output of the head
        vectors = scale_rows(batch["features"], row_norm=self._head.row_norm)
        return [residuals.mT @ vectors, residuals.sum(1)]

    def close(self) -> None:
        """Do nothing: the network was not touched."""


ENGINES: tuple[type[Engine], ...] = (Hooks, Functorch, OneByOne)  # the faster one first


def summed_loss(model: Any, batch: Batch, labels: Tensor, objective: Objective = CROSS_ENTROPY) -> Tensor:
    """Return the sum of the losses of a batch.

    The sum keeps examples apart: a mean, or class weights inside it, would let one example scale another's gradient.
    """
    return objective.example_losses(model(batch), labels).sum()


def trained_parameters(suffix: nn.Module) -> list[nn.Parameter]:
    """Return the parameters that are trained; one that is used in two places is there once."""
    return [parameter for parameter in suffix.parameters() if parameter.requires_grad]


def owns_trained(module: nn.Module) -> bool:
    """Return whether a trained parameter belongs to the module itself."""
    return any(parameter.requires_grad for parameter in module.parameters(recurse=False))


@contextmanager
def _silence_warnings() -> Iterator[None]:
    """Keep from the user what is no news: inputs without gradients, and operations that torch maps one by one."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Full backward hook is firing", category=UserWarning)
        warnings.filterwarnings("ignore", message="There is a performance drop", category=UserWarning)
        yield


def _split_examples(batch: Batch) -> Iterator[Batch]:
    """Yield each example as a batch of its own, without the padding that longer ones brought upon it."""
    mask = batch.get("attention_mask")
    for row in range(len(next(iter(batch.values())))):
        length = None if mask is None else int(mask[row].sum())
        yield {
            name: column[row : row + 1, :length] if length else column[row : row + 1] for name, column in batch.items()
        }
