"""Keys as openssl and ``rft sign --new-key`` write them, and what is refused."""

from __future__ import annotations

import hashlib
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_public_key,
)

from rft.errors import DataError
from rft.signing import create_key_pair
from rft.signing.keys import PASSPHRASE, read_private_key, read_public_key
from tests.support.signing_cases import invoke_rft, write_keys, write_run

openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the command openssl")


def run_openssl(*arguments: object) -> bytes:
    return subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True).stdout


def write_protected(file: Path, passphrase: bytes) -> Path:
    encryption = BestAvailableEncryption(passphrase)
    file.write_bytes(Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    return file


@openssl
def test_keys_of_openssl_sign_and_verify_and_have_the_fingerprint_that_it_shows(tmp_path: Path) -> None:
    run, private, public = write_run(tmp_path / "run"), tmp_path / "audit.key", tmp_path / "audit.pub"
    run_openssl("genpkey", "-algorithm", "ed25519", "-out", private)
    run_openssl("pkey", "-in", private, "-pubout", "-out", public)
    assert invoke_rft("sign", run, "--key", private)[0] == 0
    assert invoke_rft("verify", run, "--pub", public)[0] == 0
    der = run_openssl("pkey", "-pubin", "-in", public, "-outform", "DER")
    assert read_public_key(public).keyid == hashlib.sha256(der).hexdigest()


@openssl
def test_a_protected_key_of_openssl_is_opened_by_the_passphrase_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = tmp_path / "audit.key"
    run_openssl("genpkey", "-algorithm", "ed25519", "-aes-256-cbc", "-pass", "pass:open sesame", "-out", private)
    monkeypatch.setenv(PASSPHRASE, "open sesame")
    assert read_private_key(private).public_key.keytype == "ed25519"


def test_a_passphrase_that_is_missing_or_wrong_is_asked_for_in_plain_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, private = write_run(tmp_path / "run"), write_protected(tmp_path / "audit.key", b"open sesame")
    monkeypatch.delenv(PASSPHRASE, raising=False)
    code, _, stderr = invoke_rft("sign", run, "--key", private)
    assert code == 2
    assert f"is protected by a passphrase Put the passphrase into the environment variable {PASSPHRASE}" in stderr
    monkeypatch.setenv(PASSPHRASE, "sesame")
    code, _, stderr = invoke_rft("sign", run, "--key", private)
    assert code == 2
    assert "cannot be opened with the passphrase" in stderr
    assert "sesame" not in stderr


def test_a_passphrase_in_the_environment_does_no_harm_to_a_key_without_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSPHRASE, "open sesame")
    assert len(read_private_key(write_keys(tmp_path, "audit").private).public_key.keyid) == 64


def test_a_new_key_is_for_its_owner_alone_and_signs(tmp_path: Path) -> None:
    run, private = write_run(tmp_path / "run"), tmp_path / "audit.key"
    code, stdout, _ = invoke_rft("sign", "--new-key", private)
    public = tmp_path / "audit.key.pub"
    assert code == 0
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    load_pem_public_key(public.read_bytes())
    assert read_public_key(public).keyid in stdout
    assert read_private_key(private).public_key == read_public_key(public)
    assert invoke_rft("sign", run, "--key", private)[0] == 0
    assert invoke_rft("verify", run, "--pub", public)[0] == 0


@pytest.mark.parametrize("name", ["audit.key", "audit.key.pub"])
def test_a_new_key_replaces_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("precious")
    code, _, stderr = invoke_rft("sign", "--new-key", tmp_path / "audit.key")
    assert code == 2
    assert "exists already" in stderr
    assert [file.name for file in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "precious"


def test_two_new_keys_differ(tmp_path: Path) -> None:
    assert create_key_pair(tmp_path / "a").fingerprint != create_key_pair(tmp_path / "b").fingerprint


def test_what_is_no_such_key_is_refused(tmp_path: Path) -> None:
    keys, rsa_key = write_keys(tmp_path, "audit"), rsa.generate_private_key(65537, 2048)
    (tmp_path / "rsa.key").write_bytes(rsa_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = rsa_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "rsa.pub").write_bytes(public)
    (tmp_path / "text").write_text("secret")
    for read, name, sentence in [
        (read_private_key, "rsa.key", "another kind than Ed25519"),
        (read_public_key, "rsa.pub", "another kind than Ed25519"),
        (read_private_key, keys.public.name, "is a public key; signing takes the private one"),
        (read_public_key, keys.private.name, "is a private key; checking takes the public one"),
        (read_private_key, "text", "is no private key in PEM"),
        (read_public_key, "text", "is no public key in PEM"),
        (read_private_key, "missing", "cannot be read"),
        (read_public_key, "missing", "cannot be read"),
    ]:
        with pytest.raises(DataError, match=sentence):
            read(tmp_path / name)


@pytest.mark.parametrize("arguments", [(), ("run",), ("--key", "audit.key")])
def test_what_is_missing_to_sign_is_said(arguments: tuple[str, ...]) -> None:
    code, _, stderr = invoke_rft("sign", *arguments)
    assert code == 2
    assert "signing takes the folder of a run and a private key" in stderr


def test_a_new_key_goes_with_nothing_else(tmp_path: Path) -> None:
    code, _, stderr = invoke_rft("sign", tmp_path, "--new-key", tmp_path / "audit.key")
    assert code == 2
    assert "make the key first" in stderr
    assert list(tmp_path.iterdir()) == []
