"""Where ledgers are kept, and whether one still holds what a finished run says of it. Needs no torch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from rft.errors import EvidenceError
from rft.plugins.privacy.ledger import chain
from rft.plugins.privacy.ledger.chain import Anchor


def ledger_folder(ledger: str | None, relative_to: Path) -> Path:
    """Return the folder of ledgers: the one that is named, or ``ledgers`` in the user's state folder.

    That is ``$RFT_STATE``, else ``rft`` in ``$XDG_STATE_HOME``, else in ``~/.local/state``.
    """
    if ledger is not None:
        return relative_to / Path(ledger).expanduser()
    if own := os.environ.get("RFT_STATE"):
        return Path(own) / "ledgers"
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "rft" / "ledgers"


def check_anchor(stand: Any, folder: Path) -> str:
    """Return a sentence which says that a ledger still holds what a run saw in it, or that it was not found.

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
        return f"The ledger of population {population!r} is not in {folder}: it was not checked."
    found = chain.read(place)
    if not found.holds(anchor):
        what = f"has not the {anchor.entries} entries that the run saw: an older copy was put back, or it was rewritten"
        raise EvidenceError(what, where=str(place / chain.ENTRIES), remedy=chain.REMEDY)
    return f"The ledger of population {population!r} holds the {anchor.entries} entries that the run saw."
