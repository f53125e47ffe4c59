"""What is signed can be checked without rft, and nothing that was changed or comes from others passes for it."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from rft.errors import EvidenceError, OutputError
from rft.report import open_run, save
from rft.signing import sign_run, verify_signature
from tests.support.signing_cases import (
    KeyFiles,
    encode_before_signing,
    invoke_rft,
    read_parts,
    sign_again,
    with_verdict,
    write_keys,
    write_run,
)


@dataclass(frozen=True)
class SignedRun:
    run: Path
    signature: Path
    keys: KeyFiles


@pytest.fixture
def signed(tmp_path: Path) -> SignedRun:
    run, keys = write_run(tmp_path / "run"), write_keys(tmp_path, "audit")
    signature, _ = sign_run(run, keys.private)
    return SignedRun(run, signature, keys)


def list_hashes(folder: Path) -> dict[str, str]:
    return {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.rglob("*")
        if file.is_file()
    }


def test_a_signature_holds_by_the_algorithm_alone(signed: SignedRun) -> None:
    payload, signature, content = read_parts(signed.signature)
    public_key = load_pem_public_key(signed.keys.public.read_bytes())
    assert isinstance(public_key, Ed25519PublicKey)
    public_key.verify(signature, encode_before_signing(payload))
    with pytest.raises(InvalidSignature):
        public_key.verify(signature, encode_before_signing(payload, "application/json"))
    assert content["payloadType"] == "application/vnd.in-toto+json"
    statement = json.loads(payload)
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    hashes = list_hashes(signed.run)
    assert "predictions.parquet" in hashes
    assert [subject["name"] for subject in statement["subject"]] == [
        "evidence.json",
        "audit.json",
        "model-card.md",
        "model/model.json",
        "report.html",
    ]
    assert all(subject["digest"] == {"sha256": hashes[subject["name"]]} for subject in statement["subject"])


def test_signing_leaves_the_run_as_it_is_and_lies_beside_it(tmp_path: Path) -> None:
    run, keys = write_run(tmp_path / "smiles.v2"), write_keys(tmp_path, "audit")
    before = list_hashes(run)
    code, stdout, _ = invoke_rft("sign", run, "--key", keys.private)
    assert code == 0
    assert (tmp_path / "smiles.v2.dsse.json").is_file()
    assert "smiles.v2.dsse.json" in stdout
    assert list_hashes(run) == before


def test_a_signed_run_is_verified_and_the_key_is_named(signed: SignedRun) -> None:
    code, stdout, _ = invoke_rft("verify", signed.run, "--pub", signed.keys.public)
    der = base64.b64decode("".join(signed.keys.public.read_text().splitlines()[1:-1]))
    assert code == 0
    assert f"signed by the key {hashlib.sha256(der).hexdigest()[:16]}." in stdout


def test_signing_again_gives_the_same_bytes(signed: SignedRun, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    second, _ = sign_run(signed.run, signed.keys.private, tmp_path / "second.json")
    assert second.read_bytes() == signed.signature.read_bytes()
    payload, _, _ = read_parts(signed.signature)
    assert f"{datetime.now(UTC):%Y-}" not in payload.decode()


def test_every_flipped_bit_is_seen_but_in_the_hint_which_key_it_was(signed: SignedRun) -> None:
    whole = signed.signature.read_bytes()
    hint = range(whole.index(b'"keyid"'), whole.index(b'"sig"'))
    positions = [position for position in range(0, len(whole), 13) if position not in hint]
    assert len(positions) > 90
    for position in positions:
        changed = bytearray(whole)
        changed[position] ^= 1 << position % 8
        signed.signature.write_bytes(changed)
        with pytest.raises(EvidenceError):
            verify_signature(signed.run, signed.keys.public)


def test_the_hint_which_key_it_was_decides_nothing(signed: SignedRun) -> None:
    """It is not signed (DSSE): it neither lets a signature in nor keeps one out."""
    content = json.loads(signed.signature.read_text())
    content["signatures"][0]["keyid"] = "0" * 64
    signed.signature.write_text(json.dumps(content))
    assert verify_signature(signed.run, signed.keys.public) != "0" * 64


def test_bits_that_a_decoder_of_base64_would_ignore_are_seen(signed: SignedRun) -> None:
    content = json.loads(signed.signature.read_text())
    text = content["signatures"][0]["sig"]
    assert text.endswith("==")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    altered = f"{text[:-3]}{alphabet[alphabet.index(text[-3]) + 1]}=="
    assert base64.b64decode(altered, validate=True) == base64.b64decode(text)
    content["signatures"][0]["sig"] = altered
    signed.signature.write_text(json.dumps(content))
    with pytest.raises(EvidenceError, match="base64"):
        verify_signature(signed.run, signed.keys.public)


def test_another_key_is_refused(signed: SignedRun, tmp_path: Path) -> None:
    other_keys = write_keys(tmp_path, "other", seed=2)
    code, _, stderr = invoke_rft("verify", signed.run, "--pub", other_keys.public)
    assert code == 4
    assert "was not signed by the key" in stderr


def test_a_better_result_signed_by_another_key_under_the_name_of_the_first_is_refused(
    signed: SignedRun, tmp_path: Path
) -> None:
    forger = write_keys(tmp_path, "forger", seed=2)
    sign_again(signed.signature, {"result": "PASSED", "failedTests": []}, forger.key)
    code, stdout, stderr = invoke_rft("verify", signed.run, "--pub", signed.keys.public)
    assert code == 4
    assert "was not signed by the key" in stderr
    assert "signed by" not in stdout


def test_a_better_result_under_the_former_signature_is_refused(signed: SignedRun) -> None:
    payload, _, content = read_parts(signed.signature)
    content["payload"] = base64.b64encode(payload.replace(b"FAILED", b"PASSED")).decode()
    signed.signature.write_text(json.dumps(content))
    with pytest.raises(EvidenceError, match="was not signed by the key"):
        verify_signature(signed.run, signed.keys.public)


def test_the_signature_of_another_run_is_refused(signed: SignedRun, tmp_path: Path) -> None:
    other_run = write_run(tmp_path / "other", with_verdict(status="pass", rules=()))
    code, _, stderr = invoke_rft("verify", other_run, "--pub", signed.keys.public, "--signature", signed.signature)
    assert code == 4
    assert "evidence.json is not the file that was signed" in stderr
    assert "the result that was signed is not that of audit.json" in stderr


def test_a_run_that_was_judged_again_is_not_the_one_that_was_signed(signed: SignedRun) -> None:
    """Whoever rewrites a run and its evidence.json alike is found out by the signature alone."""
    run = open_run(signed.run)
    verdict = run.verdict.model_copy(update={"status": "pass", "rules": run.verdict.rules[2:3]})
    save(run.model_copy(update={"verdict": verdict}), signed.run, force=True)
    assert invoke_rft("verify", signed.run)[0] == 0
    code, _, stderr = invoke_rft("verify", signed.run, "--pub", signed.keys.public)
    assert code == 4
    assert "the list of failed rules that was signed is not that of audit.json" in stderr


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"_type": "https://in-toto.io/Statement/v0.1"}, "no statement about a run: _type"),
        ({"predicateType": "https://slsa.dev/provenance/v1"}, "no statement about a run: predicateType"),
        ({"subject": []}, "evidence.json is not among what was signed"),
        (
            {"subject": [{"name": "evidence.json", "digest": {"sha512": "00"}}]},
            "evidence.json is not the file that was",
        ),
        ({"subject": [{"name": "../evidence.json", "digest": {"sha256": "00"}}]}, "../evidence.json is missing"),
        ({"result": "PASSED"}, "the result that was signed is not that of audit.json"),
        ({"result": "fine"}, "no statement about a run: predicate.result"),
        ({"configuration": []}, "the config that was signed is not that of audit.json"),
        ({"passedTests": ["performance.accuracy"]}, "the list of passed rules that was signed"),
        ({"warnedTests": []}, "the list of uncertain rules that was signed"),
        ({"failedTests": []}, "the list of failed rules that was signed"),
    ],
)
def test_what_the_right_key_signed_must_be_this_run(signed: SignedRun, changes: dict[str, Any], sentence: str) -> None:
    sign_again(signed.signature, changes, signed.keys.key)
    code, _, stderr = invoke_rft("verify", signed.run, "--pub", signed.keys.public)
    assert code == 4
    assert sentence in stderr


def test_what_the_right_key_signed_as_something_else_is_refused(signed: SignedRun) -> None:
    sign_again(signed.signature, {}, signed.keys.key, payload_type="application/json")
    with pytest.raises(EvidenceError, match="holds 'application/json'"):
        verify_signature(signed.run, signed.keys.public)


def test_a_signature_is_one_of_several_in_either_base64_with_or_without_a_hint(
    signed: SignedRun, tmp_path: Path
) -> None:
    _, signature, content = read_parts(signed.signature)
    other_keys = write_keys(tmp_path, "other", seed=2)
    foreign = {"keyid": "x", "sig": base64.b64encode(other_keys.key.sign(b"something else")).decode()}
    content["signatures"] = [foreign, {"sig": base64.urlsafe_b64encode(signature).decode()}]
    signed.signature.write_text(json.dumps(content))
    assert len(verify_signature(signed.run, signed.keys.public)) == 64


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "no signature can be read"),
        ("", "is no DSSE envelope"),
        ("[]", "is no DSSE envelope"),
        ('{"payload": "e30=", "payloadType": "x", "signatures": []}', "holds no signature"),
        ('{"payload": "e30=", "payloadType": "x", "signatures": [{"sig": "?"}]}', "not in base64"),
        ('{"payload": "e30=", "payloadType": "x", "signatures": [{"sig": "AAAA"}]}', "was not signed by the key"),
    ],
)
def test_no_signature_is_no_signature(signed: SignedRun, content: str | None, sentence: str) -> None:
    signed.signature.unlink()
    if content is not None:
        signed.signature.write_text(content)
    code, _, stderr = invoke_rft("verify", signed.run, "--pub", signed.keys.public)
    assert code == 4
    assert sentence in stderr


def test_a_run_that_was_changed_is_not_signed(tmp_path: Path) -> None:
    run, keys = write_run(tmp_path / "run"), write_keys(tmp_path, "audit")
    with (run / "model-card.md").open("a", encoding="utf-8") as card:
        card.write("approved\n")
    code, _, stderr = invoke_rft("sign", run, "--key", keys.private)
    assert code == 4
    assert "model-card.md is not the file that was written" in stderr
    assert not (tmp_path / "run.dsse.json").exists()


def test_a_signature_is_replaced_on_request_alone(signed: SignedRun, tmp_path: Path) -> None:
    before, other_keys = signed.signature.read_bytes(), write_keys(tmp_path, "other", seed=2)
    code, _, stderr = invoke_rft("sign", signed.run, "--key", other_keys.private)
    assert code == 2
    assert "exists already" in stderr
    assert signed.signature.read_bytes() == before
    assert invoke_rft("sign", signed.run, "--key", other_keys.private, "--force")[0] == 0
    assert invoke_rft("verify", signed.run, "--pub", other_keys.public)[0] == 0


def test_no_signature_is_written_into_the_run(signed: SignedRun) -> None:
    with pytest.raises(OutputError, match="lies in the folder of the run"):
        sign_run(signed.run, signed.keys.private, signed.run / "model" / "signature.json")


def test_a_signature_without_a_key_to_trust_is_not_checked(signed: SignedRun) -> None:
    code, _, stderr = invoke_rft("verify", signed.run, "--signature", signed.signature)
    assert code == 2
    assert "Name it with --pub." in stderr


def test_without_the_extra_the_command_says_what_to_install(signed: SignedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_it(name: str) -> str:
        if name == "securesystemslib":
            raise PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr("rft.runtime.libraries.version", without_it)
    for command in (("sign", signed.run, "--key", signed.keys.private), ("verify", signed.run, "--pub", "audit.pub")):
        code, _, stderr = invoke_rft(*command)
        assert code == 2
        assert 'pip install "rft[sign]"' in stderr
