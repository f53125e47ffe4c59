"""Backbones of timm, by the names of ``timm.create_model``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image
from torch import nn

from rft.backbones.sources.hub import hub_client, missing_from_cache, snapshot_folder, unavailable_model
from rft.backbones.sources.library import BackboneLibrary, BuiltNetwork, seeded_weights
from rft.backbones.sources.published.timm_cache import require_weights, unavailable_weights
from rft.backbones.sources.weights import read as read_weights
from rft.config.schema import ModelConfig
from rft.data.images.preprocessing import ImagePreprocessing
from rft.errors import ModelError, near
from rft.records import ImagePreprocessingFacts
from rft.runtime.libraries import library_import

WHERE = "model.backbone"
TRANSFORM = ("input_size", "interpolation", "mean", "std", "crop_pct", "crop_mode")  # what timm says of one


def list_names() -> list[str]:
    """Return the names that timm knows."""
    names: list[str] = _import_timm().list_models()
    return names


def check_name(name: str) -> None:
    """Raise ``ModelError`` for a name that timm has no model for, or a tag that it has no weights under."""
    timm, (model, _, tag) = _import_timm(), name.partition(".")
    known = timm.list_models()
    if model not in known:
        raise ModelError(f"timm has no model {name!r}", where=WHERE, remedy=near(name, known))
    tags = [full.partition(".")[2] for full in timm.list_models(f"{model}.*", pretrained=True)]
    if tag and tag not in tags:
        likely = near(name, [f"{model}.{tag}" for tag in tags])
        listed = f"Its tags: {', '.join(tags)}." if tags else "It has no tags: leave it out."
        raise ModelError(
            f"timm has no weights with the tag {tag!r} for {model}",
            where=WHERE,
            remedy=f"{likely} {listed}" if likely else listed,
        )


def build_architecture(name: str, recipe: str | None = None) -> nn.Module:
    """Build a model with its own classifier, randomly initialised; no weights change how timm builds it."""
    network: nn.Module = _import_timm().create_model(name, pretrained=False)
    return network


def load_pretrained(name: str, revision: str | None, *, offline: bool) -> tuple[nn.Module, str | None]:
    """Build a model with timm's weights from the hub's cache, or after a download.

    Args:
        name: as timm knows it, with or without a tag.
        revision: a branch, a tag or a commit of the weights' repository; None: its branch ``main``.
        offline: forbid downloads.

    Returns:
        The model with its own classifier, and the commit that its weights are of; None for weights of another host.
    """
    timm = _import_timm()
    published = timm.get_pretrained_cfg(name)
    repository = published.hf_hub_id
    reference = f"{repository}@{revision}" if revision else repository
    overlay = {"hf_hub_id": reference} if revision else None
    with hub_client(offline) as reached:
        try:
            network = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay)
        except Exception as error:  # timm passes on whatever the hub's client, its cache or the network raises
            absent = missing_from_cache(reference) if revision else "they are not cached"
            reason = str(error).splitlines()[0] if reached and str(error) else absent
            if repository is None:
                raise unavailable_weights(name, published.url, reason, reached=reached) from error
            raise unavailable_model(reference, reason, "model.weights", reached=reached) from error
    snapshot = snapshot_folder(reference) if repository else None
    return network, snapshot.name if snapshot else None


def remove_classifier(model: nn.Module) -> nn.Module:
    """Let the model give its pooled features."""
    model.reset_classifier(0)  # type: ignore[operator]
    return model


def read_preprocessing(model: nn.Module, *, image_size: int | None = None) -> ImagePreprocessing:
    """Return timm's own transform for the evaluation of a model.

    Args:
        model: as timm built it; its pretrained config says how images are prepared.
        image_size: side of the images in place of its own; what is seen of them stays the same.
    """
    config = _import_timm().data.resolve_model_data_config(model)
    if image_size is not None:
        config["input_size"] = (config["input_size"][0], image_size, image_size)
    return _measure_config(config)


def saved_preprocessing(facts: ImagePreprocessingFacts) -> ImagePreprocessing:
    """Return the preprocessing of a saved model, from its ``facts``."""
    said = facts.model_dump(mode="json")
    return _measure_config({key: said[key] for key in TRANSFORM})


def _measure_config(config: dict[str, Any]) -> ImagePreprocessing:
    transform = _import_timm().data.create_transform(**config)
    described = {key: list(value) if isinstance(value, tuple) else value for key, value in config.items()}
    return ImagePreprocessing.measure(
        lambda image: transform(image).numpy(),
        {"recipe": "timm's transform", **described},
        WHERE,
        channels=config["input_size"][0],
        resample=Image.Resampling[config["interpolation"].upper()],
        normalisation=(config["mean"], config["std"]),
    )


def _import_timm() -> Any:
    with library_import("timm", error=ModelError, where=WHERE, install='pip install "rft[timm]"'):
        import timm
    return timm


def build_model(
    model_config: ModelConfig, name: str, folder: Path, *, revision: str | None, seed: int, offline: bool
) -> BuiltNetwork:
    """Build a model; see ``ModelBuilder``. A revision is one of the weights of timm itself."""
    if model_config.weights == "pretrained":
        require_weights(name, "pretrained", offline=offline)
    check_name(name)
    file = None if model_config.weights in ("pretrained", "random") else read_weights(model_config.weights, folder)
    commit = None
    with seeded_weights(seed):
        if model_config.weights == "pretrained":
            network, commit = load_pretrained(name, revision, offline=offline)
        else:
            network = build_architecture(name)
    preprocessing = read_preprocessing(network, image_size=model_config.image_size)
    return BuiltNetwork(network, preprocessing, file, commit=commit)


LIBRARY = BackboneLibrary(
    name="timm",
    list_names=list_names,
    build=build_model,
    build_architecture=build_architecture,
    remove_classifier=remove_classifier,
    saved_preprocessing=saved_preprocessing,
    has_revisions=True,
)
