"""Which column of a table may be what, told from its name and from its cells, each with the reason.

Nothing is decided here that only its user knows: what several columns could be is returned as several guesses.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rft.config.item_files import AUDIO_FILES, FileKind
from rft.data.group_values import explain_amounts
from rft.data.splits import split_named
from rft.errors import DataError
from rft.number_format import format_count
from rft.starter.tables.sample import ColumnSample, TableSample
from rft.starter.tables.words import (
    IDS,
    LABELS,
    SOUNDS,
    TEXTS,
    TRANSCRIPTS,
    UNITS,
    find_attribute,
    find_word,
    is_called,
    rank_by_words,
    split_words,
)

MOST_GROUPS = 20  # values of a column that is proposed: of more, few groups have the 30 test examples that are compared
MOST_CLASSES = 100
SHOWN_VALUES = 6
FREE_TEXT_WORDS = 4  # a mean above which cells are no names of anything
FEWEST_WORDS_SAID = 1.5  # a mean from which cells are what somebody said, and not the names of commands
FILES_LOOKED_FOR = 20
FEWEST_PEOPLE = 5  # values of a column that may say whose data a row is, whatever it is called
MOST_ROWS_OF_PERSON = 20  # on average, of such a column


@dataclass(frozen=True)
class Guess:
    """A column, or what else stands in a config, with the reason for it."""

    value: str
    reason: str


@dataclass(frozen=True)
class GroupGuesses:
    """What columns say of groups.

    Attributes:
        people: columns that speak of people, by name and by cells.
        unfit: columns that do so by name, and why their cells are no groups.
        others: other columns with few values: of a device, a place, or of people under another name.
    """

    people: tuple[Guess, ...]
    unfit: tuple[Guess, ...]
    others: tuple[Guess, ...]


def describe_values(column: ColumnSample) -> str:
    """Return how many values a column has, and the most frequent of them: ``2 values: male (74), female (68)``."""
    frequent = sorted(column.counts.items(), key=lambda entry: -entry[1])[:SHOWN_VALUES]
    shown = ", ".join(f"{value} ({format_count(count)})" for value, count in frequent)
    more = ", ..." if column.distinct > SHOWN_VALUES else ""
    missing = f"; empty in {format_count(column.missing)} rows" if column.missing else ""
    values = "value" if column.distinct == 1 else "values"
    return f"{format_count(column.distinct)} {values}: {shown}{more}{missing}"


def list_naming_columns(sample: TableSample, kind: FileKind) -> list[ColumnSample]:
    """Return the columns whose cells are names of files of a kind, by their suffixes."""
    return [
        column
        for column in sample.columns.values()
        if column.n and all(kind.is_example(value) for value in column.counts)
    ]


def find_item_column(sample: TableSample, table: Path, kind: FileKind) -> Guess | None:
    """Return the column that holds the bytes of files of a kind, or names such files beside the table.

    Bytes are taken for recordings where their column is called after sound, and otherwise for images.

    Raises:
        DataError: a column names such files, and the first of them are not there.
    """
    for name in sample.bytes_columns:
        if (find_word(name, SOUNDS) is not None) == (kind is AUDIO_FILES):
            return Guess(name, f"its cells hold the bytes of {kind.many}")
    naming, folder = list_naming_columns(sample, kind), table.parent
    if not naming:
        return None
    for column in naming:
        first = list(column.counts)[:FILES_LOOKED_FOR]
        if all((folder / name).is_file() for name in first):
            return Guess(
                column.name, f"{format_count(column.distinct)} names of {kind.many}; the first {len(first)} are there"
            )
    missing = next(name for name in naming[0].counts if not (folder / name).is_file())
    raise DataError(
        f"the column {naming[0].name!r} names {kind.many}, and {missing!r} is not there",
        where=table.name,
        remedy="A name is a path relative to the table, or the end of a path in a folder beside it: move the table, or "
        "correct the names.",
    )


def find_text_columns(sample: TableSample, taken: Collection[str]) -> list[Guess]:
    """Return the columns of free text: those that are called after one first, then by the length of their texts."""
    texts = {
        column.name: column
        for column in _free_columns(sample, taken)
        if column.mean_words >= FREE_TEXT_WORDS and column.distinct > column.n / 2
    }
    longest = sorted(texts, key=lambda name: -texts[name].mean_words)
    ranked = rank_by_words(longest, TEXTS)
    ordered = [*ranked, *(name for name in longest if name not in ranked)]
    return [Guess(name, f"free text, {texts[name].mean_words:.0f} words on average") for name in ordered]


def find_transcript_column(sample: TableSample, taken: Collection[str]) -> Guess | None:
    """Return the column of what is said in recordings, by its name and by its cells; None where none is plainly that.

    Single words that repeat may be classes: then a column is none. Nor is it where another is called after labels.
    """
    if find_called_labels(sample, taken):
        return None
    columns = {column.name: column for column in _free_columns(sample, taken) if _may_be_said(column)}
    named = rank_by_words(columns, TRANSCRIPTS)
    if not named:
        return None
    column = columns[named[0]]
    words = f"{column.mean_words:.1f} words on average, {_count_values(column)}"
    return Guess(named[0], f"what is said in each recording: called after it, {words}")


def _may_be_said(column: ColumnSample) -> bool:
    """Tell whether cells are texts, and not a few words that stand for classes."""
    return column.numbers is None and (column.mean_words >= FEWEST_WORDS_SAID or column.distinct > MOST_CLASSES)


def find_split_column(sample: TableSample, taken: Collection[str], *, needed: Collection[str]) -> Guess | None:
    """Return the column whose every cell names a split, the ``needed`` ones among them."""
    for column in _free_columns(sample, taken):
        read = {value: split_named(value) for value in column.counts}
        if not column.missing and read and None not in read.values() and {*needed} <= {*read.values()}:
            return Guess(column.name, describe_values(column))
    return None


def find_unit_columns(sample: TableSample, taken: Collection[str]) -> list[Guess]:
    """Return the columns that may say whose data a row is: values repeat, and there are many of them.

    Those whose name is that of people come first, then those called after an id, then the others.
    """
    columns = {column.name: column for column in _free_columns(sample, taken)}
    fitting = [
        name
        for name, column in columns.items()
        if column.repeats and column.distinct > 2 and not column.missing and column.mean_words < FREE_TEXT_WORDS
    ]
    people = rank_by_words(fitting, UNITS)
    ids = [name for name in fitting if name not in people and find_word(name, ("id", "uuid", "guid"))]
    others = [name for name in fitting if name not in (*people, *ids) and _may_name_people(columns[name])]
    return [Guess(name, f"{_count_values(columns[name])}, so that values repeat") for name in [*people, *ids, *others]]


def _may_name_people(column: ColumnSample) -> bool:
    """Tell whether a column under any name has so many values that each may stand for somebody with a few rows."""
    many = column.distinct >= FEWEST_PEOPLE and column.distinct * MOST_ROWS_OF_PERSON >= column.n
    return many and find_attribute(column.name) is None and not _holds_decimals(column)


def is_of_people(name: str) -> bool:
    """Tell whether a column is called after people, as far as ``UNITS`` knows."""
    return find_word(name, UNITS) is not None


def find_id_column(sample: TableSample, taken: Collection[str]) -> Guess | None:
    """Return the column that names each row: an id by name, without a value that is missing or stands twice."""
    columns = {column.name: column for column in _free_columns(sample, taken)}
    for name in rank_by_words(columns, IDS):
        column = columns[name]
        if sample.whole and len(split_words(name)) <= 2 and not column.missing and not column.repeats:
            return Guess(name, f"{format_count(column.distinct)} values, none of which stands twice")
    return None


def find_called_labels(sample: TableSample, taken: Collection[str]) -> list[Guess]:
    """Return the columns with few values whose name can hardly mean anything but labels, best first."""
    columns = {column.name: column for column in _free_columns(sample, taken) if _has_few_values(column, MOST_CLASSES)}
    called = rank_by_words([name for name in columns if is_called(name, LABELS)], LABELS)
    return [Guess(name, f"called after a label, {describe_values(columns[name])}") for name in called]


def find_label_columns(sample: TableSample, taken: Collection[str]) -> list[Guess]:
    """Return the columns that may hold labels: those that are called so, or all with few values that are no people's.

    One guess is certain enough to go on with; several are for the user to choose from.
    """
    if called := find_called_labels(sample, taken):
        return called
    columns = [column for column in _free_columns(sample, taken) if _has_few_values(column, MOST_CLASSES)]
    others = [column for column in columns if find_attribute(column.name) is None]
    only = "the only column with few values that speaks of no people, " if len(others) == 1 else ""
    return [Guess(column.name, f"{only}{describe_values(column)}") for column in others]


def find_groups(sample: TableSample, taken: Collection[str]) -> GroupGuesses:
    """Return which columns name groups, which cannot as they stand, and which others have few values."""
    people, unfit, others = [], [], []
    for column in _free_columns(sample, taken):
        attribute = find_attribute(column.name)
        problem = explain_unfit_groups(column)
        if attribute is None:
            if problem is None:
                others.append(Guess(column.name, describe_values(column)))
        elif problem is None:
            people.append(Guess(column.name, f"{attribute[0]}, {describe_values(column)}"))
        else:
            unfit.append(Guess(column.name, problem))
    return GroupGuesses(tuple(people), tuple(unfit), tuple(others))


def explain_unfit_groups(column: ColumnSample) -> str | None:
    """Return why the cells of a column are no groups that could be compared, or None."""
    if column.distinct < 2:
        return "one value alone" if column.distinct else "no value at all"
    if column.mean_words >= FREE_TEXT_WORDS:
        return "free text"
    if column.numbers is not None:
        numbers = {number for number in column.numbers.tolist() if number == number}
        if (amounts := explain_amounts(numbers)) is not None:
            return amounts
    if not _has_few_values(column, MOST_GROUPS):
        return f"{_count_values(column)}, too many to be compared; join them into fewer"
    return None


def _count_values(column: ColumnSample) -> str:
    return f"{format_count(column.distinct)} values in {format_count(column.n)} rows"


def _has_few_values(column: ColumnSample, most: int) -> bool:
    """Tell whether values are so few, and repeat so often, that they name classes or groups."""
    short = column.mean_words < FREE_TEXT_WORDS
    few = 2 <= column.distinct <= min(most, column.n / 2)
    return short and few and not _holds_decimals(column) and not _names_splits(column)


def _names_splits(column: ColumnSample) -> bool:
    """Tell whether every cell names a split: a table may bring more than one way to part it."""
    return all(split_named(value) is not None for value in column.counts)


def _holds_decimals(column: ColumnSample) -> bool:
    """Tell whether any cell is a number with a fraction: a measurement, and the name of nothing."""
    cells = column.numbers
    return cells is not None and bool(np.any(np.nan_to_num(cells) % 1))


def _free_columns(sample: TableSample, taken: Iterable[str]) -> list[ColumnSample]:
    used = set(taken)
    return [column for name, column in sample.columns.items() if name not in used]
