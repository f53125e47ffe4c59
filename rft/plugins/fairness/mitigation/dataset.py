"""What mitigation works with: examples to fit on and examples to choose on, never those of test.

The fine-tuned model knows its training examples by heart, so its scores of them say nothing about scores of others: a
threshold fitted to them would be fitted to nothing. Training examples are therefore scored out of fold, by heads that
were trained as the model was, on the other units.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from rft.backbones.classifier import Classifier, scale_rows
from rft.errors import Unavailable
from rft.features.columns import Dense
from rft.plugins import AuditedModel
from rft.plugins.fairness.mitigation.decision_rules import RuleInputs, hash_to_unit_interval
from rft.records import NotMeasured
from rft.stats.cross_validation import Folds, find_non_finite
from rft.training import Job
from rft.training.linear_heads import compute_logits, linear_head_vectors

SHARE_SET_ASIDE = 1 / 3  # of the training units of each group, where the data has no validation split
OWN_SPLIT, SET_ASIDE_FROM_TRAIN = "validation", "validation, set aside from train"


@dataclass(frozen=True)
class MitigationExamples:
    """Some labelled examples.

    Attributes:
        rows: what a rule may look at; scores of training examples are out of fold.
        labels: (N,) class indices.
        units: (N,) whose each example is.
        items: (N,) what draws follow from.
    """

    rows: RuleInputs
    labels: np.ndarray
    units: np.ndarray
    items: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def select_rows(self, mask: np.ndarray) -> MitigationExamples:
        """Return the examples of a (N,) mask."""
        return MitigationExamples(self.rows.select_rows(mask), self.labels[mask], self.units[mask], self.items[mask])

    def with_groups(self) -> MitigationExamples:
        """Return the examples that have a group."""
        return self.select_rows(np.array([name is not None for name in self.rows.groups], dtype=bool))


@dataclass(frozen=True)
class MitigationData:
    """Where candidates are fitted and where one is chosen.

    Attributes:
        fit: training examples that have a group.
        choose: examples that a candidate is chosen on.
        chosen_on: what these are: a split of its own, or units set aside from training.
        classes, positive: the class names, and the index of the favourable one.
        seed: of the run.
    """

    fit: MitigationExamples
    choose: MitigationExamples
    chosen_on: str
    classes: tuple[str, ...]
    positive: int
    seed: int

    @property
    def binary(self) -> bool:
        """Whether there are two classes."""
        return len(self.classes) == 2

    @classmethod
    def from_audited(cls, audited: AuditedModel, attribute: str, positive: str) -> MitigationData:
        """Return the material; raises ``Unavailable`` with the reason when an audited model has none."""
        require_linear_head(audited)
        train_examples = examples_of_split(audited, "train", attribute)
        train = replace(train_examples, rows=replace(train_examples.rows, scores=score_out_of_fold(audited)))
        if "validation" in audited.splits:
            fit, choose, chosen_on = train, examples_of_split(audited, "validation", attribute), OWN_SPLIT
        else:
            aside = select_set_aside(train, audited.seed)
            fit, choose, chosen_on = train.select_rows(~aside), train.select_rows(aside), SET_ASIDE_FROM_TRAIN
        fit = fit.with_groups()
        for purpose, usable in (("fitted to", fit), ("chosen by", choose.with_groups())):
            if not len(usable):
                raise Unavailable(f"no example to be {purpose} has a value of {attribute}")
        classes = audited.facts.classes
        return cls(fit, choose, chosen_on, classes, classes.index(positive), audited.seed)


def select_set_aside(train: MitigationExamples, seed: int) -> np.ndarray:
    """Return a (N,) mask of the examples to choose by: of each group the units whose keyed hash comes first.

    A unit with several groups counts to the first of them in the order of the examples.
    """
    units, first, unit_numbers = np.unique(train.units, return_index=True, return_inverse=True)
    order = np.argsort(hash_to_unit_interval(units, f"rft mitigation {seed}"), kind="stable")
    groups = np.array([str(name) for name in train.rows.groups[first]])
    taken = np.zeros(len(units), dtype=bool)
    for group in np.unique(groups):
        units_of_group = order[groups[order] == group]
        taken[units_of_group[: round(SHARE_SET_ASIDE * len(units_of_group))]] = True
    return taken[unit_numbers]


def require_linear_head(audited: AuditedModel) -> None:
    """Raise ``Unavailable`` unless a linear head on vectors in memory is audited, which may be fitted to again."""
    if audited.facts.training.mode == "private":
        raise Unavailable(
            "the model was trained with differential privacy: fitting to the same data outside the accountant would "
            "void its epsilon"
        )
    task = audited.require_task()
    if linear_head_vectors(task) is None:
        raise Unavailable(
            "mitigation needs one vector of cached features an example, in memory, and a linear head on them "
            '(model.freeze = "all")'
        )


def examples_of_split(audited: AuditedModel, name: str, attribute: str) -> MitigationExamples:
    """Return the examples of a split, scored by the fine-tuned model.

    Raises:
        Unavailable: the split has no such attribute, or its features do not lie in memory or are not finite.
    """
    split = audited.splits[name]
    if attribute not in split.groups:
        raise Unavailable(f"the data has no group attribute {attribute!r}, only {', '.join(split.groups) or 'none'}")
    features = audited.require_features()[name]
    if not isinstance(features, Dense):
        raise Unavailable(f"the features of {name} do not lie in memory (model.memory)")
    model = audited.require_model()
    assert isinstance(model, Classifier)  # whatever has features has a head on them
    seen = scale_rows(features.dense.double(), row_norm=model.head.row_norm).numpy()
    if problem := find_non_finite(seen):
        raise Unavailable(problem.reason)
    predictions = audited.predictions[audited.predictions["split"] == name]
    scores = predictions[[f"score_{label}" for label in audited.facts.classes]].to_numpy(np.float64)
    return MitigationExamples(
        rows=RuleInputs(seen, scores, np.asarray(split.groups[attribute], dtype=object)),
        labels=split.labels,
        units=np.asarray(split.ids if split.units is None else split.units, dtype=str),
        items=np.asarray(split.ids if split.digests is None else split.digests, dtype=str),
    )


def score_out_of_fold(audited: AuditedModel) -> np.ndarray:
    """Return (N, K) float64 probabilities of the training examples, each by a head that did not see its unit.

    Raises:
        Unavailable: a class is too rare for two folds.
    """
    task, trainer = audited.require_task(), audited.require_trainer()
    labels = task.labels.numpy()
    folds = Folds.draw_stratified(labels, task.units, audited.seed)
    if isinstance(folds, NotMeasured):
        raise Unavailable(f"training examples cannot be scored out of fold: {folds.reason}")
    fits = trainer.fit(task, [Job(audited.seed, members=seen) for seen, _ in folds])
    scores = np.full((len(labels), len(audited.facts.classes)), np.nan)
    for (_, held_out), fold_logits in zip(folds, compute_logits(task, fits, task.features), strict=True):
        scores[held_out] = torch.from_numpy(fold_logits).softmax(dim=1).numpy()[held_out]
    return scores
