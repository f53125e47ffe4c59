"""What a first config would say: the roles of columns, what only the user knows, and a backbone."""

from __future__ import annotations

from dataclasses import dataclass

from rft.errors import ConfigError
from rft.starter import questions
from rft.starter.backbones import BackboneChoice, choose_backbone, name_given
from rft.starter.questions import Asker
from rft.starter.roles import Roles, assign_roles
from rft.starter.source import Source
from rft.starter.tables.columns import Guess
from rft.starter.wishes import Wishes


@dataclass(frozen=True)
class Proposal:
    """All that a first config says, with reasons.

    Attributes:
        source: what it is about.
        roles: which column is what.
        positive: the favourable class; None where nobody said it.
        classes: all there are, as the user said; empty where they are read off the labels.
        backbone: for ``[model]``; None for predictions.
        epsilon, population: of private training; None without it.
    """

    source: Source
    roles: Roles
    positive: Guess | None
    classes: tuple[str, ...]
    backbone: BackboneChoice | None
    epsilon: float | None
    population: str | None

    @property
    def compares_groups(self) -> bool:
        """Whether there are groups, and of classes a favourable one to compare them by."""
        return bool(self.roles.groups) and (self.positive is not None or self.roles.is_recognition)


def propose_config(source: Source, wishes: Wishes, asker: Asker | None) -> Proposal:
    """Return what a config for this source would say.

    Args:
        source: what was found.
        wishes: what the user said beforehand.
        asker: asks the user for the rest; None: nobody is there to be asked.

    Raises:
        DataError: as ``assign_roles``.
        ConfigError: a wish does not go with the data, or something needed is neither known nor can be asked for.
    """
    roles = assign_roles(source, wishes.columns, asker)
    _check_training_wishes(wishes, roles)
    positive = _choose_positive(source, wishes, roles, asker)
    classes = wishes.classes
    if wishes.epsilon is not None and not roles.is_recognition:
        classes = questions.choose_classes(wishes.classes, roles.class_counts, asker)
    return Proposal(
        source,
        roles,
        positive,
        classes,
        _choose_backbone(wishes, roles),
        wishes.epsilon,
        _choose_population(wishes, roles, asker),
    )


def _check_training_wishes(wishes: Wishes, roles: Roles) -> None:
    """Raise ``ConfigError`` for wishes about training where nothing is trained, or which take more than flags."""
    if roles.transcript is not None:
        if wishes.classes:
            raise ConfigError("transcripts have no classes: leave it out", where="--class")
        if wishes.epsilon is not None:
            raise ConfigError(
                "private training of a recogniser needs all characters that it may write, known without the data",
                where="--private",
                remedy="Leave it out; then add epsilon to [privacy], and characters to [data], of what is written.",
            )
    if roles.modality != "predictions":
        return
    flags = {"--private": wishes.epsilon, "--backbone": wishes.backbone, "--weights": wishes.weights}
    for flag, value in flags.items():
        if value is not None:
            raise ConfigError("a table of predictions is audited without a model: leave it out", where=flag)


def _choose_positive(source: Source, wishes: Wishes, roles: Roles, asker: Asker | None) -> Guess | None:
    """Return the favourable class; a column of scores that decides alone must have it, and is of that class."""
    if roles.is_recognition:
        if wishes.positive is not None:
            raise ConfigError("transcripts have no classes: leave it out", where="--positive")
        return None
    predicted = roles.predictions
    score = predicted.score if predicted and predicted.prediction is None else None
    needed_for = f"the column {score.value!r}" if score else "--group" if roles.groups else None
    must = score is not None or bool(wishes.columns.groups)
    positive = questions.choose_positive(
        wishes.positive, roles.class_counts, needed_for, asker, must=must, whole=source.sample.whole
    )
    named_class = predicted.score_class if predicted else None
    if score and positive and named_class not in (None, positive.value):
        raise ConfigError(
            f"{score.value!r} is named after {named_class!r}, and the favourable class is {positive.value!r}",
            where="--score",
            remedy=f"Write 1 - {score.value} into a column of its own, and name that with --score.",
        )
    return positive


def _choose_backbone(wishes: Wishes, roles: Roles) -> BackboneChoice | None:
    if roles.modality == "predictions":
        return None
    if wishes.backbone is not None:
        return name_given(wishes.backbone, wishes.weights)
    if wishes.weights is not None:
        raise ConfigError("says nothing without --backbone, which says whose weights these are", where="--weights")
    return choose_backbone(roles.modality)


def _choose_population(wishes: Wishes, roles: Roles, asker: Asker | None) -> str | None:
    """Return whose data it is; asked for where a ledger can be kept for them."""
    if wishes.population is not None and wishes.epsilon is None:
        raise ConfigError("is about private training: give --private EPSILON, too", where="--population")
    has_owner = roles.unit is not None or roles.id is not None
    if wishes.population is not None and not has_owner:
        raise ConfigError("needs a column that says whose a row is: give --unit, or --id", where="--population")
    if wishes.epsilon is None or wishes.population is not None or asker is None or not has_owner:
        return wishes.population
    question = "Whose data is this? A name for these people, under which a ledger adds up all runs (empty: no ledger):"
    return asker.enter_text(question, default="") or None
