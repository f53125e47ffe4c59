"""Signed runs, and envelopes that are made and checked by ``cryptography`` alone."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from typer.testing import CliRunner

from rft.cli.main import app
from rft.records import Artifacts, AuditRun
from rft.report import save
from tests.support.example_run import example_run

PAYLOAD_TYPE = "application/vnd.in-toto+json"


@dataclass(frozen=True)
class KeyFiles:
    """A key pair with its files; the seed makes it the same in every test."""

    private: Path
    public: Path
    key: Ed25519PrivateKey


def write_keys(folder: Path, name: str, seed: int = 1) -> KeyFiles:
    key = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
    files = KeyFiles(folder / f"{name}.key", folder / f"{name}.pub", key)
    files.private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    files.public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return files


def plain_run() -> AuditRun:
    """Return the example run without its chapters, which take long to draw and are not signed by themselves."""
    return example_run().model_copy(update={"sections": ()})


def write_run(folder: Path, run: AuditRun | None = None) -> Path:
    """Write a run with a model, which is for others, and predictions, which are not."""

    def write_model(place: Path) -> None:
        place.mkdir()
        (place / "model.json").write_text("{}", encoding="utf-8")

    artifacts = Artifacts(pd.DataFrame({"id": ["person-0"]}), inputs=(), folder=folder.parent, write_model=write_model)
    return save(run or plain_run(), folder, artifacts)


def with_verdict(**changes: Any) -> AuditRun:
    run = plain_run()
    return run.model_copy(update={"verdict": run.verdict.model_copy(update=changes)})


def invoke_rft(*arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return done.exit_code, done.stdout, " ".join(done.stderr.split())


def encode_before_signing(payload: bytes, payload_type: str = PAYLOAD_TYPE) -> bytes:
    """Return the pre-authentication encoding of DSSE v1, written by hand."""
    kind = payload_type.encode()
    return b"DSSEv1 " + str(len(kind)).encode() + b" " + kind + b" " + str(len(payload)).encode() + b" " + payload


def read_parts(file: Path) -> tuple[bytes, bytes, dict[str, Any]]:
    """Return payload, signature and content of an envelope with one signature."""
    content = json.loads(file.read_text(encoding="utf-8"))
    (signature,) = content["signatures"]
    return base64.b64decode(content["payload"]), base64.b64decode(signature["sig"]), content


def write_signed(file: Path, payload: bytes, key: Ed25519PrivateKey, *, keyid: str, payload_type: str) -> None:
    signature = key.sign(encode_before_signing(payload, payload_type))
    content = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": payload_type,
        "signatures": [{"keyid": keyid, "sig": base64.b64encode(signature).decode()}],
    }
    file.write_text(json.dumps(content), encoding="utf-8")


def sign_again(
    file: Path, changes: Mapping[str, Any], key: Ed25519PrivateKey, *, payload_type: str = PAYLOAD_TYPE
) -> None:
    """Replace keys of a statement, or of its predicate, and sign it by any key, under the former key's name."""
    payload, _, content = read_parts(file)
    statement = json.loads(payload)
    for name, value in changes.items():
        (statement["predicate"] if name in statement["predicate"] else statement)[name] = value
    keyid = content["signatures"][0]["keyid"]
    write_signed(file, json.dumps(statement).encode(), key, keyid=keyid, payload_type=payload_type)
