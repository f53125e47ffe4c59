"""Signatures over finished runs: made and checked without any network, by Ed25519 keys in files.

The libraries of the extra ``sign`` are imported when one of these functions is called.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rft.errors import DataError, EvidenceError, OutputError, RftError
from rft.report import verify
from rft.report.run_folder.atomic_io import clear_errors, replace_file
from rft.runtime.libraries import import_library
from rft.signing.statement import PAYLOAD_TYPE, compare_page, compare_statement, describe_run

if TYPE_CHECKING:
    from rft.signing.keys import KeyPair

__all__ = ["create_key_pair", "default_signature_file", "sign_run", "verify_signature"]

LIBRARIES = ("cryptography", "securesystemslib")


def default_signature_file(folder: Path) -> Path:
    """Return where the signature of a run lies unless another place is named: beside its folder, never in it."""
    folder = Path(folder).resolve()
    return folder.with_name(f"{folder.name}.dsse.json")


def create_key_pair(file: Path) -> KeyPair:
    """Write a new private key to ``file`` and its public key to ``file.pub``.

    Raises:
        OutputError: one of them exists, or cannot be written.
        RftError: the extra ``sign`` is not installed.
    """
    _require_libraries()
    from rft.signing.keys import write_new_keys

    return write_new_keys(Path(file))


def sign_run(folder: Path, key: Path, out: Path | None = None, *, force: bool = False) -> tuple[Path, str]:
    """Check a run, sign it, and return the file of the signature and the fingerprint of the key.

    The same run and key give the same bytes whenever they are signed.

    Args:
        folder: of the run.
        key: the file of an Ed25519 private key.
        out: the file to write; ``default_signature_file`` otherwise.
        force: replace a file that is there.

    Raises:
        DataError: the folder holds no run, or the file no such key.
        EvidenceError: a file of the run is not the one that was written; nothing is signed.
        OutputError: the file exists, lies in the folder of the run, or cannot be written.
        RftError: the extra ``sign`` is not installed.
    """
    _require_libraries()
    from rft.signing.envelope import write_envelope
    from rft.signing.keys import read_private_key

    folder, out = Path(folder), Path(out) if out else default_signature_file(folder)
    _check_place(folder, out, force=force)
    signer = read_private_key(Path(key))
    if problems := verify(folder).problems:
        raise EvidenceError("; ".join(problems), where=str(folder))
    envelope = write_envelope(describe_run(folder).to_payload(), PAYLOAD_TYPE, signer)
    with clear_errors(out):
        replace_file(out, envelope)
    return out, signer.public_key.keyid


def verify_signature(run_or_page: Path, pub: Path | None, signature: Path | None = None) -> str:
    """Check the signature of a run against the run and one public key, and return the fingerprint of that key.

    Args:
        run_or_page: the folder of the run, whose files against ``evidence.json`` are the task of ``rft.report.verify``;
            or its ``report.html`` alone, which must be the one that was signed.
        pub: the file of an Ed25519 public key; what the signature itself says of its key decides nothing.
        signature: its file; for a folder ``default_signature_file`` otherwise.

    Raises:
        DataError: no public key was named, or its file holds none; or no signature was named for a report alone.
        EvidenceError: there is no signature, it was not made by this key, or what was signed is not this run.
        RftError: the extra ``sign`` is not installed.
    """
    _require_libraries()
    from rft.signing.envelope import read_envelope
    from rft.signing.keys import read_public_key

    if pub is None:
        raise DataError(
            "is checked with a public key that you trust", where="--signature", remedy="Name it with --pub."
        )
    public_key = read_public_key(Path(pub))
    fingerprint: str = public_key.keyid
    file = _find_signature(Path(run_or_page), signature)
    envelope = read_envelope(file)
    if not envelope.is_signed_by(public_key):
        raise EvidenceError(
            f"was not signed by the key {fingerprint[:16]} ({pub}), or was changed afterwards", where=str(file)
        )
    if envelope.payload_type != PAYLOAD_TYPE:
        raise EvidenceError(f"holds {envelope.payload_type!r}, not {PAYLOAD_TYPE!r}", where=str(file))
    compare = compare_page if Path(run_or_page).is_file() else compare_statement
    if problems := compare(envelope.payload, Path(run_or_page)):
        raise EvidenceError("; ".join(problems), where=str(file))
    return fingerprint


def _find_signature(run_or_page: Path, signature: Path | None) -> Path:
    """Return the file of a signature; beside a report that came alone lies none that could be found by its name."""
    if signature:
        return Path(signature)
    if run_or_page.is_file():
        problem = "is a report alone, and the signature is that of its run"
        remedy = "Ask for the file that rft sign wrote (RUN.dsse.json), and name it with --signature FILE."
        raise DataError(problem, where=str(run_or_page), remedy=remedy)
    return default_signature_file(run_or_page)


def _check_place(folder: Path, out: Path, *, force: bool) -> None:
    if out.resolve().is_relative_to(folder.resolve()):
        problem = "lies in the folder of the run, which stays as it was written"
        raise OutputError(problem, where=str(out), remedy="Choose a place outside it with --out.")
    if out.exists() and not force:
        remedy = "Replace it with --force, or choose another file with --out."
        raise OutputError("exists already", where=str(out), remedy=remedy)


def _require_libraries() -> None:
    for name in LIBRARIES:
        import_library(name, error=RftError, where="signatures", install='pip install "rft[sign]"')
