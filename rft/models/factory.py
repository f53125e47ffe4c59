"""A model that the user's own code builds: ``factory = "package.module:build"``.

``build`` is called without arguments. For images it returns ``(module, transform)``: the transform is what the
model was trained with, for evaluation, and gives (C, H, W) values for a ``PIL.Image`` in RGB; the module maps
(B, C, H, W) of them, float32, to (B, K). ``(module, None, transform)`` is the same, and so is ``model.preprocessing``,
which names the transform as ``package.module:name``. The module alone maps (B, 3, H, W) pixels in [0, 1], of images
whose shorter side is scaled to ``model.image_size`` and whose centre is cut out, to (B, K); it normalises them itself.

For texts ``build`` returns ``(module, tokenizer)``: the module maps ``input_ids`` and ``attention_mask``, each (B, T)
int64, to (B, K), and the tokenizer is one of transformers. For recordings it returns ``(module, rate)``: the module
maps (B, T) float32 samples at ``rate`` a second, and an ``attention_mask`` of them, to (B, K); in the place of the
rate a feature extractor of transformers may stand, whose normalised samples or (B, T, F) frames the module then takes.
Keras 3 models are torch modules when Keras runs on torch;
images come to them with the channels last::

    import os
    os.environ["KERAS_BACKEND"] = "torch"   # before keras is imported

    import keras, torch

    class Channels(torch.nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, pixels):
            return self.model(pixels.permute(0, 2, 3, 1) * 255)

    def build():
        return Channels(keras.saving.load_model("model.keras"))

Such a model ends in a softmax as a rule: ``outputs = "probabilities"``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module, invalidate_caches
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from rft.backbones.batch import Batch
from rft.backbones.classifier import ImageBackbone
from rft.backbones.sources.transformers import LONGEST
from rft.config.schema import ModelConfig
from rft.data.images.preprocessing import ImagePreprocessing, plain_preprocessing
from rft.data.text import TextPreprocessing
from rft.errors import ConfigError, ModelError, near
from rft.models import speech
from rft.models.external_model import TEXTS, CallAdapter, ExternalModel

WHERE = "model.factory"
UNBOUNDED_LENGTH = 10**9  # tokenizers that were not told a length say 1e30
TOKENIZER_ATTRIBUTES = ("convert_ids_to_tokens", "model_max_length", "pad_token_id", "padding_side", "truncation_side")


def read_factory(settings: ModelConfig, folder: Path, *, modality: str) -> ExternalModel:
    """Import and call the factory.

    Args:
        settings: the ``[model]`` table.
        folder: where the factory's module is looked for first.
        modality: ``image``, ``text`` or ``audio``.

    Raises:
        ConfigError: the module or the function cannot be imported, or the table lacks a key.
        ModelError: the factory fails, or gives something else than it should.
    """
    assert settings.factory is not None
    if settings.classes is None:
        raise ConfigError(
            "a factory does not say what its outputs stand for",
            where="model.classes",
            remedy='Name the label of each output, in their order: classes = ["...", "..."].',
        )
    with _on_path(folder):
        returned = _call_factory(settings.factory, WHERE)
        if modality == "text":
            return _text_model(settings, returned)
        if modality == "audio":
            return _recording_model(settings, returned)
        named = settings.preprocessing
        return _image_model(settings, returned, _import_function(named, "model.preprocessing") if named else None)


def _image_model(settings: ModelConfig, returned: Any, transform: Any) -> ExternalModel:
    """Return the model with the transform that the factory returned beside it, or that the config names."""
    if isinstance(returned, tuple) and len(returned) in (2, 3) and all(element is None for element in returned[1:-1]):
        if transform is not None and returned[-1] is not None:
            raise ConfigError(
                "the factory returns a transform of its own", where="model.preprocessing", remedy="Leave it out."
            )
        returned, transform = returned[0], returned[-1] if transform is None else transform
    network = _check_module(settings, returned, "a torch.nn.Module, or (module, transform)")
    if transform is not None:
        return _transformed_image_model(settings, network, transform)
    side = settings.image_size
    if side is None:
        raise ConfigError(
            "needs model.image_size, the side of the images it takes in pixels",
            where=WHERE,
            remedy="Or return (module, transform): the transform says it.",
        )
    preprocessing = plain_preprocessing(side, side, "bicubic", (0.0,) * 3, (1.0,) * 3)
    return _describe_image_model(settings, CallAdapter(network, _run_image), preprocessing)


def _transformed_image_model(settings: ModelConfig, network: nn.Module, transform: Any) -> ExternalModel:
    if not callable(transform):
        raise ModelError(
            f"the transform of {settings.factory} is {type(transform).__name__}, and cannot be called on an image",
            where=WHERE,
        )
    if settings.image_size is not None:
        raise ConfigError(
            "the size of the images is that of the factory's transform",
            where="model.image_size",
            remedy="Leave it out.",
        )
    described = " ".join(repr(transform).split())
    name = settings.preprocessing or f"that of {settings.factory}"
    recipe = {"recipe": name} | ({"transform": described} if " at 0x" not in described else {})

    def pixel_values(image: Image.Image) -> np.ndarray:
        output = transform(image)
        if isinstance(output, Image.Image):
            raise ModelError(
                f"the transform of {settings.factory} gives an image and not its values",
                where=WHERE,
                remedy="Have it end with what makes (C, H, W) values of it, such as torchvision's ToTensor().",
            )
        return np.asarray(output)

    preprocessing = ImagePreprocessing.measure(pixel_values, recipe, WHERE, may_be_random=True)
    return _describe_image_model(
        settings, ImageBackbone(network, preprocessing.mean, preprocessing.std, _as_it_is), preprocessing
    )


def _describe_image_model(
    settings: ModelConfig, network: nn.Module, preprocessing: ImagePreprocessing
) -> ExternalModel:
    random = torch.Generator().manual_seed(0)
    example = {"pixels": torch.rand(3, *preprocessing.shape, generator=random)}
    return ExternalModel(network, tuple(settings.classes or ()), preprocessing, example, WHERE)


def _as_it_is(output: Tensor) -> Tensor:
    return output


def _text_model(settings: ModelConfig, returned: Any) -> ExternalModel:
    wanted = "(module, tokenizer), a torch.nn.Module and a tokenizer of transformers"
    pair = returned if isinstance(returned, tuple) and len(returned) == 2 else (None, None)
    network, tokenizer = _check_module(settings, pair[0], wanted), pair[1]
    if not callable(tokenizer) or not all(hasattr(tokenizer, name) for name in TOKENIZER_ATTRIBUTES):
        raise ModelError(f"{settings.factory} returned no tokenizer; expected {wanted}", where=WHERE)
    if tokenizer.pad_token_id is None:
        raise ModelError("its tokenizer has no padding token", where=WHERE, remedy="Set tokenizer.pad_token.")
    tokenizer.padding_side = "right"
    said = tokenizer.model_max_length if tokenizer.model_max_length < UNBOUNDED_LENGTH else LONGEST
    limit = settings.max_length or said
    preprocessing = TextPreprocessing(tokenizer, limit)
    return ExternalModel(
        CallAdapter(network, _run_text), tuple(settings.classes or ()), preprocessing, preprocessing(TEXTS), WHERE
    )


def _recording_model(settings: ModelConfig, returned: Any) -> ExternalModel:
    wanted = "(module, rate), a torch.nn.Module and the samples a second that it takes"
    pair = returned if isinstance(returned, tuple) and len(returned) == 2 else (None, None)
    adapter, preprocessing = speech.prepare_module(_check_module(settings, pair[0], wanted), pair[1], WHERE)
    heard = speech.make_up_recordings(preprocessing)
    return ExternalModel(adapter, tuple(settings.classes or ()), preprocessing, heard, WHERE)


def _check_module(settings: ModelConfig, module: Any, wanted: str) -> nn.Module:
    if not isinstance(module, nn.Module):
        raise ModelError(f"{settings.factory} returned {type(module).__name__}; expected {wanted}", where=WHERE)
    if not module.state_dict():
        raise ModelError(
            f"the module of {settings.factory} has no tensors, so nothing says which model was audited",
            where=WHERE,
            remedy="Keep the parts that hold the weights as attributes of the module.",
        )
    return module


def _call_factory(factory: str, where: str) -> Any:
    build = _import_function(factory, where)
    try:
        return build()
    except (Exception, SystemExit) as error:  # foreign code, as below
        raise ModelError(f"{factory} failed: {_describe_error(error)}", where=where) from error


def _import_function(reference: str, where: str) -> Any:
    """Return what ``package.module:name`` stands for, which can be called."""
    name, _, attribute = reference.partition(":")
    try:
        module = import_module(name)
    except (Exception, SystemExit) as error:  # foreign code: it may raise anything, and a script may even exit
        raise ConfigError(f"{name} cannot be imported: {_describe_error(error)}", where=where) from error
    value = getattr(module, attribute, None)
    if not callable(value):
        known = [
            function_name
            for function_name in vars(module)
            if callable(getattr(module, function_name)) and not function_name.startswith("_")
        ]
        raise ConfigError(f"{name} has no function {attribute!r}", where=where, remedy=near(attribute, known))
    return value


def _describe_error(error: BaseException) -> str:
    return f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}".removesuffix(": ")


@contextmanager
def _on_path(folder: Path) -> Iterator[None]:
    """Look for modules in ``folder`` first, for as long as the factory is imported and runs.

    Modules found there are forgotten afterwards: another config may have its own of the same name.
    """
    folder, before = folder.resolve(), set(sys.modules)
    sys.path.insert(0, str(folder))
    invalidate_caches()
    try:
        yield
    finally:
        with suppress(ValueError):  # the user's code may have changed the path itself
            sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            place = folder.joinpath(*name.split("."))
            if getattr(sys.modules[name], "__file__", None) in (f"{place}.py", str(place / "__init__.py")):
                del sys.modules[name]


def _run_image(network: nn.Module, inputs: Batch) -> Tensor:
    output: Tensor = network(inputs["pixels"])
    return output


def _run_text(network: nn.Module, inputs: Batch) -> Tensor:
    output: Tensor = network(inputs["input_ids"], inputs["attention_mask"])
    return output
