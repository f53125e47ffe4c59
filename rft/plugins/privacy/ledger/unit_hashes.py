"""Whose data a population is, as far as a ledger may know: keyed hashes of names, with a key that stays in its folder.

Without the key nobody can find out, by trying names, who is in the data. With it, someone can.
"""

from __future__ import annotations

import hmac
import secrets
from pathlib import Path

import numpy as np

from rft.errors import EvidenceError
from rft.plugins.privacy.ledger.atomic_io import clear_errors, replace_file, sync_folder

KEY_FILE = ".key"  # no population begins with a dot
HASH_LENGTH = (
    16  # hex digits of a hash: of two times a million people two are mistaken for one with a probability of 5e-8
)


def read_or_make_key(folder: Path, *, needed: bool) -> bytes:
    """Return the key of a folder of ledgers, made where there is none yet.

    Args:
        folder: where ledgers are kept.
        needed: whether hashes by this key exist, so that a new one would be of no use.

    Raises:
        EvidenceError: the key is missing or damaged.
    """
    path = folder / KEY_FILE
    with clear_errors(path):
        text = path.read_bytes() if path.exists() else None
    if text is None and not needed:
        key = secrets.token_bytes(32)
        replace_file(path, key.hex().encode())
        sync_folder(folder)
        return key
    remedy = "Put the key back from a copy of the folder: without it nobody can tell whether these are the same people."
    if text is None:
        raise EvidenceError("the key of the ledgers is missing", where=str(path), remedy=remedy)
    try:
        key = bytes.fromhex(text.decode())
    except ValueError:
        key = b""
    if len(key) != 32:
        raise EvidenceError("is not the key that was written", where=str(path), remedy=remedy)
    return key


def key_fingerprint(key: bytes) -> str:
    """Return what a key is recognised by, and cannot be found out from."""
    return hmac.digest(key, b"rft ledger key", "sha256").hex()[:HASH_LENGTH]


def hash_units(unit_ids: np.ndarray, key: bytes) -> frozenset[str]:
    """Return the keyed hashes (HMAC with SHA-256) of (N,) names."""
    return frozenset(
        hmac.digest(key, str(unit_id).encode(), "sha256").hex()[:HASH_LENGTH] for unit_id in unit_ids.tolist()
    )


def pack_hashes(hashes: frozenset[str]) -> str:
    """Return hashes as one string, in an order that tells nothing of the order of the data."""
    return "".join(sorted(hashes))


def unpack_hashes(text: str) -> frozenset[str]:
    """Return the hashes of a string of them."""
    return frozenset(text[start : start + HASH_LENGTH] for start in range(0, len(text), HASH_LENGTH))
