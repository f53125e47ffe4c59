"""What a plugin sees of a run: the model or the predictions that are audited, and all that is known of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rft.disclosure.withheld import NOTHING, Withheld
from rft.errors import Unavailable
from rft.records import ModelFacts, Split, WordOccurrences

if TYPE_CHECKING:
    import pandas as pd

    from rft.backbones.classifier import InputClassifier
    from rft.data import Inputs
    from rft.data.remarks import Remark
    from rft.features import Features
    from rft.features.embeddings import Embeddings
    from rft.training import Fit, Task, Trainer

Part = TypeVar("Part")


@dataclass(frozen=True)
class AuditedModel:
    """What is audited. Frozen; parts may be absent, and an audit that needs one asks with ``require_...``.

    Attributes:
        facts: name, classes, positive class, backbone and training facts, as in ``audit.json``.
        seed: the number that all seeds of the run come from.
        splits: ``train`` and ``test``, perhaps ``validation``.
        predictions: one row an example of every split: split, id, unit, label, prediction, ``score_<class>``
            (probabilities), ``group_<attribute>`` (None where missing). Labels are class names. Of transcripts the
            counts of ``rft.stats.scores.error_rates`` stand in the place of label, prediction and scores.
        words: of transcripts, every word of the references; its rows are those of ``predictions``.
        remarks: what was noticed when the data was read.
        model: the classifier in eval mode, on ``device``; a batch of inputs in, logits out.
        inputs: ``inputs.batch(split, rows)`` reads examples as the model wants them.
        features: split -> cached outputs of the frozen part, or the inputs where nothing is frozen.
        embeddings: returns pooled features of training examples by the backbone as loaded; computed when called.
        task, trainer, fit: what was trained, by whom, and the result.
        training_seconds: that training took, for ``run.volatile``: a section says no times.
        plain_trainer: the trainer without privacy, for what a comparison needs.
        write_model: writes the model into a folder, as ``rft.load`` reads it.
        device: torch device name that computation should use.
        show_examples: whether raw examples (photos) may appear in the report.
        withheld: what may not leave the machine. In ``splits``, ``predictions`` and ``embeddings`` the values of
            withheld groups are missing by then, so that nothing can be computed from who is in them.
    """

    facts: ModelFacts
    seed: int
    splits: Mapping[str, Split]
    predictions: pd.DataFrame
    words: WordOccurrences | None = None
    remarks: Sequence[Remark] = ()
    model: InputClassifier | None = None
    inputs: Inputs | None = None
    features: Mapping[str, Features] | None = None
    embeddings: Callable[[], Embeddings] | None = None
    task: Task | None = None
    trainer: Trainer | None = None
    plain_trainer: Trainer | None = None
    fit: Fit | None = None
    training_seconds: float | None = None
    write_model: Callable[[Path], None] | None = None
    device: str = "cpu"
    show_examples: bool = False
    withheld: Withheld = NOTHING

    def without(self, withheld: Withheld) -> AuditedModel:
        """Return the audited model as plugins see it: without the groups that are withheld."""
        if not withheld.below:
            return self
        return replace(
            self,
            splits={name: _without_groups(split, withheld) for name, split in self.splits.items()},
            predictions=withheld.mask_predictions(self.predictions),
            embeddings=self.embeddings and (lambda: _without_groups(self.require_embeddings(), withheld)),
            withheld=withheld,
        )

    @property
    def provided_as(self) -> str:
        """What was given where nothing was trained in this run, in words, as the reason for what is absent."""
        elsewhere = "the model was trained outside this run"
        return elsewhere if self.model else f"only its predictions were given, and {elsewhere}"

    def require_model(self) -> InputClassifier:
        """Return the classifier; raises ``Unavailable`` where predictions alone were given."""
        return self._require_part(self.model, "model itself")

    def require_inputs(self) -> Inputs:
        """Return what reads examples; raises ``Unavailable`` where predictions alone were given."""
        return self._require_part(self.inputs, "examples to look at")

    def require_features(self) -> Mapping[str, Features]:
        """Return the cached outputs of the frozen part by split; raises ``Unavailable`` where nothing was trained."""
        return self._require_part(self.features, "features, since nothing was trained here")

    def require_embeddings(self) -> Embeddings:
        """Compute the embeddings of training examples; raises ``Unavailable`` where nothing was trained."""
        return self._require_part(self.embeddings, "embeddings of training examples, since nothing was trained here")()

    def require_task(self) -> Task:
        """Return what was trained; raises ``Unavailable`` where nothing was."""
        return self._require_part(self.task, "training to look at")

    def require_trainer(self) -> Trainer:
        """Return what trained the model; raises ``Unavailable`` where nothing was trained."""
        return self._require_part(self.trainer, "training to look at")

    def require_plain_trainer(self) -> Trainer:
        """Return a trainer without privacy; raises ``Unavailable`` where nothing was trained."""
        return self._require_part(self.plain_trainer, "training to look at")

    def require_fit(self) -> Fit:
        """Return the result of training; raises ``Unavailable`` where nothing was trained."""
        return self._require_part(self.fit, "training to look at")

    def _require_part(self, part: Part | None, missing: str) -> Part:
        if part is None:
            raise Unavailable(f"this audit has no {missing}: {self.provided_as}")
        return part


def _without_groups(holder: Any, withheld: Withheld) -> Any:
    """Return a split, or embeddings, in which the values of withheld groups are missing."""
    groups = {attribute: withheld.mask_groups(attribute, values) for attribute, values in holder.groups.items()}
    return replace(holder, groups=groups)
