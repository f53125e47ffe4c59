"""Where ledgers are kept, and whether one still holds what a finished run says of it. Needs no torch."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from rft.errors import EvidenceError
from rft.plugins import EvidenceCheck
from rft.plugins.privacy.ledger import chain
from rft.plugins.privacy.ledger.atomic_io import make_folder, replace_file
from rft.plugins.privacy.ledger.chain import Anchor, Chain
from rft.records import JsonObject
from rft.runtime.state_folder import state_folder

NOT_CHECKED = "The ledger of population {!r} is not in {} and was not checked: name its folder with --ledger."


def ledger_folder(ledger: str | None, relative_to: Path) -> Path:
    """Return the folder of ledgers: the one that is named, or ``ledgers`` in the user's state folder."""
    if ledger is not None:
        return relative_to / Path(ledger).expanduser()
    return state_folder() / "ledgers"


def remembered_anchor_path(key: str, population: str) -> Path:
    """Return the file, apart from all ledgers, that remembers where one stood: who puts back a ledger leaves it be."""
    return _anchors_folder() / f"{key}-{population}" / chain.HEAD_FILE


def _anchors_folder() -> Path:
    return state_folder() / "witnesses"


def remember_anchor(key: str, ledger: Chain) -> None:
    """Write down where a ledger stands, and in which folder; raises ``OutputError`` when that cannot be written."""
    path = remembered_anchor_path(key, ledger.folder.name)
    make_folder(path.parent)
    replace_file(path, json.dumps({**asdict(ledger.anchor), "place": _folder_hash(ledger.folder)}).encode())


def check_remembered_anchor(key: str, ledger: Chain) -> None:
    """Raise ``EvidenceError`` when a ledger is not, or no longer, what this user's state folder remembers of it.

    Args:
        key: fingerprint of the key of its folder, which is a new one where the whole folder is.
        ledger: the ledger, empty where it is about to begin.
    """
    path = remembered_anchor_path(key, ledger.folder.name)
    seen = _read_remembered(path)[0] if path.is_file() else Anchor()
    if not ledger.contains(seen):
        problem = f"has not the {seen.entries} entries that were written to it: an older copy was put back"
        raise EvidenceError(problem, where=str(ledger.folder / chain.ENTRIES_FILE), remedy=chain.REMEDY)
    if ledger.records:
        return
    for path in sorted(_anchors_folder().glob(f"*/{chain.HEAD_FILE}")):
        if path.parent.name.partition("-")[2] == ledger.folder.name and _read_remembered(path)[1] == _folder_hash(
            ledger.folder
        ):
            entries = _read_remembered(path)[0].entries
            problem = f"is gone: {entries} entries were written here, and a new ledger would begin at 0"
            remedy = f"{chain.REMEDY} To count from 0 nevertheless, remove {path}."
            raise EvidenceError(problem, where=str(ledger.folder / chain.ENTRIES_FILE), remedy=remedy)


def count_elsewhere(ledger: Chain) -> int:
    """Return in how many other folders this user's state folder remembers a ledger of the population.

    What was spent there does not count here, unless the folder was moved.
    """
    paths = _anchors_folder().glob(f"*/{chain.HEAD_FILE}")
    places = [_read_remembered(path)[1] for path in paths if path.parent.name.partition("-")[2] == ledger.folder.name]
    return sum(place != _folder_hash(ledger.folder) for place in places)


def _read_remembered(path: Path) -> tuple[Anchor, str | None]:
    """Return where a ledger stood, and the hash of its folder's path."""
    try:
        content = json.loads(path.read_bytes())
        return Anchor.from_mapping(content), content.get("place")
    except ValueError as error:
        raise EvidenceError("is not the one that was written", where=str(path)) from error


def _folder_hash(folder: Path) -> str:
    return hashlib.sha256(str(folder.resolve()).encode()).hexdigest()


def verify_ledger(recorded: JsonObject, folder: Path | None) -> EvidenceCheck:
    """Check whether the ledger of a run still holds what the run saw in it.

    Args:
        recorded: what ``evidence.json`` says of the ledger: population, entries and head.
        folder: where ledgers are kept; None for the user's own folder.

    Raises:
        EvidenceError: the ledger is damaged, went back to a state before the run, or is not in ``folder``.
    """
    place = folder or ledger_folder(None, Path.cwd())
    sentence = check_anchor(recorded, place)
    if sentence is not None:
        return EvidenceCheck(sentence, checked=True)
    population = recorded["population"]
    if folder is not None:
        remedy = "Give the folder of ledgers, as privacy.ledger does: the one that holds a folder a population."
        raise EvidenceError(f"holds no ledger of {population!r}", where=str(folder), remedy=remedy)
    return EvidenceCheck(NOT_CHECKED.format(population, place), checked=False)


def check_anchor(stand: JsonObject, folder: Path) -> str | None:
    """Return a sentence which says that a ledger still holds what a run saw in it; None where it was not found.

    Args:
        stand: what ``evidence.json`` says under ``ledger``: population, entries and head.
        folder: where ledgers are kept.

    Raises:
        EvidenceError: the ledger is damaged, or went back to a state before the run; or ``stand`` says nothing.
    """
    try:
        population, anchor = str(stand["population"]), Anchor.from_mapping(stand)
    except (KeyError, ValueError) as error:
        raise EvidenceError("what it says of the ledger is not what was written", where="evidence.json") from error
    place = folder / population
    if not (place / chain.ENTRIES_FILE).is_file() and not (place / chain.HEAD_FILE).is_file():
        return None
    ledger = chain.read(place)
    if not ledger.contains(anchor):
        problem = (
            f"has not the {anchor.entries} entries that the run saw: an older copy was put back, or it was rewritten"
        )
        raise EvidenceError(problem, where=str(place / chain.ENTRIES_FILE), remedy=chain.REMEDY)
    return f"The ledger of population {population!r} holds the {anchor.entries} entries that the run saw."
