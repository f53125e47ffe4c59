"""``rft sign``: a signature over a finished run, or a new key to sign with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rft.cli.app import Debug, out, report_errors
from rft.cli.output import CommandResult
from rft.cli.runs.files import remember_written, was_written
from rft.errors import DataError


def sign(
    folder: Annotated[Path | None, typer.Argument(metavar="RUN", help="The folder of a finished run.")] = None,
    key: Annotated[
        Path | None, typer.Option("--key", metavar="FILE", help="The Ed25519 private key to sign with, in PEM.")
    ] = None,
    page: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="The file to write; RUN.dsse.json otherwise.")
    ] = None,
    new_key: Annotated[
        Path | None,
        typer.Option("--new-key", metavar="FILE", help="Sign nothing: write a new key to FILE and FILE.pub."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a signature that is there.")] = False,
    debug: Debug = False,
) -> CommandResult:
    """Sign a finished run after checking its files; rft verify RUN --pub FILE checks the signature."""
    with report_errors(debug):
        if new_key is not None:
            if folder or key or page:
                raise DataError("goes with nothing else: make the key first, then sign with --key", where="--new-key")
            return _create_key(new_key)
        if folder is None or key is None:
            remedy = "rft sign RUN --key FILE; rft sign --new-key FILE makes a key."
            raise DataError("signing takes the folder of a run and a private key", remedy=remedy)
        from rft.signing import default_signature_file, sign_run

        signature, made_from = page or default_signature_file(folder), ("sign", folder, key)
        file, fingerprint = sign_run(folder, key, signature, force=force or was_written(signature, made_from))
        remember_written(file, made_from)
        out.say(f"Signature: {file}", f"Signed by the key {fingerprint[:16]}.")
        return CommandResult({"signature": str(file), "fingerprint": fingerprint})


def _create_key(file: Path) -> CommandResult:
    from rft.signing import create_key_pair

    pair = create_key_pair(file)
    out.say(
        f"Private key, to sign with and to keep: {pair.private}",
        f"Public key, to give to those who check: {pair.public}",
        f"Fingerprint: {pair.fingerprint}",
    )
    return CommandResult(
        {"private_key": str(pair.private), "public_key": str(pair.public), "fingerprint": pair.fingerprint}
    )
