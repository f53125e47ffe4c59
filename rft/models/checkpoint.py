"""A checkpoint of transformers with the classifier that it was trained with, read from its folder and nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rft.backbones.batch import Batch
from rft.backbones.classifier import ImageBackbone
from rft.backbones.sources import snapshot, transformers
from rft.backbones.sources.folder_weights import load_model
from rft.backbones.sources.image_processor import FILES, has_processor
from rft.backbones.sources.snapshot import PretrainedFolder
from rft.config.schema import ModelConfig
from rft.data.images.preprocessing import ImagePreprocessing
from rft.data.text import TextPreprocessing
from rft.errors import ModelError
from rft.models import speech
from rft.models.external_model import TEXTS, CallAdapter, ExternalModel

WHERE = "model.checkpoint"
AUTO = {
    "text": "AutoModelForSequenceClassification",
    "image": "AutoModelForImageClassification",
    "audio": "AutoModelForAudioClassification",
}
KNOWN = {
    "text": "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING",
    "image": "MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING",
    "audio": "MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING",
}
WORDS = {"text": "texts", "image": "images", "audio": "recordings"}


def read_checkpoint(settings: ModelConfig, folder: Path, *, modality: str, offline: bool) -> ExternalModel:
    """Return the model of ``model.checkpoint`` in float32, with its tokenizer, image processor or feature extractor.

    Raises:
        ModelError: the folder is no such checkpoint, lacks a part, or holds more than data; the model is no classifier
            of one class an example.
    """
    assert settings.checkpoint is not None
    source = snapshot.find_snapshot(settings.checkpoint, folder, offline=offline, where=WHERE)
    if source.gguf:
        raise ModelError("a GGUF file holds no classifier", where=WHERE, remedy="Give the folder it was made from.")
    if source.ctranslate2:
        raise ModelError(
            "a checkpoint of CTranslate2 holds no classifier", where=WHERE, remedy="Give the folder it was made from."
        )
    config = transformers.read_config(source)
    _check_task(config, modality)
    if modality == "audio":
        speech.prepare_config(config, source)
    network = _load_network(source, config, modality)
    labels = tuple(settings.classes or (str(config.id2label.get(index, index)) for index in range(config.num_labels)))
    if modality == "text":
        preprocessing = _text_preprocessing(source, network, settings)
        return ExternalModel(
            CallAdapter(network, _run_text), labels, preprocessing, preprocessing(TEXTS), WHERE, source.revision
        )
    if modality == "audio":
        adapter, preparation = speech.prepare_checkpoint(network, source)
        heard = speech.make_up_recordings(preparation)
        return ExternalModel(adapter, labels, preparation, heard, WHERE, source.revision)
    prepared = _image_preprocessing(source, config, settings)
    normalised = ImageBackbone(network, prepared.mean, prepared.std, _logits_of)
    random = torch.Generator().manual_seed(0)
    example = {"pixels": torch.rand(3, *prepared.shape, generator=random)}
    return ExternalModel(normalised, labels, prepared, example, WHERE, source.revision)


def _check_task(config: Any, modality: str) -> None:
    """Raise ``ModelError`` unless the config is of a classifier that gives each example one of several classes."""
    import transformers as library

    mappings = {key: getattr(library, name) for key, name in KNOWN.items()}
    if type(config) not in mappings[modality]:
        fitting_modality = next((key for key, mapping in mappings.items() if type(config) in mapping), None)
        raise ModelError(
            f"{config.model_type} is no classifier of {WORDS[modality]}",
            where=WHERE,
            remedy=f"It classifies {WORDS[fitting_modality]}: name the column as data.{fitting_modality}."
            if fitting_modality
            else None,
        )
    if config.num_labels == 1 or config.problem_type == "regression":
        raise ModelError(
            f"it has {config.num_labels} output for regression; classification needs one for each class", where=WHERE
        )
    if config.problem_type == "multi_label_classification":
        raise ModelError("it gives each example several labels; rft audits one class an example", where=WHERE)


def _load_network(source: PretrainedFolder, config: Any, modality: str) -> nn.Module:
    """Load the model; transformers would make up what the folder lacks, which is refused here."""
    import transformers as library

    kind = getattr(library, AUTO[modality])
    with transformers.errors_named(source, "its weights"), transformers.quiet_transformers():
        model = load_model(kind, source, config)
    network, absent, misshapen = model.network, model.missing, sorted(model.mismatched)
    if absent or misshapen:
        problem = (
            f"are not in the folder's weights, first {absent[0]!r}" if absent else f"differ in shape: {misshapen[0]!r}"
        )
        raise ModelError(
            f"{len(absent or misshapen)} tensors of {type(network).__name__} {problem}; its classifier would be random",
            where=WHERE,
            remedy="Give the folder that the fine-tuned model was saved into with save_pretrained.",
        )
    classifier: nn.Module = network.eval()
    return classifier


def _text_preprocessing(source: PretrainedFolder, network: nn.Module, settings: ModelConfig) -> TextPreprocessing:
    tokenizer = transformers.read_tokenizer(source)
    transformers.check_vocabulary(tokenizer, network, source)
    _agree_on_padding(network, tokenizer)
    return TextPreprocessing(tokenizer, transformers.limit_tokens(settings.max_length, tokenizer, network, None))


def _agree_on_padding(network: Any, tokenizer: Any) -> None:
    """Make model and tokenizer pad with the same token: GPT-like classifiers find the last word of a text by it."""
    settings = network.config.get_text_config()
    known = settings.pad_token_id
    if known is not None and 0 <= known < len(tokenizer):
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(known)
    else:
        settings.pad_token_id = tokenizer.pad_token_id


def _image_preprocessing(source: PretrainedFolder, config: Any, settings: ModelConfig) -> ImagePreprocessing:
    if settings.image_size is not None:
        raise ModelError(
            "the size of the images is that of the checkpoint's image processor",
            where="model.image_size",
            remedy="Leave it out.",
        )
    if not has_processor(source, config):
        raise ModelError(
            f"{source.path.name!r} has no {FILES[0]}: how images are prepared is not known",
            where=WHERE,
            remedy="Save the image processor of the training into it: processor.save_pretrained(folder).",
        )
    return transformers.image_preprocessing(source, config)


def _run_text(network: nn.Module, inputs: Batch) -> Tensor:
    output: Tensor = network(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits
    return output


def _logits_of(output: Any) -> Tensor:
    logits: Tensor = output.logits
    return logits
