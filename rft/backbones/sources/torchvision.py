"""Backbones of torchvision, by the names of ``torchvision.models``."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn

from rft.backbones.classifier import hash_tensors
from rft.backbones.sources.hub import is_reachable
from rft.backbones.sources.library import BackboneLibrary, BuiltNetwork, seeded_weights
from rft.backbones.sources.published.torchvision_cache import file_name, unavailable_weights
from rft.backbones.sources.weights import WeightsFile
from rft.backbones.sources.weights import read as read_weights
from rft.backbones.sources.weights_place import names_file
from rft.config.schema import ModelConfig
from rft.data.images.preprocessing import ImagePreprocessing
from rft.errors import ModelError, near
from rft.records import ImagePreprocessingFacts
from rft.runtime.libraries import library_import

WHERE = "model.backbone"
DENSE_LAYER = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")


def list_names() -> list[str]:
    """Return the classification models."""
    names: list[str] = _import_models().list_models(module=_import_models())
    return names


def check_name(name: str) -> None:
    """Raise ``ModelError`` for a name that torchvision has no model for, with those that are near."""
    known = list_names()
    if name not in known:
        raise ModelError(f"torchvision has no model {name!r}", where="model.backbone", remedy=near(name, known))


def is_name_of_weights(name: str, weights: str) -> bool:
    """Tell whether ``weights`` names published weights of a model: ``IMAGENET1K_V2``, ``ResNet50_Weights.DEFAULT``."""
    published = _import_models().get_model_weights(name)
    return weights.removeprefix(f"{published.__name__}.") in published.__members__


def check_weights(name: str, weights: str) -> None:
    """Raise ``ModelError`` for what is neither a file nor the name of weights, with the names that there are."""
    if names_file(weights):
        return
    published = list(_import_models().get_model_weights(name).__members__)
    raise ModelError(
        f"{name} has no published weights {weights!r}",
        where="model.weights",
        remedy=f"{near(weights, published) or ''} Its names: {', '.join(published)}; or give a file.".strip(),
    )


def find_recipe(name: str, weights: str, file_sha256: str | None, chosen: str | None) -> Any:
    """Return the published weights whose builder and transforms a model is run with.

    Args:
        name: of the model.
        weights: as in ``model.weights``.
        file_sha256: of the weights' file, where they are a file: a published one bears its beginning in its name.
        chosen: as in ``model.preprocessing``; it goes before all else.

    Returns:
        A member of the model's enum of weights: the one that is named or recognised; for random weights, and for
        files that are not published ones, the first that was published.

    Raises:
        ModelError: ``chosen`` is no name of weights of this model.
    """
    published = _import_models().get_model_weights(name)
    if chosen is not None:
        if not is_name_of_weights(name, chosen):
            raise ModelError(
                f"{chosen!r} names no weights of {name}",
                where="model.preprocessing",
                remedy=f"Expected one of {', '.join(published.__members__)}.",
            )
        return published.verify(chosen)
    if weights == "pretrained":
        return published.DEFAULT
    if is_name_of_weights(name, weights):
        return published.verify(weights)
    recognised = [member for member in published if file_sha256 and file_sha256.startswith(_hash_in_name(member))]
    return recognised[0] if recognised else next(iter(published))


def _hash_in_name(weights: Any) -> str:
    text: str = weights.url.rsplit("-", 1)[-1].removesuffix(".pth")
    return text


def build_architecture(name: str, recipe: str | None) -> nn.Module:
    """Build a model with its own classifier, randomly initialised, as its builder does for published weights.

    Args:
        name: of the model.
        recipe: full name of the published weights; None: the first.
    """
    models = _import_models()
    weights = models.get_weight(recipe) if recipe else next(iter(models.get_model_weights(name)))
    network: nn.Module = models.get_model(name, weights=None, **_builder_options(name, weights.meta))
    return network


def _builder_options(name: str, meta: dict[str, Any]) -> dict[str, Any]:
    """Return what builders set when they are given weights, beside the number of classes."""
    if name in ("googlenet", "inception_v3"):  # their weights come from networks that normalised otherwise
        return {"transform_input": True, "aux_logits": True, "init_weights": False}
    if name.startswith("vit_"):
        return {"image_size": meta["min_size"][0]}
    return {"input_size": meta["min_size"]} if name.startswith("maxvit") else {}


def load_published(name: str, recipe: Any, *, offline: bool) -> WeightsFile:
    """Return published weights from torchvision's cache, or after a download; raises ``ModelError``."""
    cached = Path(torch.hub.get_dir()) / "checkpoints" / file_name(recipe.url)
    # torch itself would wait for an answer of the network for as long as the system does
    if not cached.exists() and (offline or not is_reachable(recipe.url)):
        raise unavailable_weights(name, recipe.url, "they are not in torchvision's cache", reached=False)
    try:
        # The hash stands in the file's name; weights_only keeps pickled code from running.
        state = recipe.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (OSError, RuntimeError) as error:  # no network; a hash that does not match
        reason = str(error).splitlines()[0]
        raise unavailable_weights(name, recipe.url, reason, reached=True) from error
    return current_names(WeightsFile(dict(state), hash_tensors(state)))


def current_names(file: WeightsFile) -> WeightsFile:
    """Return tensors under the names of torchvision's modules: those of DenseNet were published with a dot more.

    Other older names are translated by the modules themselves, when they are loaded.
    """
    state = {DENSE_LAYER.sub(r"\1\2", name): tensor for name, tensor in file.state.items()}
    return replace(file, state=state)


def remove_classifier(model: nn.Module) -> nn.Module:
    """Replace the last linear layer by nothing, so that the model gives what that layer received.

    Heads that only help training are taken away too, as torchvision's builders do.
    """
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise ModelError("ends without a linear classifier and cannot be given a new head", where="model.backbone")
    path, _, attribute = linear[-1].rpartition(".")
    setattr(model.get_submodule(path), attribute, nn.Identity())
    for helper in ("aux1", "aux2", "AuxLogits"):
        if hasattr(model, helper):
            setattr(model, helper, None)
            model.aux_logits = False  # type: ignore[assignment]
    return model


def read_preprocessing(recipe: Any, *, image_size: int | None = None) -> ImagePreprocessing:
    """Return the transforms of published weights.

    Args:
        recipe: a member of an enum of weights.
        image_size: side of the images in place of its own; what is seen of them stays the same.
    """
    transforms = recipe.transforms()
    resize, crop = transforms.resize_size[0], transforms.crop_size[0]
    if image_size is not None:
        resize, crop = round(resize * image_size / crop), image_size
        transforms = recipe.transforms(resize_size=resize, crop_size=crop)
    interpolation = transforms.interpolation.value
    described = {"recipe": str(recipe), "resize": resize, "crop": crop, "interpolation": interpolation}
    return ImagePreprocessing.measure(
        lambda image: transforms(image).numpy(),
        described,
        "model.backbone",
        resample=Image.Resampling[interpolation.upper()],
        normalisation=(transforms.mean, transforms.std),
    )


def saved_preprocessing(facts: ImagePreprocessingFacts) -> ImagePreprocessing:
    """Return the preprocessing of a saved model, from its ``facts``."""
    return read_preprocessing(_import_models().get_weight(facts.recipe), image_size=facts.whole_number("crop"))


def _import_models() -> Any:
    with library_import("torchvision", error=ModelError, where=WHERE, install="pip install torch torchvision"):
        from torchvision import models  # two seconds to import, which a run on texts can do without
    return models


def build_model(
    model_config: ModelConfig, name: str, folder: Path, *, revision: str | None, seed: int, offline: bool
) -> BuiltNetwork:
    """Build a model; see ``ModelBuilder``. Published weights are those of a name, so there is no revision of them."""
    assert revision is None
    check_name(name)
    by_name = model_config.weights == "pretrained" or is_name_of_weights(name, model_config.weights)
    file = None
    if model_config.weights != "random" and not by_name:
        check_weights(name, model_config.weights)
        file = current_names(read_weights(model_config.weights, folder))
    recipe = find_recipe(name, model_config.weights, file.sha256 if file else None, model_config.preprocessing)
    if by_name:
        chosen = find_recipe(name, model_config.weights, None, None)
        file = load_published(name, chosen, offline=offline)
    with seeded_weights(seed):
        network = build_architecture(name, str(recipe))
    preprocessing = read_preprocessing(recipe, image_size=model_config.image_size)
    return BuiltNetwork(network, preprocessing, file, recipe=str(recipe))


LIBRARY = BackboneLibrary(
    name="torchvision",
    list_names=list_names,
    build=build_model,
    build_architecture=build_architecture,
    remove_classifier=remove_classifier,
    saved_preprocessing=saved_preprocessing,
)
