"""What training spends on a population is recorded before it is spent, so that no kill and no further run hides it.

A folder holds a key and, for each population, a ledger. Steps are charged in blocks: the entry of a block stands on the
disk before its first step is taken. A training that was killed goes on at its last checkpoint, and the block that was
interrupted is charged again, since its steps saw the data. The last checkpoint stands until the result is saved
(``finalize_trainings``): a run that is killed while it is audited costs nothing more.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Protocol

from torch import Tensor

from rft.errors import EvidenceError
from rft.plugins.privacy.accounting import accountants
from rft.plugins.privacy.accounting.accountants import Mechanism
from rft.plugins.privacy.ledger import budget_check, chain, checkpoints, unit_hashes
from rft.plugins.privacy.ledger.atomic_io import hold_lock, make_folder
from rft.plugins.privacy.ledger.chain import Chain
from rft.plugins.privacy.ledger.charges import BlockEntry, Book, Charge, FinishedEntry, read_book
from rft.plugins.privacy.ledger.checkpoints import Checkpoint
from rft.plugins.privacy.ledger.ledger_anchor import (
    check_remembered_anchor,
    count_elsewhere,
    ledger_folder,
    remember_anchor,
)
from rft.records import Row
from rft.runtime.patience import try_until_free
from rft.training import Population
from rft.training.privacy_facts import LedgerFacts

Purpose = Literal["training", "frontier", "canaries"]

MIN_BLOCKS = 20  # of a training, at least: a kill costs at most 5 % of its steps
LOCK_PATIENCE = 60.0  # seconds to wait while another training is being admitted
LOCK_FILE = ".lock"  # no population begins with a dot
Resumed = tuple[int, Mapping[str, Tensor]]  # steps that an interrupted training had taken, and its tensors
PROCESS_ID = secrets.token_hex(8)


class Account(Protocol):
    """What a training is charged to.

    Attributes:
        resumed: steps that an interrupted training had taken, and its tensors; None at the start.
    """

    resumed: Resumed | None

    def charge_blocks(self) -> Iterator[range]:
        """Yield the steps to take, a block at a time, each charged before it is yielded; raises ``OutputError``."""

    def write_checkpoint(self, tensors: Mapping[str, Tensor]) -> None:
        """Keep the state after the last block, where the training can be resumed; raises ``OutputError``."""

    def summarize_ledger(self) -> LedgerFacts | None:
        """Return where the ledger stands; nothing where there is none."""


@dataclass
class UnrecordedAccount:
    """The account of a training that nobody is charged for, or that another process keeps: one block, not written."""

    steps: int
    resumed: Resumed | None = None

    def charge_blocks(self) -> Iterator[range]:
        """Yield all steps that are left."""
        yield range(self.resumed[0] if self.resumed else 0, self.steps)

    def write_checkpoint(self, tensors: Mapping[str, Tensor]) -> None:
        """Do nothing."""

    def summarize_ledger(self) -> LedgerFacts | None:
        """Return nothing."""
        return None


@dataclass
class RecordedAccount:
    """The account of a training in the ledger of its population, whose lock is held.

    Attributes:
        ledger: the entries.
        book: what they said when the training was admitted; without this training.
        charge: this training, with what it was charged so far.
        others: what overlapping populations spent, by name.
        resumable: whether checkpoints are kept.
        resumed: steps taken before, and tensors.
    """

    ledger: Chain
    book: Book
    charge: Charge
    others: Mapping[str, Book]
    resumable: bool
    resumed: Resumed | None = None

    def charge_blocks(self) -> Iterator[range]:
        """Yield the steps that are left, at most 5 % of all at a time, one at least."""
        start, planned = self.resumed[0] if self.resumed else 0, self.charge.planned
        size = max(1, planned // MIN_BLOCKS)
        for first in range(start, planned, size):
            block = range(first, min(first + size, planned))
            entry = BlockEntry(id=self.charge.id, first=block.start, stop=block.stop)
            self.ledger.append(entry.model_dump(mode="json"))
            self.charge = replace(self.charge, blocks=(*self.charge.blocks, block))
            yield block

    def write_checkpoint(self, tensors: Mapping[str, Tensor]) -> None:
        """Keep the state after the last block; nothing where the training cannot be resumed."""
        if self.resumable:
            step = self.charge.blocks[-1].stop
            Checkpoint(self.charge.id, step, self.ledger.anchor, tensors).write(self.ledger.folder)

    def close(self) -> None:
        """Note that the training was finished, and by whom."""
        self.ledger.append(FinishedEntry(id=self.charge.id, process=this_process()).model_dump(mode="json"))
        remember_anchor(self.book.key, self.ledger)

    def summarize_ledger(self) -> LedgerFacts | None:
        """Return where the ledger stands, and what the population has spent, by this training and all before it."""
        charges = [(self.book.population, charge) for charge in (*self.book.charges, self.charge)]
        charges += [(name, charge) for name, book in self.others.items() for charge in book.charges]
        spent = accountants.composed_spending(
            [mechanism for _, charge in charges for mechanism in charge.charged_mechanisms()], self.book.delta
        )
        budget = self.book.budget
        return LedgerFacts(
            population=self.book.population,
            **vars(self.ledger.anchor),
            purpose=self.charge.purpose,
            planned_steps=self.charge.planned,
            charged_steps=self.charge.charged,
            resumed_at=self.resumed[0] if self.resumed else 0,
            interruptions=self.charge.interruptions,
            units=len(self.book.unit_hashes),
            overlaps=tuple(sorted(self.others)),
            delta=self.book.delta,
            epsilon=spent.epsilon,
            accountant=spent.accountant,
            budget=budget,
            remaining=None if budget is None else max(0.0, budget - spent.epsilon),
            elsewhere=self.charge.elsewhere,
            seeded=sum(charge.randomness != "secret" for _, charge in charges),
            trainings=[
                _training_row(population, charge, here=charge is self.charge or charge.finished_by == this_process())
                for population, charge in charges
            ],
        )


def _training_row(population: str, charge: Charge, *, here: bool) -> Row:
    """Return what is said of a training; ``here``: by this process, whose times stand in ``run.volatile`` alone.

    When others began is no time of this run: it is what the ledger held before, as the data of the run is.
    """
    return {
        "trained": "in this process" if here else charge.started,
        "population": population,
        "purpose": charge.purpose,
        "heads": len(charge.mechanisms),
        "noise_multiplier": min(mechanism.noise_multiplier for mechanism in charge.mechanisms),
        "largest_noise_multiplier": max(mechanism.noise_multiplier for mechanism in charge.mechanisms),
        "sample_rate": max(mechanism.sample_rate for mechanism in charge.mechanisms),
        "randomness": charge.randomness,
        "steps": charge.planned,
        "charged_steps": charge.charged,
        "interruptions": charge.interruptions,
    }


@contextmanager
def open_account(
    population: Population | None,
    ledger: str | None,
    budget: float | None,
    *,
    purpose: Purpose,
    mechanisms: Sequence[Mechanism],
    delta: float,
    identity: str,
    resumable: bool,
    randomness: str = "secret",
    overlaps: Sequence[str] = (),
) -> Iterator[Account]:
    """Open the account of a training, or of several heads that take their steps together.

    After an error inside the block, or a kill before ``finalize_trainings``, whoever opens an account for the same
    purpose, identity and mechanisms goes on with the training.

    Args:
        population: whose data it is; None records nothing.
        ledger: folder of ledgers; None: the user's (see ``ledger_folder``).
        budget: epsilon that all trainings on the population may spend; fixed by the first, None later keeps it.
        purpose: what it is for.
        mechanisms: one a head.
        delta: of the training; the first one's is the ledger's.
        identity: hash of everything that the result follows from: plan, recipe, data.
        resumable: whether it can go on from a checkpoint.
        randomness: ``secret`` or ``seeded``, where samples and noise come from.
        overlaps: other populations that share people with this one, whose spending counts here too.

    Raises:
        ConfigError: another population, another budget, or too little of it is left; nothing was recorded.
        BusyError: another training uses the ledger, for longer than ``allow_waiting`` allows.
        OutputError: the ledger cannot be written.
        EvidenceError: the ledger, its key or a checkpoint is missing, or is not the one that was written.
    """
    charge = Charge(secrets.token_hex(8), purpose, identity, _utc_now(), tuple(mechanisms), randomness=randomness)
    if population is None:
        yield UnrecordedAccount(charge.planned)
        return
    root = ledger_folder(ledger, population.folder)
    terms = AccountTerms(delta, budget, tuple(overlaps), resumable)
    make_folder(root)
    held, account = try_until_free(lambda: _hold_and_admit(root, population, charge, terms))
    with held:
        yield account
        account.close()


@dataclass(frozen=True)
class AccountTerms:
    """What a training asks of the ledger; as in ``open_account``."""

    delta: float
    budget: float | None
    overlaps: tuple[str, ...]
    resumable: bool


def _hold_and_admit(
    root: Path, population: Population, charge: Charge, terms: AccountTerms
) -> tuple[ExitStack, RecordedAccount]:
    """Return the locks of the populations, held, and the account of a training; raises ``BusyError`` holding none.

    Nobody waits for a population with the lock of the folder in hand: the training that has it may need that to go on.
    """
    with ExitStack() as held:
        with hold_lock(root / LOCK_FILE, patience=LOCK_PATIENCE):
            make_folder(root / population.name)
            for name in sorted({population.name, *terms.overlaps}):
                if (root / name).is_dir():  # otherwise refused in a moment
                    held.enter_context(hold_lock(root / name / LOCK_FILE))
            account = _admit_training(root, population, charge, terms)
        return held.pop_all(), account


def _admit_training(root: Path, population: Population, charge: Charge, terms: AccountTerms) -> RecordedAccount:
    """Return the account of a training when nothing speaks against it; only then is anything recorded."""
    ledgers, books = read_ledgers(root)
    key = unit_hashes.read_or_make_key(root, needed=bool(books))
    hashes = unit_hashes.hash_units(population.unit_ids, key)
    known = books.get(population.name)
    book, others = check_terms(ledgers, books, population.name, key, hashes, terms)
    ledger = ledgers[population.name]
    charge = replace(charge, elsewhere=sum(count_elsewhere(ledgers[name]) for name in (population.name, *others)))
    states = _read_checkpoints(ledger)
    if terms.resumable and hashes <= book.unit_hashes:  # with someone new it is another data set
        charge = _resumed_charge(book, charge, states)
    state = states.get(charge.id)
    budget_check.check_affordable(book, others, charge.remaining_mechanisms(state.step if state else 0), charge.purpose)
    if known is None:
        ledger.append(book.first_entry().model_dump(mode="json"))
    if charge not in book.charges:
        ledger.append(charge.first_entry(hashes - book.unit_hashes).model_dump(mode="json"))
    before = tuple(earlier for earlier in book.charges if earlier.id != charge.id)
    book = replace(book, unit_hashes=book.unit_hashes | hashes, charges=before)
    resumed = (state.step, state.tensors) if state else None
    return RecordedAccount(ledger, book, charge, others, terms.resumable, resumed)


def read_ledgers(root: Path) -> tuple[dict[str, Chain], dict[str, Book]]:
    """Return the entries in each folder of a folder of ledgers, and what they say where there are any."""
    ledgers = {place.name: chain.read(place) for place in root.iterdir() if place.is_dir()}
    books = {name: read_book(ledger.records, str(ledger.folder)) for name, ledger in ledgers.items()}
    return ledgers, {name: book for name, book in books.items() if book is not None}


def check_terms(
    ledgers: Mapping[str, Chain],
    books: Mapping[str, Book],
    population: str,
    key: bytes,
    hashes: frozenset[str],
    terms: AccountTerms,
) -> tuple[Book, dict[str, Book]]:
    """Return the book of a population, a new one where there is none, and those of others that count as well.

    Args:
        ledgers, books: as ``read_ledgers`` returns them.
        population: the name of its folder.
        key: that of ``hashes``, the units of the training.
        hashes: hashes of the units.
        terms: what the training asks of the ledger.

    Raises:
        ConfigError: another population, another budget, or others with people in common that were not named.
        EvidenceError: a ledger or its key is not the one that was written.
    """
    new = Book(population, unit_hashes.key_fingerprint(key), terms.delta, terms.budget)
    book = books.get(population, new)
    budget_check.check_units(book, population, key, hashes)
    budget_check.check_delta(book.delta, len(hashes | book.unit_hashes), population)
    budget_check.check_budget(book, terms.budget)
    elsewhere = {name: other_book for name, other_book in books.items() if name != population}
    others = budget_check.overlapping_books(elsewhere, hashes | book.unit_hashes, terms.overlaps, population)
    for name in (population, *others):
        check_remembered_anchor(book.key, ledgers[name])
    return book, others


def _read_checkpoints(ledger: Chain) -> dict[str, Checkpoint]:
    """Return the checkpoints of a ledger by the training they are of. Each of them is an anchor of the ledger.

    Raises:
        EvidenceError: a checkpoint is damaged, or knows entries that the ledger does not have.
    """
    found_checkpoints = [checkpoints.read_checkpoint(path) for path in sorted(ledger.folder.glob("*.safetensors"))]
    for checkpoint in found_checkpoints:
        if not ledger.contains(checkpoint.anchor):
            problem = (
                f"has not the {checkpoint.anchor.entries} entries that a checkpoint saw: an older copy was put back"
            )
            raise EvidenceError(problem, where=str(ledger.folder / chain.ENTRIES_FILE), remedy=chain.REMEDY)
    return {checkpoint.charge: checkpoint for checkpoint in found_checkpoints}


def _resumed_charge(book: Book, charge: Charge, states: Mapping[str, Checkpoint]) -> Charge:
    """Return the training that this one goes on with, or itself.

    Whatever was not finished goes on, and what was finished by a process that did not save it. When this process
    finished the same before, another one is wanted.
    """
    for candidate in reversed(book.charges):
        lost = candidate.finished_by != this_process() and candidate.id in states
        if candidate.is_like(charge) and (candidate.finished_by is None or lost):
            return candidate
    return charge


def finalize_trainings(population: Population | None, ledger: str | None) -> None:
    """Remove the checkpoints of what this process trained on a population, when the results are saved elsewhere.

    Args:
        population, ledger: as in ``open_account``.

    Raises:
        OutputError: the folder cannot be written.
        EvidenceError: the ledger is not the one that was written.
    """
    if population is None:
        return
    folder = ledger_folder(ledger, population.folder) / population.name
    book = read_book(chain.read(folder).records, str(folder))
    for charge in book.charges if book else ():
        if charge.finished_by == this_process():
            checkpoints.remove_checkpoint(folder, charge.id)


def this_process() -> str:
    """Return what tells this process from all others, those that it was forked from included."""
    return f"{PROCESS_ID}-{os.getpid()}"


def _utc_now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
