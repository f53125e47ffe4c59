"""Models that others trained, checked and brought to the form in which audits look at a model. Nothing is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rft.backbones.batch import Batch
from rft.backbones.classifier import InputClassifier
from rft.backbones.sources.weights import check_finite as check_weights
from rft.config.schema import ModelConfig
from rft.data import Preprocessing
from rft.errors import ConfigError, ModelError
from rft.models import checkpoint, factory
from rft.models.external_model import ExternalModel
from rft.records import TextPreprocessingFacts

MAX_BATCH_DEPENDENCE = (
    1e-2  # largest change of an output, relative to the largest, when an example is run by itself; TF32 takes 1e-3
)
SUM_TOLERANCE = 1e-3  # how far probabilities may sum from 1
MAX_LABELS_SHOWN = 10  # labels in an error


class ExternalClassifier(InputClassifier):
    """A model that others trained; it has no backbone and no head.

    Args:
        network: a batch of inputs in, (B, K) outputs out.
        order: for each class of the data, the number of its output.
        probabilities: whether the outputs are probabilities; otherwise they are logits.
        modality: ``image``, ``text`` or ``audio``.
        embedding_layer: as in ``InputClassifier``.
    """

    def __init__(
        self,
        network: nn.Module,
        order: Sequence[int],
        *,
        probabilities: bool,
        modality: str,
        embedding_layer: str | None = None,
    ) -> None:
        super().__init__(modality=modality, embedding_layer=embedding_layer)
        self.network, self.order, self.probabilities = network, list(order), probabilities
        self.requires_grad_(False).eval()

    def forward(self, inputs: Batch) -> Tensor:
        """Map a batch of inputs to (B, K) logits, in the order of the data's classes."""
        outputs = self.network(inputs)[:, self.order].float()
        if self.probabilities:  # softmax of their logarithms gives them back
            outputs = outputs.clamp_min(torch.finfo(torch.float32).tiny).log()
        output: Tensor = outputs
        return output


@dataclass(frozen=True)
class LoadedExternal:
    """A model that others trained, ready to predict, and how items become its inputs."""

    classifier: ExternalClassifier
    preprocessing: Preprocessing
    where: str
    revision: str | None = None


def load_external(
    settings: ModelConfig, folder: Path, classes: Sequence[str], *, modality: str, device: str, offline: bool
) -> LoadedExternal:
    """Load the model of ``checkpoint`` or ``factory`` and try it on three made-up examples.

    Args:
        settings: the ``[model]`` table.
        folder: what its paths are relative to.
        classes: the labels of the data.
        modality: ``image``, ``text`` or ``audio``.
        device: where the model is put.
        offline: forbid downloads.

    Raises:
        ConfigError: a key of ``[model]`` is missing, or says nothing about this model.
        ModelError: the model cannot be loaded, its labels are not those of the data, or its outputs are unusable.
    """
    if settings.precision not in ("auto", "float32"):
        raise ConfigError("models that others trained run in their own precision", where="model.precision")
    if settings.checkpoint is not None:
        external_model = checkpoint.read_checkpoint(settings, folder, modality=modality, offline=offline)
    else:
        external_model = factory.read_factory(settings, folder, modality=modality)
    return prepare_external(external_model, classes, outputs=settings.outputs, modality=modality, device=device)


def prepare_external(
    external_model: ExternalModel, classes: Sequence[str], *, outputs: str, modality: str, device: str
) -> LoadedExternal:
    """Check a model that others trained, on its examples, and bring it to the form in which audits look at it.

    Args:
        external_model: as it was loaded; its network is put on the device, in eval mode and frozen.
        classes: the labels of the data.
        outputs: ``logits`` or ``probabilities``.
        modality: ``image``, ``text`` or ``audio``.
        device: where the model is put.

    Raises:
        ModelError: its labels are not those of the data, or its outputs are unusable.
    """
    order = match_labels(external_model.labels, classes, external_model.where)
    check_weights(external_model.network, external_model.where)
    network = external_model.network.to(device).requires_grad_(False).eval()
    example = {name: tensor.to(device) for name, tensor in external_model.example.items()}
    _check_batch_independence(network, example, external_model)
    classifier = ExternalClassifier(
        network,
        order,
        probabilities=outputs == "probabilities",
        modality=modality,
        embedding_layer=_embedding_layer(network, example, external_model) if modality == "text" else None,
    )
    with torch.no_grad():
        check_outputs(classifier(example).cpu(), outputs, external_model.where)
    return LoadedExternal(classifier, external_model.preprocessing, external_model.where, external_model.revision)


def match_labels(labels: Sequence[str], classes: Sequence[str], where: str) -> list[int]:
    """Return for each class of the data the number of the output that stands for it.

    Names must be the same to the letter: which of two outputs is meant is nothing to guess.

    Raises:
        ModelError: the two sides do not have the same names.
    """
    if len(set(labels)) == len(labels) and set(labels) == set(classes):
        return [list(labels).index(name) for name in classes]
    sides = f"the model's outputs are {_list_labels(labels)}; the labels of the data are {_list_labels(classes)}"
    if len(labels) != len(classes):
        remedy = "Each output needs examples of its label, and each label an output; check the label column."
    else:
        remedy = 'Say in [model] which label each output stands for, in their order: classes = ["...", "..."].'
    raise ModelError(sides, where=where, remedy=remedy)


def check_outputs(logits: Tensor, outputs: str, where: str) -> None:
    """Raise ``ModelError`` for outputs that are not finite, or not what they are said to be on any example.

    Args:
        logits: (N, K), as ``ExternalClassifier`` gives them.
        outputs: ``logits`` or ``probabilities``, as ``model.outputs`` says.
        where: for the error.
    """
    check_finite(logits, where)
    n = len(logits)
    sums = (logits.double().exp() if outputs == "probabilities" else logits.double()).sum(dim=1)
    off = int(((sums - 1).abs() > SUM_TOLERANCE).sum())
    if outputs == "probabilities" and off:
        raise ModelError(
            f"its outputs for {off} of {n} examples do not sum to 1, so they are no probabilities",
            where=where,
            remedy='Where they are logits, remove outputs = "probabilities" from [model].',
        )
    if outputs == "logits" and not off and bool((logits >= 0).all()):
        raise ModelError(
            "its outputs are never negative and always sum to 1: most likely they are probabilities, not logits",
            where=where,
            remedy='Set outputs = "probabilities" in [model].',
        )


def check_finite(logits: Tensor, where: str) -> None:
    """Raise ``ModelError`` when (B, K) logits are not finite."""
    broken = int((~logits.isfinite()).any(dim=1).sum())
    if broken:
        raise ModelError(f"its outputs are not finite for {broken} of {len(logits)} examples run at once", where=where)


def _check_batch_independence(network: nn.Module, example: Batch, external_model: ExternalModel) -> None:
    """Run the model on examples together and each by itself; the outputs must be (B, K) and the same both ways."""
    try:
        with torch.no_grad():
            together = network(example)
            alone = [network(_pick_example(example, row)) for row in range(_count_examples(example))]
    except Exception as error:  # foreign code: a model may raise anything
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        shapes = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in example.items())
        raise ModelError(f"does not take {shapes}: {reason}", where=external_model.where) from error
    count, expected = len(alone), (len(alone), len(external_model.labels))
    if not isinstance(together, Tensor) or tuple(together.shape) != expected:
        got = f"shape {tuple(together.shape)}" if isinstance(together, Tensor) else type(together).__name__
        raise ModelError(
            f"gives {got} for {count} examples; expected a tensor of shape {expected}, one row an example with an "
            f"output for each of {_list_labels(external_model.labels)}",
            where=external_model.where,
        )
    gap = float((together - torch.cat(alone)).abs().max() / together.abs().max().clamp(min=1e-6))
    if gap > MAX_BATCH_DEPENDENCE:  # false for NaN, which check_outputs tells
        raise ModelError(
            f"gives an example other outputs when others stand beside it (they differ by {gap:.0%})",
            where=external_model.where,
            remedy="Check that it ignores padding, and that dropout and batch statistics are off in eval mode.",
        )


def _count_examples(example: Batch) -> int:
    return len(next(iter(example.values())))


def _pick_example(example: Batch, row: int) -> Batch:
    """Return one example of a batch, without the padding of texts."""
    length = int(example["attention_mask"][row].sum()) if "attention_mask" in example else None
    return {name: tensor[row : row + 1, :length] for name, tensor in example.items()}


def _embedding_layer(network: nn.Module, example: Batch, external_model: ExternalModel) -> str | None:
    """Return the embedding that is looked up with the tokens; raise ``ModelError`` where it has too few rows."""
    embedding_names: list[str] = []

    def hook_for(name: str) -> Any:
        def hook(_layer: nn.Module, inputs: tuple[Any, ...]) -> None:
            if inputs and isinstance(inputs[0], Tensor) and torch.equal(inputs[0], example["input_ids"]):
                embedding_names.append(name)

        return hook

    layers = {name: module for name, module in network.named_modules() if isinstance(module, nn.Embedding)}
    handles = [module.register_forward_pre_hook(hook_for(name)) for name, module in layers.items()]
    with torch.no_grad():
        network(example)
    for handle in handles:
        handle.remove()
    if len(embedding_names) != 1:
        return None
    facts = external_model.preprocessing.facts()
    assert isinstance(facts, TextPreprocessingFacts), "only tokens go into an embedding"
    words, rows = facts.vocabulary, layers[embedding_names[0]].num_embeddings
    if words > rows:
        raise ModelError(
            f"the tokenizer has {words} words and the model {rows}: they do not belong together",
            where=external_model.where,
        )
    return f"network.{embedding_names[0]}"


def _list_labels(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_LABELS_SHOWN} more" if len(names) > MAX_LABELS_SHOWN else ""
    return ", ".join(map(repr, names[:MAX_LABELS_SHOWN])) + more
