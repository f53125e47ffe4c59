"""A trained classifier on disk: safetensors, and what says how to rebuild it and how to prepare its inputs."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from rft.backbones.batch import Batch
from rft.backbones.classifier import Classifier, hash_tensors
from rft.backbones.identity import FolderIdentity
from rft.backbones.load import LoadedBackbone, Preprocessing, rebuild_backbone
from rft.backbones.sources import transformers
from rft.backbones.sources.speech.vocabularies import read_saved_vocabulary
from rft.data.audio.decoding import read_recording
from rft.data.audio.inputs import pad_recordings
from rft.data.audio.preprocessing import AudioPreprocessing
from rft.data.images.inputs import read_pixels, to_tensor
from rft.data.text import TextPreprocessing
from rft.data.transcripts.tokens import TokenVocabulary
from rft.data.transcripts.vocabulary import CharacterVocabulary, Vocabulary
from rft.errors import EvidenceError, ModelError
from rft.models.absent import explain_absent_model
from rft.models.description import ModelDescription
from rft.runtime.float32 import ieee_float32

WEIGHTS, HUB_FOLDER = "model.safetensors", "backbone"
MAX_PIXELS = 89_478_485  # where Pillow begins to warn of decompression bombs
MAX_SECONDS = 3600.0  # as much as ``data.max_seconds`` may say

Item = str | Path | Image.Image


def write_model(
    folder: Path,
    *,
    model: Classifier,
    backbone: LoadedBackbone,
    classes: Sequence[str],
    vocabulary: Vocabulary | None = None,
) -> None:
    """Write the model into ``folder``, which is made; raises ``OSError`` when the disk is full.

    Args:
        folder: where it is written.
        model: backbone and head, joined.
        backbone: what the model was made from.
        classes: what the logits of a classifier stand for; none of a recogniser.
        vocabulary: what a recogniser writes with; None of a classifier.
    """
    folder.mkdir(mode=0o700)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    (folder / WEIGHTS).write_bytes(save(state))  # safetensors' own writer hides the reason of a full disk
    if isinstance(backbone.identity, FolderIdentity):
        transformers.write_description(backbone.backbone, backbone.preprocessing, folder / HUB_FOLDER)
    if isinstance(vocabulary, TokenVocabulary):
        vocabulary.tokenizer.save_pretrained(folder / HUB_FOLDER)
    ModelDescription(
        modality=backbone.modality,
        backbone=backbone.identity,
        preprocessing=backbone.preprocessing.facts(),
        classes=tuple(classes),
        vocabulary=None if vocabulary is None else vocabulary.names,
        capitals=vocabulary.capitals if isinstance(vocabulary, TokenVocabulary) else None,
        row_norm=model.head.row_norm,
        frozen_part=model.frozen_part,
        sha256=hash_tensors(model.state_dict()),
        files=_hash_files(folder / HUB_FOLDER),
    ).write(folder)


@dataclass(frozen=True)
class SavedModel:
    """A model of a finished run, ready to predict.

    Attributes:
        classifier: a batch of inputs in, logits out; a ``torch.nn.Module`` in eval mode on the CPU.
        classes: what the logits stand for; empty of a recogniser.
        preprocessing: turns an image, a text or a recording into the inputs that the classifier takes.
        vocabulary: what a recogniser writes with; None of a classifier.
    """

    classifier: Classifier = field(repr=False)
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    vocabulary: Vocabulary | None = None

    def predict(self, items: Item | Sequence[Item], batch_size: int = 32) -> pd.DataFrame:
        """Return one row an item (one for a single one): ``prediction``, and a probability ``score_<class>`` each.

        Of a recogniser ``transcript``: what it writes, and nothing else.

        Args:
            items: paths of images or opened images, texts, or paths of recordings, as the model was trained on.
            batch_size: items that are predicted at once.

        Raises:
            DataError: for a file that cannot be read.
        """
        if isinstance(items, (str, Path, Image.Image)):
            items = [items]
        if self.vocabulary is not None:
            parts = [items[i : i + batch_size] for i in range(0, len(items), batch_size)]
            return pd.DataFrame({"transcript": [text for part in parts for text in self._write_transcripts(part)]})
        frames = [self._predict_scores(items[i : i + batch_size]) for i in range(0, len(items), batch_size)]
        scores = np.concatenate(frames) if frames else np.empty((0, len(self.classes)))
        table = pd.DataFrame(scores, columns=[f"score_{name}" for name in self.classes])
        table.insert(0, "prediction", [self.classes[index] for index in scores.argmax(axis=1)])
        return table

    def _write_transcripts(self, items: Sequence[Item]) -> list[str]:
        assert self.vocabulary is not None
        with torch.no_grad(), ieee_float32():
            best = self.classifier(self.inputs(items)).argmax(2)
        return [self.vocabulary.decode(outputs) for outputs in best.tolist()]  # padding is blank

    def _predict_scores(self, items: Sequence[Item]) -> np.ndarray:
        with torch.no_grad(), ieee_float32():
            values: np.ndarray = self.classifier(self.inputs(items)).double().softmax(dim=1).numpy()
            return values

    def inputs(self, items: Sequence[Item]) -> Batch:
        """Return items as the classifier takes them; raises ``DataError`` for a file that cannot be read."""
        if isinstance(self.preprocessing, TextPreprocessing):
            return self.preprocessing([str(item) for item in items])
        if isinstance(self.preprocessing, AudioPreprocessing):
            seconds = self.preprocessing.max_seconds or MAX_SECONDS
            recordings = (read_recording(Path(str(item)), seconds) for item in items)
            return pad_recordings([self.preprocessing(recording) for recording in recordings])
        decoded = [
            self.preprocessing(item)
            if isinstance(item, Image.Image)
            else read_pixels(Path(item), self.preprocessing, MAX_PIXELS)
            for item in items
        ]
        return {"pixels": to_tensor(decoded)}


def load_model(folder: str | Path) -> SavedModel:
    """Load the model of a run folder (or of its ``model`` folder).

    Raises:
        ModelError: when there is none, with the reason, or it was made by a newer rft.
        EvidenceError: when its tensors, config or tokenizer are not the ones that were written.
    """
    folder = Path(folder)
    inner = folder / "model"
    if not inner.is_dir() and (absent := explain_absent_model(folder)) is not None:
        raise absent
    folder = inner if inner.is_dir() else folder
    description = ModelDescription.read(folder)
    if _hash_files(folder / HUB_FOLDER) != description.files:
        raise EvidenceError("its config and tokenizer are not the ones that the audit wrote", where=HUB_FOLDER)
    backbone = rebuild_backbone(description.backbone, description.preprocessing, folder / HUB_FOLDER)
    vocabulary = _read_vocabulary(description, folder / HUB_FOLDER)
    outputs = len(description.classes) if vocabulary is None else len(vocabulary)
    classifier = backbone.classifier(outputs, description.row_norm, 0)
    classifier.frozen_part = description.frozen_part
    try:
        state = load_file(folder / WEIGHTS)
        versioned = OrderedDict(state)  # some models ask for the version of the names, which safetensors do not hold
        versioned._metadata = classifier.state_dict()._metadata  # type: ignore[attr-defined]
        classifier.load_state_dict(versioned)
    except (SafetensorError, RuntimeError, OSError) as error:
        raise ModelError(f"cannot be read: {str(error).splitlines()[0]}", where=WEIGHTS) from None
    if hash_tensors(state) != description.sha256:
        raise EvidenceError("its tensors are not the ones that the audit wrote", where=WEIGHTS)
    return SavedModel(classifier.eval(), description.classes, backbone.preprocessing, vocabulary)


def _read_vocabulary(description: ModelDescription, hub_folder: Path) -> Vocabulary | None:
    if description.vocabulary is None:
        return None
    if description.capitals is None:
        return CharacterVocabulary(description.vocabulary)
    return read_saved_vocabulary(hub_folder, description.vocabulary, capitals=description.capitals)


def _hash_files(folder: Path) -> dict[str, str]:
    """Return name -> sha256 of the files in a folder, which a model may do without."""
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files if file.is_file()}
