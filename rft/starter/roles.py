"""Which column of a source is what: as the user said, as its names and cells say, or as the user answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from rft.config.item_files import FILE_KINDS
from rft.data.folders.metadata import LABEL
from rft.data.remarks import join_names
from rft.errors import ConfigError, DataError, near
from rft.starter import questions
from rft.starter.questions import Asker
from rft.starter.source import Source
from rft.starter.tables import columns
from rft.starter.tables.columns import GroupGuesses, Guess
from rft.starter.tables.prediction_columns import (
    RFT_GROUP,
    PredictionColumns,
    find_prediction_columns,
    find_transcript_columns,
)
from rft.starter.tables.sample import TableSample
from rft.starter.wishes import ColumnWishes

Modality = Literal["image", "text", "audio", "predictions"]
GIVEN = "as it was asked for"


@dataclass
class Roles:
    """Which column is what; None where none is.

    Attributes:
        modality: what an example is, or ``predictions``.
        item: images, texts or recordings.
        predictions: what a model predicted.
        label: None too where folders, or the layout of a run, say it.
        transcript: what is said in recordings, in the place of a label.
        class_counts: label -> rows that were looked at.
        split, unit, id: as in ``[data]``.
        without_unit: why there is no unit; empty where there is one.
        other_units: further columns that could be the unit.
        groups: those to compare.
        unfit_groups: those among them that were asked for, and why their cells are no groups.
        other_groups: what is said of the rest.
    """

    modality: Modality = "image"
    item: Guess | None = None
    predictions: PredictionColumns | None = None
    label: Guess | None = None
    transcript: Guess | None = None
    class_counts: Mapping[str, int] = field(default_factory=dict)
    split: Guess | None = None
    unit: Guess | None = None
    id: Guess | None = None
    without_unit: str = ""
    other_units: tuple[Guess, ...] = ()
    groups: tuple[Guess, ...] = ()
    unfit_groups: tuple[Guess, ...] = ()
    other_groups: GroupGuesses = field(default_factory=lambda: GroupGuesses((), (), ()))

    @property
    def is_recognition(self) -> bool:
        """Whether it is about a speech recogniser: one to be trained, or a table of its transcripts."""
        of_table = self.predictions is not None and self.predictions.reference is not None
        return of_table or self.transcript is not None

    @property
    def taken(self) -> set[str]:
        """The columns that are something already."""
        single = (self.item, self.label, self.transcript, self.split, self.unit, self.id)
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
    if roles.modality == "audio" and wishes.label is None and len(source.class_counts) < 2:
        roles.transcript = columns.find_transcript_column(source.sample, roles.taken)
    units = [] if wishes.unit else columns.find_unit_columns(source.sample, roles.taken)
    roles.unit = _guess_as_given(wishes.unit)
    roles.id = _guess_as_given(wishes.id) or columns.find_id_column(source.sample, roles.taken)
    if not roles.is_recognition:
        _assign_label(roles, source, wishes, units, asker)
    units = [guess for guess in units if guess.value not in roles.taken]
    if roles.unit is None:
        roles.unit, roles.without_unit = questions.choose_unit(units, asker)
    if roles.unit is None and roles.is_recognition:
        raise _no_speakers(source, units)
    roles.other_units = tuple(guess for guess in units if guess.value not in roles.taken)
    _assign_groups(roles, source, wishes, asker)
    return roles


def _no_speakers(source: Source, units: Sequence[Guess]) -> DataError:
    """Return the error for transcripts of which no column says who speaks."""
    candidates = f"; {join_names([guess.value for guess in units])} could" if units else ""
    return DataError(
        f"no column says who speaks, which the intervals of error rates rest on{candidates}",
        where=source.path.name,
        remedy=f"Name it with --unit; the columns are {join_names(list(source.sample.columns))}.",
    )


def _check_wishes(source: Source, wishes: ColumnWishes) -> None:
    """Raise ``ConfigError`` for a wish that names no column."""
    known = [*source.sample.columns, *source.sample.bytes_columns]
    for flag, name in wishes.flags:
        if name not in known and f"{RFT_GROUP}{name}" not in known:
            remedy = near(name, known) or (f"The columns are {join_names(known)}." if known else None)
            has_none = "class folders have no columns" if source.kind == "folders" else f"there is no column {name!r}"
            raise ConfigError(has_none, where=flag, remedy=remedy)


def _guess_as_given(name: str | None) -> Guess | None:
    return None if name is None else Guess(name, GIVEN)


def _assign_items(roles: Roles, source: Source, wishes: ColumnWishes) -> None:
    """Find out what an example is; raises ``DataError`` for a table without items or predictions."""
    sample = source.sample
    if source.kind != "table":
        roles.modality = source.files.modality
        roles.item = Guess(source.item_table.column, "") if source.item_table else None
        return
    if wishes.item is not None:
        roles.modality, named = wishes.item
        roles.item = _guess_as_given(named)
        return
    if wishes.prediction is not None or wishes.score is not None:
        roles.modality = "predictions"
        roles.predictions = PredictionColumns(
            prediction=_guess_as_given(wishes.prediction), score=_guess_as_given(wishes.score)
        )
        return
    found = {kind.modality: columns.find_item_column(sample, source.path, kind) for kind in FILE_KINDS.values()}
    held = next(((modality, column) for modality, column in found.items() if column is not None), None)
    if held is not None:
        roles.modality, roles.item = held
    elif (predictions := _find_predictions(sample, wishes.label)) is not None:
        roles.modality, roles.predictions = "predictions", predictions
    elif texts := columns.find_text_columns(sample, [name for _, name in wishes.flags]):
        roles.modality, roles.item = "text", texts[0]
    else:
        raise DataError(
            "no column holds images, texts, recordings or predictions",
            where=source.path.name,
            remedy="Name one with --image, --text, --audio, --prediction or --score; "
            f"the columns are {join_names(list(sample.columns))}.",
        )


def _find_predictions(sample: TableSample, label: str | None) -> PredictionColumns | None:
    """Return the columns of transcripts, or of what a classifier predicted; None where there are neither."""
    transcripts = find_transcript_columns(sample) if label is None else None
    return transcripts or find_prediction_columns(sample, label)


def _assign_split(roles: Roles, source: Source, wishes: ColumnWishes) -> None:
    """Find the column of splits; raises ``ConfigError`` where one is wished for beside folders of splits."""
    if source.split_counts and wishes.split is not None:
        named = join_names([f"{name}/" for name in source.split_counts])
        raise ConfigError(f"the {source.files.many} lie in folders of splits, {named}: leave it out", where="--split")
    needed = {"test"} if roles.modality == "predictions" else {"train", "test"}
    if source.kind != "folders" and not source.split_counts:
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
    people = {guess.value for guess in units if columns.is_of_people(guess.value)}
    taken = roles.taken | people | {*wishes.groups}
    in_table = wishes.label or LABEL in sample.columns or columns.find_called_labels(sample, taken)
    if source.class_counts and not in_table:
        roles.class_counts = source.class_counts
        return
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
        problems = {name: columns.explain_unfit_groups(sample.columns[name]) for name in wishes.groups}
        roles.unfit_groups = tuple(Guess(name, problem) for name, problem in problems.items() if problem)
    else:
        roles.groups = questions.choose_groups(candidates, asker)
    chosen = {guess.value for guess in roles.groups}
    people, unfit, others = (
        tuple(guess for guess in guesses if guess.value not in chosen)
        for guesses in (candidates.people, candidates.unfit, candidates.others)
    )
    roles.other_groups = GroupGuesses(people, unfit, others)
