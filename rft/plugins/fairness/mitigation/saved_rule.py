"""A mitigated model on disk: the rule by which it decides, beside the fine-tuned model that it looks through.

The folder holds no backbone of its own. It names the fine-tuned model by its place and by the sha256 of its tensors:
with another model behind it the rule would decide about something else, and is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
from PIL import Image
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from rft.backbones.classifier import hash_tensors, scale_rows
from rft.errors import DataError, EvidenceError, ModelError
from rft.models.description import FILE as DESCRIPTION
from rft.models.saved import Item, SavedModel, load_model
from rft.plugins.fairness.mitigation.decision_rules import (
    Rule,
    RuleInputs,
    RuleSettings,
    decide_by_rule,
    deserialize_rule,
    serialize_rule,
)
from rft.records import Record, first_problem
from rft.runtime.float32 import ieee_float32

KIND, TENSORS, PREDICTIONS = "mitigated", "rule.safetensors", "predictions.parquet"
FORMAT_VERSION = 1
MODEL = "../model"  # from the folder of a mitigated model


class ModelPlace(Record):
    """Where the fine-tuned model lies, relative to the folder of the mitigated one, and the sha256 of its tensors."""

    folder: str
    sha256: str


class RuleDescription(Record):
    """The content of the ``model.json`` of a mitigated model.

    Attributes:
        rule: how it decides, but for arrays.
        attribute: what its groups are by.
        classes: the class names.
        seed: of the draws.
        sha256: over all of the rule.
        model: the fine-tuned model.
    """

    format_version: int = FORMAT_VERSION
    kind: Literal["mitigated"] = "mitigated"
    rule: RuleSettings
    attribute: str
    classes: tuple[str, ...]
    seed: int
    sha256: str
    model: ModelPlace


def write_rule(
    folder: Path,
    *,
    rule: Rule,
    attribute: str,
    classes: Sequence[str],
    seed: int,
    model_sha256: str,
    predictions: pd.DataFrame,
) -> None:
    """Write a mitigated model into ``folder``, which is made; raises ``OSError`` when the disk is full.

    Args:
        folder: beside the folder ``model`` of the same run.
        rule: how it decides.
        attribute: what its groups are by.
        classes: the class names.
        seed: of the draws, where the rule makes any.
        model_sha256: of the fine-tuned model, as ``hash_tensors`` gives it.
        predictions: what it says of the examples of the run, as in the run's own ``predictions.parquet``.
    """
    folder.mkdir(mode=0o700)
    settings, tensors = serialize_rule(rule)
    description = RuleDescription(
        rule=settings,
        attribute=attribute,
        classes=tuple(classes),
        seed=seed,
        sha256=_hash_rule(settings, tensors),
        model=ModelPlace(folder=MODEL, sha256=model_sha256),
    )
    (folder / TENSORS).write_bytes(save(tensors))
    content = description.model_dump(mode="json", exclude_none=True)
    (folder / DESCRIPTION).write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    predictions.to_parquet(folder / PREDICTIONS, index=False)


@dataclass(frozen=True)
class MitigatedModel:
    """The fine-tuned model of a run with another way to decide.

    Attributes:
        model: the fine-tuned model.
        rule: how it decides.
        attribute: what its groups are by.
        seed: of the draws.
    """

    model: SavedModel
    rule: Rule
    attribute: str
    seed: int

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names."""
        return self.model.classes

    @property
    def needs_group(self) -> bool:
        """Whether ``predict`` has to know the group of each item."""
        return self.rule.needs_group

    def predict(
        self,
        items: Item | Sequence[Item],
        groups: Sequence[str | None] | str | None = None,
        *,
        seed: int | None = None,
        batch_size: int = 32,
    ) -> pd.DataFrame:
        """Return one row an item: ``prediction``, and the probability ``score_<class>`` of each decision.

        Where a rule decides by chance, the draw follows from the bytes of the file or text (of an opened image, from
        its pixels): the same item gets the same decision every time.

        Args:
            items: as for ``SavedModel.predict``.
            groups: (N,) the group of each item, for a rule that needs it; None in the list has the fine-tuned model
                decide about that item alone. Others do not look at it.
            seed: another one than that of the run gives other draws.
            batch_size: items that are predicted at once.

        Raises:
            DataError: groups are needed and were not given, are not as many as the items, or one is unknown; or a
                file cannot be read as an image.
        """
        if isinstance(items, (str, Path, Image.Image)):
            items, groups = [items], [groups] if isinstance(groups, str) else groups
        if isinstance(groups, str):
            raise DataError(f"is one name for {len(items)} items", where="groups", remedy="Give a list of names.")
        known = self._check_groups(len(items), groups)
        batches = [
            self._rule_inputs(items[start : start + batch_size], known[start : start + batch_size])
            for start in range(0, len(items), batch_size)
        ]
        frames = [self.rule.decision_probabilities(rows) for rows in batches]
        scores = np.concatenate(frames) if frames else np.empty((0, len(self.classes)))
        drawn_by = [hash_item(item, self.model) for item in items] if self.rule.randomised else []
        decided = decide_by_rule(self.rule, scores, drawn_by, self.seed if seed is None else seed)
        table = pd.DataFrame(scores, columns=[f"score_{name}" for name in self.classes])
        table.insert(0, "prediction", [self.classes[index] for index in decided])
        return table

    def _check_groups(self, n: int, groups: Sequence[str | None] | None) -> np.ndarray:
        known_groups = np.full(n, None, dtype=object)
        if not self.needs_group:
            return known_groups
        if groups is None:
            raise DataError(
                f"this model decides by {self.attribute} and has to know it",
                where="groups",
                remedy=f"Give the {self.attribute} of each item: predict(items, groups=[...]).",
            )
        if len(groups) != n:
            raise DataError(f"{len(groups)} groups were given for {n} items", where="groups")
        known_groups[:] = list(groups)
        return known_groups

    def _rule_inputs(self, items: Sequence[Item], groups: np.ndarray) -> RuleInputs:
        """Return what the rule looks at."""
        classifier = self.model.classifier
        with torch.no_grad(), ieee_float32():
            features = classifier.features(self.model.inputs(items))
            logits = classifier.head({"features": features})
        seen = scale_rows(features.double(), row_norm=classifier.head.row_norm).numpy()
        return RuleInputs(seen, logits.double().softmax(dim=1).numpy(), groups)


def hash_item(item: Item, model: SavedModel) -> str:
    """Return the sha256 that a draw follows from; of a file or text the same one as in the run's own data."""
    if isinstance(item, Image.Image):
        return hashlib.sha256(f"{item.mode} {item.size}\n".encode() + item.tobytes()).hexdigest()
    content = str(item).encode() if model.classifier.modality == "text" else Path(item).read_bytes()
    return hashlib.sha256(content).hexdigest()


def is_saved_in(folder: str | Path) -> bool:
    """Return whether a folder says that it holds a mitigated model."""
    try:
        content = json.loads((Path(folder) / DESCRIPTION).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("kind") == KIND


def load_rule(folder: str | Path) -> MitigatedModel:
    """Load a mitigated model, and the fine-tuned one beside it.

    Raises:
        ModelError: the folder cannot be read, was made by a newer rft, or stands alone.
        EvidenceError: the rule, or the model beside it, is not the one that was written.
    """
    folder = Path(folder).resolve()
    description = _read_description(folder)
    model = _load_model_beside(folder, description.model)
    try:
        tensors = load_file(folder / TENSORS)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"cannot be read: {str(error).splitlines()[0]}", where=TENSORS) from None
    if _hash_rule(description.rule, tensors) != description.sha256:
        raise EvidenceError("is not the rule that the audit wrote", where=folder.name)
    rule = deserialize_rule(description.rule, tensors)
    return MitigatedModel(model, rule, description.attribute, description.seed)


def _read_description(folder: Path) -> RuleDescription:
    content = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    if content.get("format_version") != FORMAT_VERSION:
        version = content.get("format_version")
        raise ModelError(f"has format {version}; this rft reads {FORMAT_VERSION}", where=DESCRIPTION)
    try:
        return RuleDescription.model_validate(content)
    except ValidationError as error:
        raise ModelError(f"does not describe a model: {first_problem(error)}", where=DESCRIPTION) from None


def _hash_rule(settings: RuleSettings, tensors: dict[str, Tensor]) -> str:
    """Return the sha256 over all of a rule."""
    return hashlib.sha256(f"{settings.to_json()}\n{hash_tensors(tensors)}".encode()).hexdigest()


def _load_model_beside(folder: Path, named: ModelPlace) -> SavedModel:
    place = (folder / named.folder).resolve()
    if not (place / DESCRIPTION).is_file():
        raise ModelError(
            "the fine-tuned model that it decides with is not beside it",
            where=folder.name,
            remedy=f"Keep the run folder together: {folder.name} needs the folder {place.name} of the same run.",
        )
    model = load_model(place)
    if hash_tensors(model.classifier.state_dict()) != named.sha256:
        raise EvidenceError("is another model than the one that was mitigated", where=place.name)
    return model
