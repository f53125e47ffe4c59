"""Backbones of transformers: encoders and causal language models for texts, vision towers for images.

A backbone is the model without any head of its own. Texts are pooled from the last hidden states; a pooler that
pretraining may have left untrained is never used.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from rft.backbones.classifier import ImageBackbone, Pooling, TextBackbone
from rft.backbones.partition.trace import first_line
from rft.backbones.sources import snapshot
from rft.backbones.sources.folder_weights import load_model, tensor_names
from rft.backbones.sources.image_processor import has_processor, read_preprocessing
from rft.backbones.sources.mismatch import find_family
from rft.backbones.sources.snapshot import CONFIG, PretrainedFolder
from rft.config.schema import ModelConfig
from rft.data.audio.preprocessing import AudioPreprocessing
from rft.data.images.preprocessing import ImagePreprocessing
from rft.data.text import TextPreprocessing
from rft.errors import ModelError, RftError
from rft.records import ImagePreprocessingFacts, PreprocessingFacts, TextPreprocessingFacts
from rft.runtime.devices.random_state import seeded_torch
from rft.runtime.libraries import library_import

WHERE = "model.backbone"
LONGEST = 512  # tokens, unless model.max_length asks for more
# What a network calls its main input -> the key of ``[data]`` that names the column of such examples.
KEYS = {"input_ids": "text", "pixel_values": "image", "input_values": "audio", "input_features": "audio"}


def load_network(source: PretrainedFolder, modality: str, *, pretrained: bool, seed: int) -> tuple[Any, Any]:
    """Return the model of a folder without a head, in float32, and its config.

    Raises:
        ModelError: it cannot be loaded, is of another modality, or weights of it are missing.
    """
    config = read_config(source)
    if getattr(config, "is_encoder_decoder", False):
        raise ModelError(
            f"{config.model_type} has an encoder and a decoder, which no plugin supports",
            where=source.where,
            remedy="Take an encoder (BERT's family) or a causal model (GPT's family); of a model of speech, name the "
            "column as data.audio, which takes its encoder.",
        )
    if modality == "text" and getattr(config, "vision_config", None) is not None:
        raise ModelError(
            f"{config.model_type} takes texts and images together, which no plugin supports",
            where=source.where,
            remedy="Its vision tower can be used for images: name the column as data.image.",
        )
    tower = getattr(config, "vision_config", None) if modality == "image" else None
    with quiet_transformers(), seeded_torch(seed):
        network = load_pretrained(source, tower or config) if pretrained else build_untrained(source, tower or config)
    takes = getattr(network, "main_input_name", "input_ids")
    if takes != {"text": "input_ids", "image": "pixel_values"}[modality]:
        key = KEYS.get(takes)
        remedy = f"It takes {takes}: name the column as data.{key}." if key else f"It takes {takes}."
        raise ModelError(f"this model does not take {modality}s", where=source.where, remedy=remedy)
    return network.eval(), tower or config


def image_backbone(
    source: PretrainedFolder, *, pretrained: bool, seed: int, image_size: int | None
) -> tuple[ImageBackbone, ImagePreprocessing]:
    """Return a vision tower and how images are prepared for it, by its image processor where there is one."""
    network, config = load_network(source, "image", pretrained=pretrained, seed=seed)
    preprocessing = image_preprocessing(source, config, image_size=image_size)
    pooler = getattr(network, "pooler", None)
    trained_pooler = isinstance(pooler, nn.Module) and any(True for _ in pooler.parameters())
    pooled = first_token if trained_pooler else pooler_output
    return ImageBackbone(network, preprocessing.mean, preprocessing.std, pooled), preprocessing


def text_backbone(
    source: PretrainedFolder, settings: ModelConfig, *, seed: int
) -> tuple[TextBackbone, TextPreprocessing]:
    """Return a text model, pooled, and its tokenizer."""
    network, config = load_network(source, "text", pretrained=settings.weights == "pretrained", seed=seed)
    if getattr(network, "pooler", None) is not None:
        network.pooler = None
    tokenizer = read_tokenizer(source)
    check_vocabulary(tokenizer, network, source)
    pooling: Pooling = settings.pooling if settings.pooling != "auto" else ("last" if _is_causal(config) else "mean")
    return TextBackbone(network, pooling), TextPreprocessing(
        tokenizer, limit_tokens(settings.max_length, tokenizer, network, LONGEST)
    )


def untrained_like(backbone: nn.Module, seed: int) -> nn.Module:
    """Return a copy of a backbone with random weights."""
    network: Any = backbone.network
    fresh: Any = copy.copy(backbone)  # shares the buffers of its preprocessing; the network is replaced
    fresh._modules = dict(backbone._modules)
    with seeded_torch(seed):
        fresh.network = type(network)(copy.deepcopy(network.config)).float()
    if getattr(network, "pooler", False) is None:
        fresh.network.pooler = None
    untrained: nn.Module = fresh
    return untrained


def write_description(
    backbone: nn.Module, preprocessing: ImagePreprocessing | TextPreprocessing | AudioPreprocessing, folder: Path
) -> None:
    """Write the config of a backbone's network, and what prepares its inputs, as the hub lays them out."""
    with quiet_transformers():
        backbone.network.config.save_pretrained(folder)  # type: ignore[union-attr, operator]
        prepares = preprocessing.tokenizer if isinstance(preprocessing, TextPreprocessing) else preprocessing.processor
        if prepares is not None:
            prepares.save_pretrained(folder)


def read_description(
    folder: Path, facts: PreprocessingFacts, pooling: str
) -> tuple[nn.Module, ImagePreprocessing | TextPreprocessing]:
    """Return an untrained backbone, and the preprocessing, of what ``write_description`` wrote."""
    source = snapshot.find_snapshot(".", folder, offline=True, where=folder.name)
    if isinstance(facts, TextPreprocessingFacts):
        text_keys = {"pooling": pooling, "max_length": facts.max_length}
        settings = ModelConfig.model_validate({"backbone": "", "weights": "random", **text_keys})
        backbone, tokenisation = text_backbone(source, settings, seed=0)
        tokenisation.tokenizer.truncation_side = facts.truncation
        return backbone, tokenisation
    assert isinstance(facts, ImagePreprocessingFacts)  # no backbone reads recordings yet
    network, config = load_network(source, "image", pretrained=False, seed=0)
    side = facts.whole_number("crop") if facts.recipe == "plain" else None  # a processor was saved with its size
    prepared = image_preprocessing(source, config, image_size=side)
    pooled = {function.__name__: function for function in (first_token, pooler_output)}[pooling]
    return ImageBackbone(network, prepared.mean, prepared.std, pooled), prepared


def read_config(source: PretrainedFolder) -> Any:
    """Return the config of a folder; raises ``ModelError``."""
    with errors_named(source, "its config"):
        return import_transformers().AutoConfig.from_pretrained(**source.source)


def modality_of(source: PretrainedFolder) -> str:
    """Return ``image`` for a model with a vision tower or of images alone, else ``text``."""
    config = read_config(source)
    return "image" if hasattr(config, "vision_config") or hasattr(config, "image_size") else "text"


def read_tokenizer(source: PretrainedFolder) -> Any:
    """Return the tokenizer of a folder, which pads on the right; raises ``ModelError``."""
    with errors_named(source, "its tokenizer"), quiet_transformers():
        tokenizer = import_transformers().AutoTokenizer.from_pretrained(**source.source)
    if set(tokenizer.get_vocab()) <= set(tokenizer.all_special_tokens):  # made up where there are no files
        raise ModelError(f"the folder {source.path.name!r} has no tokenizer", where=source.where, remedy=snapshot.WHOLE)
    tokenizer.padding_side = "right"  # where the models of rft expect it; which end of a text is cut is its own affair
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token or tokenizer.convert_ids_to_tokens(0)
    return tokenizer


def check_vocabulary(tokenizer: Any, network: nn.Module, source: PretrainedFolder) -> None:
    """Raise ``ModelError`` for a tokenizer with more words than the model."""
    rows = network.get_input_embeddings().num_embeddings  # type: ignore[operator]
    numbers = max(tokenizer.get_vocab().values()) + 1
    if numbers > rows:
        raise ModelError(
            f"the tokenizer numbers {numbers} words and the model {rows}: they do not belong together",
            where=source.where,
            remedy="Put the tokenizer's files that the model was trained with into its folder.",
        )


def limit_tokens(wanted: int | None, tokenizer: Any, network: nn.Module, usual: int | None) -> int:
    """Return the number of tokens that texts are cut to.

    Args:
        wanted: as ``model.max_length`` says.
        tokenizer, network: those of the model, which bound it.
        usual: the most where nothing is wanted; None: as many as the model takes.

    Raises:
        ModelError: more is wanted than the model takes.
    """
    limit = min(_count_positions(network), tokenizer.model_max_length)
    if wanted is None:
        count: int = limit if usual is None else min(limit, usual)
        return count
    if wanted > limit:
        raise ModelError(f"max_length is {wanted}; this model takes at most {limit} tokens", where="model.max_length")
    return wanted


def image_preprocessing(source: PretrainedFolder, config: Any, *, image_size: int | None = None) -> ImagePreprocessing:
    """Return how the images of a model are prepared, as ``processor.read_preprocessing`` reads it from a folder."""

    def load(**changes: Any) -> Any:
        with errors_named(source, "its image processor"), quiet_transformers():
            return import_transformers().AutoImageProcessor.from_pretrained(**source.source, **changes)

    present = has_processor(source, config)
    return read_preprocessing(load if present else None, config, source.where, image_size=image_size)


def embedding_layer(network: nn.Module) -> str | None:
    """Return the name of the word embedding in a text network."""
    wanted = network.get_input_embeddings()  # type: ignore[operator]
    return next((name for name, module in network.named_modules() if module is wanted), None)


def config_sha256(network: nn.Module) -> str:
    """Return the hash of a network's config: what its tensors do not show, such as the number of heads."""
    config: Any = network.config
    content = json.loads(config.to_json_string(use_diff=False)) | {"_name_or_path": None}  # wherever its folder is
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def first_token(output: Any) -> Tensor:
    """Return (B, D): the last hidden state of the class token."""
    token: Tensor = output.last_hidden_state[:, 0]
    return token


def pooler_output(output: Any) -> Tensor:
    """Return (B, D) as the network pools without parameters of its own; the mean of its map where it does not."""
    pooled: Tensor | None = getattr(output, "pooler_output", None)
    if pooled is not None:
        return pooled.flatten(1)
    hidden: Tensor = output.last_hidden_state  # (B, T, D) tokens, or a (B, D, h, w) map
    return hidden.mean(dim=1) if hidden.dim() == 3 else hidden.flatten(2).mean(dim=2)


def load_pretrained(source: PretrainedFolder, config: Any) -> nn.Module:
    """Return the model of a folder without a head, with its weights; raises ``ModelError`` where some are missing."""
    library = import_transformers()
    kind = library.AutoModel if source.gguf else library.MODEL_MAPPING.get(type(config), None)
    if kind is None:
        raise ModelError(f"transformers has no model without a head for {config.model_type}", where=source.where)
    with errors_named(source, "its weights"):
        model = load_model(kind, source, None if source.gguf else config)
    mismatched = sorted(f"{name} of shape {shape}" for name, shape in model.mismatched.items())
    missing = [name for name in model.missing if "pooler" not in name]
    if missing or mismatched:
        first = f"without {missing[0]}" if missing else f"with {mismatched[0]}, where its config says otherwise"
        total = len(model.network.state_dict())
        family = find_family(tensor_names(source))
        look = f" {CONFIG} says {config.model_type}, and the tensors look like {family.words}." if family else ""
        raise ModelError(
            f"{len(missing) + len(mismatched)} of {total} tensors do not fit: {source.path.name!r} comes {first}",
            where=source.where,
            remedy=f"Give the folder that the model was saved into, whole.{look}",
        )
    network: nn.Module = model.network
    return network


def build_untrained(source: PretrainedFolder, config: Any) -> nn.Module:
    """Return the model of a config without a head, with random weights; raises ``ModelError``."""
    with errors_named(source, "its config"):
        network: nn.Module = import_transformers().AutoModel.from_config(config).float()
        return network


def _is_causal(config: Any) -> bool:
    """Tell whether a model reads from left to right, so that only its last token has seen the whole text."""
    from transformers.models.auto import modeling_auto

    causal = config.model_type in modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    masked = config.model_type in modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    return bool(getattr(config, "is_decoder", False)) or (causal and not masked)


def _count_positions(network: nn.Module) -> int:
    """Return how many tokens a network has positions for. RoBERTa's begin after its padding token."""
    for name, module in network.named_modules():
        if isinstance(module, nn.Embedding) and name.endswith("position_embeddings"):
            return module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1)
    limit = int(getattr(network.config, "max_position_embeddings", None) or 0)
    return limit if limit > 0 else 10**9  # XLNet says -1


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep transformers' remarks on heads that are left out, and its progress bars, from the screen."""
    library = import_transformers()
    verbosity, bars = library.logging.get_verbosity(), library.logging.is_progress_bar_enabled()
    library.logging.set_verbosity_error()
    library.logging.disable_progress_bar()
    try:
        yield
    finally:
        library.logging.set_verbosity(verbosity)
        if bars:
            library.logging.enable_progress_bar()


@contextmanager
def errors_named(source: PretrainedFolder, part: str) -> Iterator[None]:
    """Turn what transformers raises for a bad folder into an error that names it."""
    try:
        yield
    except RftError:
        raise
    except ImportError as error:
        raise ModelError(f"needs more packages: {first_line(error)}", where=source.where) from error
    except Exception as error:  # configs, tokenizers and weights are parsed by several libraries, which raise anything
        raise ModelError(
            f"{source.path.name!r}: {part} cannot be loaded: {first_line(error)}",
            where=source.where,
            remedy=snapshot.WHOLE,
        ) from error


def import_transformers() -> Any:
    """Return the library; raises ``ModelError`` where it is absent, too old or broken."""
    with library_import("transformers", error=ModelError, where=WHERE, install='pip install "rft[transformers]"'):
        import transformers
    return transformers
