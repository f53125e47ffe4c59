"""Load a backbone by name and weights, ready to be given a new head."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from rft.backbones.batch import Batch
from rft.backbones.classifier import Classifier, ImageBackbone, TextBackbone, hash_tensors, new_head
from rft.backbones.identity import BackboneIdentity, FolderIdentity, NamedIdentity
from rft.backbones.partition.trace import FAILURES, first_line
from rft.backbones.recognizer import FrameHead, Recognizer
from rft.backbones.sources import snapshot, timm, torchvision, transformers, weights
from rft.backbones.sources.hub import split_revision
from rft.backbones.sources.library import BackboneLibrary
from rft.backbones.sources.speech import loading as speech
from rft.backbones.sources.speech.encoders import SpeechBackbone
from rft.config.schema import ModelConfig
from rft.data.audio.preprocessing import AudioPreprocessing
from rft.data.images.preprocessing import ImagePreprocessing
from rft.data.text import TextPreprocessing
from rft.errors import ModelError, near
from rft.records import AudioPreprocessingFacts, ImagePreprocessingFacts, PreprocessingFacts
from rft.runtime.out_of_memory import raise_if_out_of_memory

Preprocessing = ImagePreprocessing | TextPreprocessing | AudioPreprocessing
Modality = Literal["image", "text", "audio"]
MODALITIES: dict[type, Modality] = {
    ImagePreprocessing: "image",
    TextPreprocessing: "text",
    AudioPreprocessing: "audio",
}

# Their models are known by name; another library is another record.
LIBRARIES = {library.name: library for library in (torchvision.LIBRARY, timm.LIBRARY)}
HUB = "transformers"
FRAMES = "frames"  # the pooling of a backbone of speech that keeps time: none


@dataclass(frozen=True)
class LoadedBackbone:
    """A pretrained backbone without a classifier.

    Attributes:
        backbone: a batch of inputs in, (B, D) features out, or (B, T, D) where it keeps time.
        dimension: D.
        preprocessing: how items become its inputs.
        weights_sha256: of the weights file, or of the tensors where there is no single file.
        identity: what its outputs depend on beside tensors and preprocessing.
        revision: the commit of the hub that the weights are of; None for weights from elsewhere.
    """

    backbone: nn.Module
    dimension: int
    preprocessing: Preprocessing
    weights_sha256: str
    identity: BackboneIdentity
    revision: str | None = None

    @property
    def modality(self) -> Modality:
        """What its examples are."""
        return MODALITIES[type(self.preprocessing)]

    @property
    def keeps_time(self) -> bool:
        """Whether its features are those of every moment, (B, T, D), for a recogniser."""
        return isinstance(self.backbone, SpeechBackbone) and self.backbone.keeps_time

    @property
    def input_shape(self) -> tuple[int, int, int] | None:
        """Channels, height and width of the images it takes; None for what has a length."""
        return self.preprocessing.shape if isinstance(self.preprocessing, ImagePreprocessing) else None

    def classifier(self, classes: int, row_norm: bool, seed: int) -> Classifier:
        """Join the backbone with a new head for this number of classes."""
        if self.keeps_time:
            return Recognizer(
                self.backbone, new_head(self.dimension, classes, row_norm, seed, FrameHead), modality=self.modality
            )
        head = new_head(self.dimension, classes, row_norm, seed)
        if self.modality != "text":
            return Classifier(self.backbone, head, modality=self.modality)
        network: Any = self.backbone.network
        name = transformers.embedding_layer(network)
        embedding = f"backbone.network.{name}" if name else None
        return Classifier(self.backbone, head, modality="text", embedding_layer=embedding)

    def example(self, count: int, tokens: int, seed: int) -> Batch:
        """Make up inputs: noise for images and speech, any words for texts; some are shorter than others.

        Args:
            count: how many.
            tokens: of the longest text, or vectors that the network makes of the longest clip.
            seed: of what is random.
        """
        random = torch.Generator().manual_seed(seed)
        if self.input_shape is not None:
            return {"pixels": torch.rand(count, *self.input_shape, generator=random)}
        if isinstance(self.backbone, SpeechBackbone):
            return self.backbone.make_up_inputs(shorten_some(count, tokens), random)
        return made_up_texts(self.preprocessing.tokenizer, count, tokens, random)  # type: ignore[union-attr]


def shorten_some(count: int, longest: int) -> torch.Tensor:
    """Return (``count``,) lengths of made-up examples, which follow from the position alone."""
    return longest - torch.arange(count) % 3


def made_up_texts(tokenizer: Any, count: int, tokens: int, random: torch.Generator) -> Batch:
    """Return random ordinary words, padded on the right."""
    special = set(tokenizer.all_special_ids)
    words = torch.tensor([word for word in range(min(len(tokenizer), 5000)) if word not in special])
    ids = words[torch.randint(len(words), (count, tokens), generator=random)]
    lengths = shorten_some(count, tokens)
    mask = (torch.arange(tokens)[None] < lengths[:, None]).long()
    return {"input_ids": torch.where(mask.bool(), ids, tokenizer.pad_token_id), "attention_mask": mask}


def load_backbone(
    model_config: ModelConfig, folder: Path, *, modality: str, seed: int, offline: bool, keeps_time: bool = False
) -> LoadedBackbone:
    """Build the backbone that ``[model]`` names and load its weights.

    Args:
        model_config: the ``[model]`` table.
        folder: what a path to weights is relative to.
        modality: ``image``, ``text`` or ``audio``, as the data says.
        seed: initialises ``weights = "random"``.
        offline: forbid downloads.
        keeps_time: of speech, have the features of every moment and not their mean.

    Raises:
        ModelError: for an unknown name, weights that do not fit, or weights that are more than tensors.
    """
    assert model_config.backbone is not None
    library, slash, name = model_config.backbone.partition("/")
    if not slash or library not in (*LIBRARIES, HUB):
        raise ModelError(
            f"{model_config.backbone!r} is no backbone; expected library/name with one of "
            f"{', '.join([*LIBRARIES, HUB])}",
            where="model.backbone",
            remedy=_suggest_backbones(model_config.backbone),
        )
    if library == HUB:
        return _load_from_folder(
            model_config, name, folder, modality=modality, seed=seed, offline=offline, keeps_time=keeps_time
        )
    if modality != "image":
        raise ModelError(
            f"{library} has backbones for images only",
            where="model.backbone",
            remedy="For texts and speech: transformers/<name>.",
        )
    return _load_by_name(model_config, LIBRARIES[library], name, folder, seed=seed, offline=offline)


def load_untrained(name: str, folder: Path, *, image_size: int | None, offline: bool) -> LoadedBackbone:
    """Build a backbone with random weights, to look at its layers; raises ``ModelError`` as ``load_backbone`` does."""
    modality = "image"
    if name.startswith(f"{HUB}/"):
        source = snapshot.find_snapshot(name.removeprefix(f"{HUB}/"), folder, offline=offline, where="BACKBONE")
        modality = transformers.modality_of(source)
    model_config = ModelConfig(backbone=name, weights="random", image_size=image_size)
    return load_backbone(model_config, folder, modality=modality, seed=0, offline=offline)


def untrained_like(backbone: LoadedBackbone, model_config: ModelConfig, folder: Path, seed: int) -> LoadedBackbone:
    """Return the same network with random weights."""
    if isinstance(backbone.identity, FolderIdentity):
        network = transformers.untrained_like(backbone.backbone, seed)
        return _measure_dimension(
            network, backbone.preprocessing, hash_tensors(network.state_dict()), backbone.identity, HUB
        )
    name = f"{backbone.identity.library}/{backbone.identity.name}"  # without a revision of its weights
    random = model_config.model_copy(update={"backbone": name, "weights": "random"})
    return load_backbone(random, folder, modality=backbone.modality, seed=seed, offline=True)


def _load_from_folder(
    model_config: ModelConfig, name: str, folder: Path, *, modality: str, seed: int, offline: bool, keeps_time: bool
) -> LoadedBackbone:
    if model_config.weights not in ("pretrained", "random"):
        raise ModelError(
            f"{model_config.weights!r}: the weights of a transformers backbone are those in its folder",
            where="model.weights",
            remedy='Expected "pretrained" or "random"; name another folder in model.backbone.',
        )
    source = snapshot.find_snapshot(name, folder, offline=offline, where="model.backbone")
    backbone: TextBackbone | ImageBackbone | SpeechBackbone
    preprocessing: Preprocessing
    pooling: str = "mean"
    if modality == "audio":
        backbone, preprocessing = speech.speech_backbone(source, model_config, seed=seed, keeps_time=keeps_time)
        pooling = FRAMES if keeps_time else pooling
    elif modality == "text":
        backbone, preprocessing = transformers.text_backbone(source, model_config, seed=seed)
        pooling = backbone.pooling
    else:
        pretrained = model_config.weights == "pretrained"
        size = model_config.image_size
        backbone, preprocessing = transformers.image_backbone(source, pretrained=pretrained, seed=seed, image_size=size)
        pooling = backbone.pooled.__name__
    config_sha256 = transformers.config_sha256(backbone.network)
    identity = FolderIdentity(pooling=pooling, config_sha256=config_sha256, layer=model_config.layer)
    loaded = _measure_dimension(backbone, preprocessing, hash_tensors(backbone.network.state_dict()), identity, name)
    return replace(loaded, revision=source.revision)


def _load_by_name(
    model_config: ModelConfig, library: BackboneLibrary, name: str, folder: Path, *, seed: int, offline: bool
) -> LoadedBackbone:
    name, revision = split_revision(name)
    if revision is not None and not (library.has_revisions and model_config.weights == "pretrained"):
        raise ModelError(
            f"the revision {revision!r} is one of the hub, which these weights are not from",
            where="model.backbone",
            remedy="Leave it out.",
        )
    built = library.build(model_config, name, folder, revision=revision, seed=seed, offline=offline)
    tensors = dict(built.network.state_dict())
    sha256 = built.file.sha256 if built.file else hash_tensors(tensors)
    network = library.remove_classifier(built.network)
    if built.file:
        weights.load_into(network, built.file, tensors)
    backbone = ImageBackbone(network, built.preprocessing.mean, built.preprocessing.std)
    identity = NamedIdentity(library=library.name, name=name, recipe=built.recipe)
    loaded = _measure_dimension(backbone, built.preprocessing, sha256, identity, f"{library.name}/{name}")
    return replace(loaded, revision=built.commit)


def rebuild_backbone(identity: BackboneIdentity, preprocessing: PreprocessingFacts, hub_folder: Path) -> LoadedBackbone:
    """Rebuild the backbone of a saved model, to load its tensors into.

    Args:
        identity: as in ``LoadedBackbone.identity``.
        preprocessing: as ``facts`` of its preprocessing gives it.
        hub_folder: for transformers, the folder with the config and the tokenizer's files.

    Raises:
        ModelError: its library is not known, or takes no texts.
    """
    backbone: nn.Module
    prepared: Preprocessing
    if isinstance(preprocessing, AudioPreprocessingFacts) and isinstance(identity, FolderIdentity):
        keeps_time = identity.pooling == FRAMES
        backbone, prepared = speech.read_description(hub_folder, identity.layer, keeps_time=keeps_time)
        return _measure_dimension(backbone, prepared, "", identity, HUB)
    if isinstance(identity, FolderIdentity):
        backbone, prepared = transformers.read_description(hub_folder, preprocessing, identity.pooling)
        return _measure_dimension(backbone, prepared, "", identity, HUB)
    library = LIBRARIES.get(identity.library)
    if library is None or not isinstance(preprocessing, ImagePreprocessingFacts):
        raise ModelError(f"is of a library {identity.library!r} that cannot be rebuilt", where=identity.name)
    network = library.remove_classifier(library.build_architecture(identity.name, identity.recipe))
    prepared = library.saved_preprocessing(preprocessing)
    return _measure_dimension(
        ImageBackbone(network, prepared.mean, prepared.std), prepared, "", identity, identity.name
    )


def _measure_dimension(
    backbone: nn.Module,
    preprocessing: Preprocessing,
    sha256: str,
    identity: BackboneIdentity,
    name: str,
) -> LoadedBackbone:
    """Measure the number of features on made-up inputs; refuse a backbone that does not give a vector."""
    backbone.requires_grad_(False).eval()
    weights.check_finite(backbone, name)
    loaded = LoadedBackbone(backbone, 0, preprocessing, sha256, identity)
    try:
        with torch.no_grad():
            features = backbone(loaded.example(2, 6, 0))
    except FAILURES as error:
        raise_if_out_of_memory(error)
        shape = loaded.input_shape
        raise ModelError(
            f"does not take {f'images of {shape[1]} x {shape[2]} px' if shape else 'texts'}: {first_line(error)}",
            where=name,
            remedy="Leave out model.image_size to use its own size." if shape else None,
        ) from None
    return replace(loaded, dimension=features.shape[-1])


def _suggest_backbones(given: str) -> str:
    """Return what a name without a library may mean: a model of a library, a near name, or a model of the hub."""
    names = {library: _names_if_installed(library) for library in LIBRARIES}
    exact = [f"{library}/{given}" for library, known in names.items() if given in known]
    if exact:
        return f"Write {' or '.join(map(repr, exact))}."
    suggestion = near(given, [f"{library}/{name}" for library, known in names.items() for name in known])
    return suggestion or f"A model of the hub, or a folder as it lays them out, is {f'{HUB}/{given}'!r}."


def _names_if_installed(library: str) -> list[str]:
    try:
        return LIBRARIES[library].list_names()
    except ModelError:
        return []
