"""What only the user knows: asked for where somebody is there to answer, and otherwise an error that names the flag."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from rft.data.remarks import join_names
from rft.errors import ConfigError, DataError, near
from rft.number_format import format_count
from rft.starter.tables.columns import GroupGuesses, Guess, is_of_people


class Asker(Protocol):
    """Asks the user on a terminal; the answer is one of the options, or nothing."""

    def choose_one(
        self, question: str, options: Sequence[Guess], *, default: str | None, none: str | None
    ) -> str | None:
        """Return the option that was chosen; None for the answer that ``none`` stands for, where it may be given."""

    def choose_several(self, question: str, options: Sequence[Guess], *, default: Sequence[str]) -> tuple[str, ...]:
        """Return the options that were chosen, in their order; nothing is an answer, too."""

    def enter_text(self, question: str, *, default: str) -> str:
        """Return what was typed; ``default`` for nothing."""


ANSWERED = "as you answered"
NO_UNIT = "nobody said whose data a row is"  # begins what is said where there is no unit


def choose_label(guesses: Sequence[Guess], columns: Sequence[str], asker: Asker | None) -> Guess:
    """Return the column of labels; raises ``DataError`` where it is not certain and nobody can be asked."""
    if len(guesses) == 1:
        return guesses[0]
    if asker is None:
        candidates = join_names([f"{guess.value} ({guess.reason})" for guess in guesses])
        problem = f"which column holds the labels? Only you know; {len(guesses)} could: {candidates}"
        raise DataError(
            problem if guesses else "no column looks like labels",
            where="--label",
            remedy=f"Name the column with --label; the columns are {join_names(list(columns))}.",
        )
    options = [*guesses] or [Guess(name, "") for name in columns]
    chosen = asker.choose_one("Which column holds the label that the model learns?", options, default=None, none=None)
    return next(
        Guess(guess.value, ", ".join(filter(None, [ANSWERED, guess.reason])))
        for guess in options
        if guess.value == chosen
    )


def choose_unit(guesses: Sequence[Guess], asker: Asker | None) -> tuple[Guess | None, str]:
    """Return the column that says whose data a row is, or None with why there is none.

    Without an answer it is the one that is called after people, where there is one alone.
    """
    people = [guess for guess in guesses if is_of_people(guess.value)]
    default = people[0] if len(people) == 1 else None
    if asker is None or not guesses:
        return default, "" if default else _why_no_unit(guesses)
    chosen = asker.choose_one(
        "Whose data is a row? The column that names the person, patient or speaker:",
        guesses,
        default=default.value if default else None,
        none="every row is another's",
    )
    answer = next((guess for guess in guesses if guess.value == chosen), None)
    if answer is None:
        return None, f"every row is another's, {ANSWERED}"
    return Guess(answer.value, f"{ANSWERED}: {answer.reason}"), ""


def _why_no_unit(guesses: Sequence[Guess]) -> str:
    """Return that nobody said whose data a row is, and what follows from it."""
    candidates = f", which {join_names([guess.value for guess in guesses])} could be" if guesses else ""
    return (
        f"{NO_UNIT} (unit{candidates}): each row counts as another person's. Where several are of "
        "one person, they may lie on both sides of the split, intervals are too narrow, and privacy is that of a row"
    )


def choose_groups(groups: GroupGuesses, asker: Asker | None) -> tuple[Guess, ...]:
    """Return the columns whose groups are compared; without an answer those that speak of people."""
    options = [*groups.people, *groups.others]
    if asker is None or not options:
        return groups.people
    chosen = asker.choose_several(
        "Which columns name groups that the model should treat alike?",
        options,
        default=[guess.value for guess in groups.people],
    )
    return tuple(guess for guess in options if guess.value in chosen)


def choose_positive(
    wish: str | None,
    class_counts: Mapping[str, int],
    needed_for: str | None,
    asker: Asker | None,
    *,
    must: bool,
    whole: bool,
) -> Guess | None:
    """Return the favourable class, which is never guessed.

    Args:
        wish: what the user said beforehand.
        class_counts: label -> rows.
        needed_for: what makes use of it; None where nothing does.
        asker: asks the user; None: nobody is there.
        must: whether nothing can be written without it.
        whole: whether ``class_counts`` has all classes, and not those of the first rows alone.

    Raises:
        ConfigError: the wish is no class, or it must be known and is not.
    """
    classes = list(class_counts)
    if wish is not None:
        if whole and wish not in class_counts:
            remedy = near(wish, classes) or f"The labels are {join_names(classes)}."
            raise ConfigError(f"{wish!r} is no label", where="--positive", remedy=remedy)
        return Guess(wish, "the favourable outcome, as it was asked for")
    if needed_for is None:
        return None
    if asker is not None:
        chosen = asker.choose_one(
            "Which class is the favourable outcome (granted, hired, healthy)?",
            [Guess(name, f"{format_count(count)} rows") for name, count in class_counts.items()],
            default=None,
            none=None if must else "none is: leave fairness out",
        )
        return None if chosen is None else Guess(chosen, f"the favourable outcome, {ANSWERED}")
    if must:
        remedy = f"Add --positive with one of the labels: {join_names(classes)}."
        raise ConfigError(
            f"{needed_for} needs the favourable class, which is never guessed", where="--positive", remedy=remedy
        )
    return None


def choose_classes(wish: Sequence[str], class_counts: Mapping[str, int], asker: Asker | None) -> tuple[str, ...]:
    """Return all classes of the task, for private training, whose model shows them.

    Raises:
        ConfigError: they were not said, and nobody can be asked: read off the labels, they would tell of the data.
    """
    if wish:
        return tuple(wish)
    if asker is None:
        raise ConfigError(
            "private training needs all classes of the task, known without the data, since the model shows them",
            where="--class",
            remedy="Add --class NAME for each of them.",
        )
    answer = asker.enter_text(
        "All classes of the task, known without the data, separated by commas:", default=", ".join(class_counts)
    )
    return tuple(name.strip() for name in answer.split(",") if name.strip())
