"""What a library of image models says of itself, in one record: all that loading asks of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import nn

from rft.backbones.sources.weights import WeightsFile
from rft.config.schema import ModelConfig
from rft.data.images.preprocessing import ImagePreprocessing
from rft.records import ImagePreprocessingFacts
from rft.runtime.devices.random_state import seeded_torch


@dataclass(frozen=True)
class BuiltNetwork:
    """A network with its own classifier, and what is still to be done with it.

    Attributes:
        network: takes normalised (B, C, H, W) pixels.
        preprocessing: how images become its pixels.
        file: weights that are still to be loaded into it; None where it has them.
        recipe: which of several ways to build it was taken, to build it again; None where there is one.
        commit: of the hub that its weights are of; None for weights from elsewhere.
    """

    network: nn.Module
    preprocessing: ImagePreprocessing
    file: WeightsFile | None = None
    recipe: str | None = None
    commit: str | None = None


class ModelBuilder(Protocol):
    """Builds the model of a name with the weights that ``[model]`` names; raises ``ModelError``."""

    def __call__(
        self, model_config: ModelConfig, name: str, folder: Path, *, revision: str | None, seed: int, offline: bool
    ) -> BuiltNetwork: ...


class ArchitectureBuilder(Protocol):
    """Builds the model of a name and recipe with random weights, its own classifier included."""

    def __call__(self, name: str, recipe: str | None) -> nn.Module: ...


class PreprocessingReader(Protocol):
    """Returns the preprocessing of a saved model, from its ``facts``."""

    def __call__(self, facts: ImagePreprocessingFacts) -> ImagePreprocessing: ...


class ClassifierRemover(Protocol):
    """Has a model give its pooled features, in place or as another one."""

    def __call__(self, model: nn.Module) -> nn.Module: ...


class NameLister(Protocol):
    """Returns the names of the models; raises ``ModelError`` where the library is not installed."""

    def __call__(self) -> list[str]: ...


@dataclass(frozen=True)
class BackboneLibrary:
    """A library whose models are known by name: ``backbone = "<name>/<model>"``.

    Attributes:
        name: what stands before the slash.
        list_names: all its models, for near names in errors.
        build: a model with weights.
        build_architecture: the same model with random weights, for a saved model.
        remove_classifier: leaves the pooled features.
        saved_preprocessing: the preprocessing of a saved model.
        has_revisions: whether pretrained weights are of the hub, so that ``@revision`` means something.
    """

    name: str
    list_names: NameLister
    build: ModelBuilder
    build_architecture: ArchitectureBuilder
    remove_classifier: ClassifierRemover
    saved_preprocessing: PreprocessingReader
    has_revisions: bool = False


@contextmanager
def seeded_weights(seed: int) -> Iterator[None]:
    """Draw random weights from a seed, and leave the global random state as it was."""
    with seeded_torch(seed):
        yield
