"""Whether a training may be charged to a ledger: the same people, the same budget, and enough of it left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rft.errors import ConfigError, EvidenceError, near
from rft.plugins.privacy.accounting.accountants import Mechanism, composed_spending
from rft.plugins.privacy.ledger import unit_hashes
from rft.plugins.privacy.ledger.charges import Book

ROUNDING = 1e-9


def check_units(book: Book, name: str, key: bytes, hashes: frozenset[str]) -> None:
    """Raise ``ConfigError`` when a ledger is not that of these people, ``EvidenceError`` when its key is another one.

    They may have become more or fewer, but one at least must be known, or else the name was taken by others.
    """
    if book.population != name:
        problem = f"the ledger in the folder {name!r} is that of another population, {book.population!r}"
        raise ConfigError(
            problem, where="data.population", remedy=f"Give its folder the name {book.population!r} again."
        )
    if book.key != unit_hashes.key_fingerprint(key):
        problem = f"the key is not the one that the ledger of {name!r} was begun with: its people cannot be recognised"
        raise EvidenceError(problem, where=unit_hashes.KEY_FILE, remedy="Put the key back from a copy of the folder.")
    if book.unit_hashes and not book.unit_hashes & hashes:
        raise ConfigError(
            f"the ledger of {name!r} is that of another population: it knows {len(book.unit_hashes):,} units "
            f"and none of these {len(hashes):,}",
            where="data.population",
            remedy="Give these people a name of their own, or name them by the column (data.unit) that was used before"
            " if they are the same.",
        )


def check_delta(delta: float, n_units: int, population: str) -> None:
    """Raise ``ConfigError`` for a delta at which the spending on so many units would add up to nothing of value.

    A ledger keeps the delta of its first training, and its population may have grown since.
    """
    if delta >= 1 / n_units:
        raise ConfigError(
            f"the ledger of {population!r} adds up at the delta of its first training, {delta:g}, which is not below "
            f"1 / {n_units:,}, one over the number of units: to publish one of them outright would count "
            "as private",
            where="privacy.delta",
            remedy="For a ledger that is to begin, leave delta out. Where one exists, begin another under a new "
            f'data.population, with overlaps = ["{population}"] in [privacy].',
        )


def check_budget(book: Book, budget: float | None) -> None:
    """Raise ``ConfigError`` for another budget than the first training fixed."""
    if budget is None or budget == book.budget:
        return
    first = "no budget" if book.budget is None else f"a budget of {book.budget:g}"
    raise ConfigError(
        f"{budget:g} is not what was fixed: the first training on {book.population!r} set {first}",
        where="privacy.budget",
        remedy="Leave it out: the first one stays in force. A budget that can be raised later is none.",
    )


def overlapping_books(
    books: Mapping[str, Book], hashes: frozenset[str], overlaps: Sequence[str], population: str
) -> dict[str, Book]:
    """Return the ledgers of other populations whose spending counts for these people as well.

    Raises:
        ConfigError: one shares people with these and is not named in ``overlaps``, or a named one does not exist.
    """
    for name in overlaps:
        if name == population:
            raise ConfigError(
                f"{name!r} is the population itself, and counts already", where="privacy.overlaps", remedy="Remove it."
            )
        if name not in books:
            remedy = near(name, list(books)) or f"Known here: {', '.join(sorted(books)) or 'none'}."
            raise ConfigError(f"no other population {name!r} has a ledger", where="privacy.overlaps", remedy=remedy)
    for name, book in books.items():
        common = len(book.unit_hashes & hashes)
        if common and name not in overlaps:
            raise ConfigError(
                f"{common:,} of the {len(hashes):,} units are in population {name!r} too, whose spending "
                "would not count",
                where="data.population",
                remedy=f'Add overlaps = ["{name}"] to [privacy] to count both. If they only have the same names, keep '
                "the ledgers in different folders with privacy.ledger.",
            )
    return {name: books[name] for name in overlaps}


def check_affordable(book: Book, others: Mapping[str, Book], more: Sequence[Mechanism], purpose: str) -> None:
    """Raise ``ConfigError`` when ``more`` would spend more than the budget of a population that it is charged to."""
    concerned = [book, *others.values()]
    spent = [mechanism for charged_book in concerned for mechanism in charged_book.charged_mechanisms()]
    for charged_book in concerned:
        if charged_book.budget is None:
            continue
        total = composed_spending([*spent, *more], charged_book.delta).epsilon
        if total > charged_book.budget * (1 + ROUNDING):
            before = composed_spending(spent, charged_book.delta).epsilon
            raise ConfigError(
                f"the budget of population {charged_book.population!r} does not suffice: {before:.4g} of "
                f"{charged_book.budget:g} are spent, and with the {purpose} of this run it would be {total:.4g} (at "
                f"delta {charged_book.delta:.2g})",
                where="privacy.budget",
                remedy="Train with a smaller epsilon or, when it is all spent, no more on these people.",
            )
