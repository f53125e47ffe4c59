"""Which column of a source is what: as the user said, as its names and cells say, or as the user answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from rft.data.folders.metadata import FILE_NAME
from rft.data.remarks import join_names
from rft.errors import ConfigError, DataError, near
from rft.starter import columns, questions
from rft.starter.columns import GroupGuesses, Guess
from rft.starter.prediction_columns import RFT_GROUP, PredictionColumns, find_prediction_columns
from rft.starter.questions import Asker
from rft.starter.source import Source

Modality = Literal["image", "text", "predictions"]
GIVEN = "as it was asked for"


@dataclass(frozen=True)
class ColumnWishes:
    """The columns that the user named beforehand; None, or nothing, is to be found out."""

    image: str | None = None
    text: str | None = None
    prediction: str | None = None
    score: str | None = None
    label: str | None = None
    split: str | None = None
    unit: str | None = None
    id: str | None = None
    groups: tuple[str, ...] = ()

    @property
    def flags(self) -> list[tuple[str, str]]:
        """Flag and column of all that were named."""
        single = [(f"--{key}", value) for key, value in vars(self).items() if isinstance(value, str)]
        return [*single, *(("--group", name) for name in self.groups)]


@dataclass
class Roles:
    """Which column is what; None where none is.

    Attributes:
        modality: what an example is, or ``predictions``.
        item: images or texts.
        predictions: what a model predicted.
        label: None too where folders, or the layout of a run, say it.
        class_counts: label -> rows that were looked at.
        split, unit, id: as in ``[data]``.
        other_units: further columns that could be the unit.
        groups: those to compare.
        other_groups: what is said of the rest.
    """

    modality: Modality = "image"
    item: Guess | None = None
    predictions: PredictionColumns | None = None
    label: Guess | None = None
    class_counts: Mapping[str, int] = field(default_factory=dict)
    split: Guess | None = None
    unit: Guess | None = None
    id: Guess | None = None
    other_units: tuple[Guess, ...] = ()
    groups: tuple[Guess, ...] = ()
    other_groups: GroupGuesses = field(default_factory=lambda: GroupGuesses((), (), ()))

    @property
    def taken(self) -> set[str]:
        """The columns that are something already."""
        single = (self.item, self.label, self.split, self.unit, self.id)
        predicted = self.predictions.names if self.predictions else []
        return {guess.value for guess in single if guess is not None} | {*predicted}


def assign_roles(source: Source, wishes: ColumnWishes, asker: Asker | None) -> Roles:
    """Return which column is what.

    Args:
        source: what was found.
        wishes: the columns that the user named.
        asker: asks the user for the rest; None: nobody is there to be asked.

    Raises:
        DataError: there is nothing to audit, or what cannot be told has to be named.
        ConfigError: a wish names no column.
    """
    _check_wishes(source, wishes)
    roles = Roles()
    _assign_items(roles, source, wishes)
    if roles.predictions is not None and roles.predictions.rft:
        roles.class_counts = source.sample.columns["label"].counts
        _assign_groups(roles, source, wishes, asker)
        return roles
    _assign_split(roles, source, wishes)
    units = [] if wishes.unit else columns.find_unit_columns(source.sample, roles.taken)
    roles.unit = _guess_as_given(wishes.unit)
    roles.id = _guess_as_given(wishes.id) or columns.find_id_column(source.sample, roles.taken)
    _assign_label(roles, source, wishes, units, asker)
    units = [guess for guess in units if guess.value not in roles.taken]
    roles.unit = roles.unit or questions.choose_unit(units, asker)
    roles.other_units = tuple(guess for guess in units if guess.value not in roles.taken)
    _assign_groups(roles, source, wishes, asker)
    return roles


def _check_wishes(source: Source, wishes: ColumnWishes) -> None:
    """Raise ``ConfigError`` for a wish that names no column."""
    known = [*source.sample.columns, *source.sample.images]
    for flag, name in wishes.flags:
        if name not in known and f"{RFT_GROUP}{name}" not in known:
            remedy = near(name, known) or (f"The columns are {join_names(known)}." if known else None)
            has_none = "class folders have no columns" if source.kind == "folders" else f"there is no column {name!r}"
            raise ConfigError(has_none, where=flag, remedy=remedy)


def _guess_as_given(name: str | None) -> Guess | None:
    return None if name is None else Guess(name, GIVEN)


def _assign_items(roles: Roles, source: Source, wishes: ColumnWishes) -> None:
    """Find out what an example is; raises ``DataError`` for a table without images, texts or predictions."""
    sample = source.sample
    if source.kind != "table":
        roles.item = Guess(FILE_NAME, "") if source.kind == "metadata" else None
        return
    if wishes.image is not None or wishes.text is not None:
        roles.modality = "image" if wishes.image is not None else "text"
        roles.item = _guess_as_given(wishes.image or wishes.text)
        return
    if wishes.prediction is not None or wishes.score is not None:
        roles.modality = "predictions"
        roles.predictions = PredictionColumns(
            prediction=_guess_as_given(wishes.prediction), score=_guess_as_given(wishes.score)
        )
        return
    if (image := columns.find_image_column(sample, source.path.parent)) is not None:
        roles.item = image
    elif (predictions := find_prediction_columns(sample, wishes.label)) is not None:
        roles.modality, roles.predictions = "predictions", predictions
    elif texts := columns.find_text_columns(sample, [name for _, name in wishes.flags]):
        roles.modality, roles.item = "text", texts[0]
    else:
        raise DataError(
            "no column holds images, texts or predictions",
            where=source.path.name,
            remedy="Name one with --image, --text, --prediction or --score; "
            f"the columns are {join_names(list(sample.columns))}.",
        )


def _assign_split(roles: Roles, source: Source, wishes: ColumnWishes) -> None:
    """Find the column of splits of a table; raises ``ConfigError`` where one is wished for and a folder is read."""
    if source.kind == "metadata" and wishes.split is not None:
        raise ConfigError(
            "the splits of a folder are folders of their own; a column of its table is not read",
            where="--split",
            remedy=f"Read the table itself: rft init {source.path.name}/metadata.csv --split {wishes.split}",
        )
    needed = {"test"} if roles.modality == "predictions" else {"train", "test"}
    if source.kind == "table":
        roles.split = _guess_as_given(wishes.split) or columns.find_split_column(
            source.sample, roles.taken, needed=needed
        )


def _assign_label(
    roles: Roles, source: Source, wishes: ColumnWishes, units: Sequence[Guess], asker: Asker | None
) -> None:
    """Find the labels: of class folders, or of a column."""
    if source.kind == "folders":
        roles.class_counts = source.class_counts
        return
    sample = source.sample
    if source.kind == "metadata" and not wishes.label and (by_folder := source.count_class_folders()):
        roles.class_counts = by_folder
        return
    people = {guess.value for guess in units if columns.is_of_people(guess.value)}
    taken = roles.taken | people | {*wishes.groups}
    guesses = [Guess(wishes.label, GIVEN)] if wishes.label else columns.find_label_columns(sample, taken)
    roles.label = questions.choose_label(guesses, [name for name in sample.columns if name not in taken], asker)
    column = sample.columns[roles.label.value]
    roles.class_counts = column.counts
    if wishes.label:
        roles.label = Guess(wishes.label, f"{GIVEN}, {columns.describe_values(column)}")


def _assign_groups(roles: Roles, source: Source, wishes: ColumnWishes, asker: Asker | None) -> None:
    sample = source.sample
    if roles.predictions is not None and roles.predictions.rft:
        renamed = {name.removeprefix(RFT_GROUP) for name in sample.columns if name.startswith(RFT_GROUP)}
        guesses = tuple(
            Guess(name, columns.describe_values(sample.columns[f"{RFT_GROUP}{name}"])) for name in sorted(renamed)
        )
        wished = tuple(guess for guess in guesses if guess.value in wishes.groups)
        roles.groups = wished or questions.choose_groups(GroupGuesses(guesses, (), ()), asker)
        return
    candidates = columns.find_groups(sample, roles.taken)
    if wishes.groups:
        roles.groups = tuple(
            Guess(name, f"{GIVEN}, {columns.describe_values(sample.columns[name])}") for name in wishes.groups
        )
    else:
        roles.groups = questions.choose_groups(candidates, asker)
    chosen = {guess.value for guess in roles.groups}
    people, unfit, others = (
        tuple(guess for guess in guesses if guess.value not in chosen)
        for guesses in (candidates.people, candidates.unfit, candidates.others)
    )
    roles.other_groups = GroupGuesses(people, unfit, others)
