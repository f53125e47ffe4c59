"""Accounts on small populations, and a training that notes each step it takes, for the tests of the ledger."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rft.plugins.privacy.accounting.accountants import Mechanism
from rft.plugins.privacy.ledger import chain
from rft.plugins.privacy.ledger.account import Account, finalize_trainings, open_account
from rft.plugins.privacy.ledger.charges import Book, Charge, read_book
from rft.training import Population
from rft.training.privacy_facts import LedgerFacts

MECHANISM = Mechanism(2.0, 0.1, 40)
DELTA = 1e-5
CLINIC = tuple(f"patient {number}" for number in range(30))


def population(folder: Path, name: str = "clinic", unit_ids: tuple[str, ...] = CLINIC) -> Population:
    return Population(name, np.array(unit_ids), folder)


def account(
    folder: Path,
    name: str = "clinic",
    unit_ids: tuple[str, ...] = CLINIC,
    *mechanisms: Mechanism,
    ledger: str | None = "ledgers",
    budget: float | None = None,
    **changes: Any,
) -> AbstractContextManager[Account]:
    asked = {"purpose": "training", "delta": DELTA, "identity": "one plan", "resumable": True, **changes}
    people = population(folder, name, unit_ids)
    return open_account(people, ledger, budget, mechanisms=mechanisms or (MECHANISM,), **asked)


def ledger_facts(account: Account) -> LedgerFacts:
    """Return where the ledger of an account stands, which must have one."""
    facts = account.summarize_ledger()
    assert facts is not None
    return facts


def finish(opened: AbstractContextManager[Account]) -> LedgerFacts:
    """Take all steps of a training; return where its ledger stands then."""
    with opened as account:
        for _ in account.charge_blocks():
            pass
        return ledger_facts(account)


def ledger_of(folder: Path, name: str = "clinic") -> Path:
    return folder / "ledgers" / name


def book_of(folder: Path, name: str = "clinic") -> Book:
    place = ledger_of(folder, name)
    book = read_book(chain.read(place).records, str(place))
    assert book is not None
    return book


def charges_of(folder: Path) -> tuple[Charge, ...]:
    """Return the trainings in the ledger; none where there is no ledger yet."""
    place = ledger_of(folder)
    book = read_book(chain.read(place).records, str(place))
    return book.charges if book else ()


def folder_contents(folder: Path) -> dict[str, bytes]:
    """Return what a folder holds; locks, which are always empty, left out."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def train_slowly(folder: Path, log: Path, identity: str, steps: int, seconds: float) -> None:
    """Train for so many steps of so many seconds, look at the result for as long, and save it.

    Each step is written into the log in the moment in which it sees the data.
    """
    with (
        account(folder, "clinic", CLINIC, Mechanism(2.0, 0.1, steps), identity=identity) as opened,
        log.open("ab", 0) as note,
    ):
        for block in opened.charge_blocks():
            for step in block:
                note.write(f"{identity} {step}\n".encode())
                time.sleep(seconds)
            opened.write_checkpoint({"step": torch.tensor(block.stop)})
    time.sleep(steps * seconds)
    (folder / f"{identity}.saved").touch()
    finalize_trainings(population(folder), "ledgers")
