"""A trained classifier on disk: safetensors and a model.json that says how to rebuild it and prepare pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from rft.backbones.classifier import Classifier, hash_tensors
from rft.backbones.load import architecture
from rft.data.images import Preprocessing, pixels
from rft.errors import EvidenceError, ModelError
from rft.records import SubjectFacts

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
FORMAT_VERSION = 1  # 1: the first published format
MAX_PIXELS = 89_478_485  # where Pillow begins to warn of decompression bombs


def write_model(folder: Path, *, model: Classifier, facts: SubjectFacts, row_norm: bool) -> None:
    """Write the model into ``folder``, which is made; raises ``OSError`` when the disk is full."""
    assert facts.backbone is not None
    folder.mkdir(mode=0o700)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    (folder / WEIGHTS).write_bytes(save(state))  # safetensors' own writer hides the reason of a full disk
    description = {
        "format_version": FORMAT_VERSION,
        "name": facts.name,
        "backbone": facts.backbone.name,
        "preprocessing": facts.backbone.preprocessing,
        "classes": list(facts.classes),
        "row_norm": row_norm,
        "sha256": facts.model_sha256,
    }
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=1, sort_keys=True) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class SavedModel:
    """A classifier of a finished run, ready to predict.

    Attributes:
        classifier: pixels in, logits out; a ``torch.nn.Module`` in eval mode on the CPU.
        classes: what the logits stand for.
        preprocessing: turns a picture into the pixels that the classifier takes.
    """

    classifier: Classifier = field(repr=False)
    classes: tuple[str, ...]
    preprocessing: Preprocessing

    def predict(
        self, pictures: str | Path | Image.Image | Sequence[str | Path | Image.Image], batch_size: int = 32
    ) -> pd.DataFrame:
        """Return one row a picture (one for a single one): ``prediction``, and a probability ``score_<class>`` each.

        Raises:
            DataError: for a file that cannot be read as a picture.
        """
        if isinstance(pictures, (str, Path, Image.Image)):
            pictures = [pictures]
        frames = [self._scores(pictures[i : i + batch_size]) for i in range(0, len(pictures), batch_size)]
        scores = np.concatenate(frames) if frames else np.empty((0, len(self.classes)))
        table = pd.DataFrame(scores, columns=[f"score_{name}" for name in self.classes])
        table.insert(0, "prediction", [self.classes[index] for index in scores.argmax(axis=1)])
        return table

    def _scores(self, pictures: Sequence[str | Path | Image.Image]) -> np.ndarray:
        decoded = [
            self.preprocessing(picture)
            if isinstance(picture, Image.Image)
            else pixels(Path(picture), self.preprocessing, MAX_PIXELS)
            for picture in pictures
        ]
        batch = torch.from_numpy(np.stack(decoded)).permute(0, 3, 1, 2).float() / 255
        with torch.no_grad():
            return self.classifier(batch).double().softmax(dim=1).numpy()


def load_model(folder: str | Path) -> SavedModel:
    """Load the model of a run folder (or of its ``model`` folder).

    Raises:
        ModelError: when there is none, or it was made by a newer rft.
        EvidenceError: when its tensors are not the ones that were written.
    """
    folder = Path(folder)
    folder = folder / "model" if (folder / "model").is_dir() else folder
    description = _description(folder)
    classifier = architecture(
        description["backbone"], description["preprocessing"], len(description["classes"]), description["row_norm"]
    )
    try:
        state = load_file(folder / WEIGHTS)
        classifier.load_state_dict(state)
    except (SafetensorError, RuntimeError, OSError) as error:
        raise ModelError(f"cannot be read: {str(error).splitlines()[0]}", where=WEIGHTS) from None
    if hash_tensors(state) != description["sha256"]:
        raise EvidenceError("its tensors are not the ones that the audit wrote", where=WEIGHTS)
    preprocessing = Preprocessing(**_tuples(description["preprocessing"]))
    return SavedModel(classifier, tuple(description["classes"]), preprocessing)


def _description(folder: Path) -> dict[str, Any]:
    try:
        description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    except OSError:
        raise ModelError(
            "holds no model", where=str(folder), remedy="Expected a folder that rft audit wrote."
        ) from None
    except ValueError as error:
        raise ModelError(f"is not JSON: {error}", where=DESCRIPTION) from None
    if description.get("format_version") != FORMAT_VERSION:
        raise ModelError(f"has format {description.get('format_version')}; this rft reads 1", where=DESCRIPTION)
    return description


def _tuples(facts: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in facts.items()}
