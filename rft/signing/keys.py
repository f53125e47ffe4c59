"""Ed25519 keys in files, as ``openssl genpkey -algorithm ed25519`` and ``openssl pkey -pubout`` write them (PEM).

A key is named by the SHA-256 of its public half in DER, which
``openssl pkey -pubin -in audit.pub -outform DER | sha256sum`` shows, too.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from securesystemslib.signer import CryptoSigner, SSlibKey

from rft.errors import DataError, OutputError
from rft.report.run_folder.atomic_io import clear_errors, sync_folder

PASSPHRASE = "RFT_KEY_PASSPHRASE"  # the environment variable
NEW_KEY = "--new-key"
_MAKE = "Make one with: rft sign --new-key FILE  (or: openssl genpkey -algorithm ed25519 -out FILE)"
_PUBLISH = "Write the public key with: openssl pkey -in PRIVATE -pubout -out FILE"


@dataclass(frozen=True)
class KeyPair:
    """Where a new private and public key were written, and their fingerprint: 64 hexadecimal digits."""

    private: Path
    public: Path
    fingerprint: str


def read_private_key(file: Path) -> CryptoSigner:
    """Return the signer of a file, opened with the passphrase in ``$RFT_KEY_PASSPHRASE`` where it has one.

    Raises:
        DataError: the file cannot be read, holds no Ed25519 private key, or its passphrase is not at hand.
    """
    content = _read_bytes(file, _MAKE)
    if b"PUBLIC KEY-----" in content:
        raise DataError("is a public key; signing takes the private one", where=str(file), remedy=_MAKE)
    try:
        key = load_pem_private_key(content, _find_passphrase(file, content))
    except (ValueError, UnsupportedAlgorithm) as error:
        if _is_encrypted(content):
            remedy = f"Put the passphrase of this key into {PASSPHRASE}."
            raise DataError(
                "cannot be opened with the passphrase that was given", where=str(file), remedy=remedy
            ) from error
        raise DataError("is no private key in PEM (PKCS 8)", where=str(file), remedy=_MAKE) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise DataError("is a key of another kind than Ed25519", where=str(file), remedy=_MAKE)
    return CryptoSigner(key, _name_key(key.public_key()))


def read_public_key(file: Path) -> SSlibKey:
    """Return the public key of a file, with its fingerprint as ``keyid``.

    Raises:
        DataError: the file cannot be read, or holds no Ed25519 public key.
    """
    content = _read_bytes(file, _PUBLISH)
    if b"PRIVATE KEY-----" in content:
        raise DataError("is a private key; checking takes the public one", where=str(file), remedy=_PUBLISH)
    try:
        key = load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise DataError("is no public key in PEM", where=str(file), remedy=_PUBLISH) from error
    if not isinstance(key, Ed25519PublicKey):
        raise DataError("is a key of another kind than Ed25519", where=str(file), remedy=_PUBLISH)
    return _name_key(key)


def write_new_keys(file: Path) -> KeyPair:
    """Write a new private key, for its owner's eyes only, and its public key beside it.

    Raises:
        OutputError: one of the files exists, or cannot be written.
    """
    public = file.with_name(f"{file.name}.pub")
    for place in (file, public):
        if place.exists():
            remedy = f"Choose another name with {NEW_KEY}: a key that is replaced is lost."
            raise OutputError("exists already", where=str(place), remedy=remedy)
    key = Ed25519PrivateKey.generate()
    with clear_errors(file, NEW_KEY):
        _write_new(file, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)
        _write_new(public, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), 0o644)
        sync_folder(file.parent)
    return KeyPair(file, public, _name_key(key.public_key()).keyid)


def _name_key(key: Ed25519PublicKey) -> SSlibKey:
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return SSlibKey.from_crypto(key, keyid=hashlib.sha256(der).hexdigest())


def _find_passphrase(file: Path, content: bytes) -> bytes | None:
    if not _is_encrypted(content):
        return None
    passphrase = os.environ.get(PASSPHRASE)
    if not passphrase:
        remedy = f"Put the passphrase into the environment variable {PASSPHRASE}."
        raise DataError("is protected by a passphrase", where=str(file), remedy=remedy)
    return os.fsencode(passphrase)


def _is_encrypted(content: bytes) -> bool:
    return b"BEGIN ENCRYPTED" in content or b"4,ENCRYPTED" in content  # PKCS 8; a header of the older formats


def _read_bytes(file: Path, remedy: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", where=str(file), remedy=remedy) from error


def _write_new(file: Path, content: bytes, mode: int) -> None:
    """Write a file that is not there yet; raises ``FileExistsError`` where one has come in between."""
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
