"""The key of a run: what its private files are digested with, which stays with the owner of the data.

A plain hash of a photo, of a short text or of a table of labels is recognised by whoever has the same file or can guess
it. ``evidence.json`` therefore holds keyed digests of them (HMAC with SHA-256: RFC 2104), of their names too. Each run
has a key of its own, so that two released runs do not show which files they share, and a key that is given to an
auditor opens one run alone. It lies in the state folder of the user, never in the run folder.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile

from rft.errors import DataError, EvidenceError
from rft.report.run_folder.atomic_io import OWNER_ONLY, clear_errors, replace_file
from rft.runtime.state_folder import state_folder

ALGORITHM = "HMAC-SHA256"
FORMAT_VERSION = 1
KEYS = "run-keys"  # in the state folder
STATE = "RFT_STATE"
BYTES = 32
_FINGERPRINT = 16  # hex digits by which a key is recognised


@dataclass(frozen=True)
class RunKey:
    """The key of a run, with what its owner needs to find the inputs again.

    Attributes:
        run: id of the run.
        secret: 256 random bits.
        folder: the folder of the config, which inputs are relative to.
        inputs: paths of the inputs, each relative to ``folder`` where it lay in it or was named relative to it.
    """

    run: str
    secret: bytes = field(repr=False)
    folder: Path
    inputs: tuple[str, ...]

    @property
    def fingerprint(self) -> str:
        """What the key is recognised by, and cannot be found out from."""
        return self._keyed_digest("key", self.run)[:_FINGERPRINT]

    def name(self, kind: str, name: str) -> str:
        """Return the keyed digest of the name of an ``input`` or a ``file`` of the run."""
        return self._keyed_digest("name", kind, name)

    def content(self, kind: str, name: str, sha256: str) -> str:
        """Return the keyed digest of a file; two files of the same bytes have two digests."""
        return self._keyed_digest("content", kind, name, sha256)

    def digests(self, kind: str, hashes: dict[str, str]) -> dict[str, str]:
        """Return the digests of files by the digests of their names, given the sha256 of each by its name."""
        return {self.name(kind, name): self.content(kind, name, sha256) for name, sha256 in hashes.items()}

    def _keyed_digest(self, *parts: str) -> str:
        message = json.dumps(parts).encode()  # no two lists of parts have the same message
        return hmac.digest(self.secret, message, "sha256").hex()

    def write(self) -> None:
        """Write the key into the state folder; raises ``OutputError`` when that cannot be written."""
        place = place_of(self.run)
        content = {
            "format_version": FORMAT_VERSION,
            "run": self.run,
            "key": self.secret.hex(),
            "folder": str(self.folder),
            "inputs": list(self.inputs),
        }
        with clear_errors(place, STATE):
            place.parent.mkdir(mode=OWNER_ONLY, parents=True, exist_ok=True)
            replace_file(place, json.dumps(content, ensure_ascii=True, indent=1) + "\n")


def place_of(run: str) -> Path:
    """Return where the key of a run lies; an id that others wrote into a file is no way out of the folder."""
    plain = re.fullmatch(r"[A-Za-z0-9_-]{1,64}", run) is not None
    return state_folder() / KEYS / f"{run if plain else hashlib.sha256(run.encode()).hexdigest()}.json"


def key_for(run: str, folder: Path, inputs: Sequence[str]) -> RunKey:
    """Return the key of a run, a new one unless the run was saved before."""
    place = place_of(run)
    former = read(place) if place.is_file() else None
    secret = former.secret if former else secrets.token_bytes(BYTES)
    return RunKey(run, secret, folder, tuple(dict.fromkeys(inputs)))


def check_storable() -> None:
    """Raise ``OutputError`` when no key could be written; to be asked before the work begins."""
    folder = place_of("").parent
    with clear_errors(folder, STATE):
        folder.mkdir(mode=OWNER_ONLY, parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass


def read(file: Path) -> RunKey:
    """Return the key in a file.

    Raises:
        DataError: it cannot be read, or holds no key of a run.
    """
    remedy = "Give the file that rft audit wrote into run-keys of the state folder."
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        secret = bytes.fromhex(content["key"])
        key = RunKey(content["run"], secret, Path(content["folder"]), tuple(content["inputs"]))
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", where=str(file), remedy=remedy) from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError("is no key of a run", where=str(file), remedy=remedy) from error
    if len(secret) != BYTES or not isinstance(key.run, str):
        raise DataError("is no key of a run", where=str(file), remedy=remedy)
    return key


def find_key(run: str, fingerprint: str, file: Path | None = None) -> RunKey | None:
    """Return the key of a run: the one in ``file``, or in the user's state folder; None where that has none.

    Raises:
        DataError: the file holds no key, or that of another run.
        EvidenceError: the key is the one of this run, but what it is recognised by is not what was written.
    """
    if file is None and not place_of(run).is_file():
        return None
    key = read(file or place_of(run))
    if key.run != run:
        remedy = f"Give the key of this run: {place_of(run).name}."
        raise DataError(f"is the key of run {key.run}, and this is run {run}", where=str(file), remedy=remedy)
    if not hmac.compare_digest(key.fingerprint, fingerprint):
        problem = "was not made with the key of this run: one of the two is not what was written"
        raise EvidenceError(problem, where="evidence.json")
    return key
