"""Where ledgers are kept, and whether one still holds what a finished run says of it. Needs no torch."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rft.errors import EvidenceError
from rft.plugins.privacy.ledger import chain
from rft.plugins.privacy.ledger.chain import Anchor, Chain
from rft.plugins.privacy.ledger.disk import make_folder, replace


def ledger_folder(ledger: str | None, relative_to: Path) -> Path:
    """Return the folder of ledgers: the one that is named, or ``ledgers`` in the user's state folder.

    That is ``$RFT_STATE``, else ``rft`` in ``$XDG_STATE_HOME``, else in ``~/.local/state``.
    """
    if ledger is not None:
        return relative_to / Path(ledger).expanduser()
    return _state() / "ledgers"


def _state() -> Path:
    if own := os.environ.get("RFT_STATE"):
        return Path(own)
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "rft"


def witness(key: str, population: str) -> Path:
    """Return the file, apart from all ledgers, that remembers where one stood: who puts back a ledger leaves it be."""
    return _state() / "witnesses" / f"{key}-{population}" / chain.HEAD


def remember(key: str, population: str, anchor: Anchor) -> None:
    """Write down where a ledger stands; raises ``OutputError`` when that cannot be written."""
    path = witness(key, population)
    make_folder(path.parent)
    replace(path, json.dumps(asdict(anchor)).encode())


def check_witness(key: str, found: Chain) -> None:
    """Raise ``EvidenceError`` when a ledger is not, or no longer, what this user's state folder remembers of it."""
    path = witness(key, found.folder.name)
    if not path.is_file():
        return
    try:
        seen = Anchor.of(json.loads(path.read_bytes()))
    except ValueError as error:
        raise EvidenceError("is not the one that was written", where=str(path)) from error
    if not found.holds(seen):
        what = f"has not the {seen.entries} entries that were written to it: an older copy was put back"
        raise EvidenceError(what, where=str(found.folder / chain.ENTRIES), remedy=chain.REMEDY)


def check_anchor(stand: Any, folder: Path) -> str | None:
    """Return a sentence which says that a ledger still holds what a run saw in it; None where it was not found.

    Args:
        stand: what ``evidence.json`` says under ``ledger``: population, entries and head.
        folder: where ledgers are kept.

    Raises:
        EvidenceError: the ledger is damaged, or went back to a state before the run; or ``stand`` says nothing.
    """
    try:
        population, anchor = str(stand["population"]), Anchor.of(stand)
    except (KeyError, TypeError, ValueError) as error:
        raise EvidenceError("what it says of the ledger is not what was written", where="evidence.json") from error
    place = folder / population
    if not (place / chain.ENTRIES).is_file() and not (place / chain.HEAD).is_file():
        return None
    found = chain.read(place)
    if not found.holds(anchor):
        what = f"has not the {anchor.entries} entries that the run saw: an older copy was put back, or it was rewritten"
        raise EvidenceError(what, where=str(place / chain.ENTRIES), remedy=chain.REMEDY)
    return f"The ledger of population {population!r} holds the {anchor.entries} entries that the run saw."
