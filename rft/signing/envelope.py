"""The envelope of a signature: DSSE v1, a payload with its type and signatures over both."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field, ValidationError
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.signer import Signature

from rft.errors import EvidenceError

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner, SSlibKey


@dataclass(frozen=True)
class SignedPayload:
    """A payload with the signatures that came along; nothing of it is to be trusted before ``is_signed_by``.

    Which key a signature says it is of is not kept: nothing vouches for that.
    """

    payload: bytes
    payload_type: str
    signatures: tuple[bytes, ...]

    def is_signed_by(self, public_key: SSlibKey) -> bool:
        """Return whether any of the signatures over payload and type was made by this key."""
        signed = Envelope(self.payload, self.payload_type, {}).pae()
        return any(_is_signed_by(signature, signed, public_key) for signature in self.signatures)


class _SignatureText(BaseModel):
    sig: str


class _EnvelopeText(BaseModel):
    payload: str
    payload_type: str = Field(alias="payloadType")
    signatures: list[_SignatureText]


def write_envelope(payload: bytes, payload_type: str, signer: CryptoSigner) -> str:
    """Return the JSON of an envelope with one signature."""
    envelope = Envelope(payload, payload_type, {})
    envelope.sign(signer)
    return json.dumps(envelope.to_dict(), indent=1) + "\n"


def read_envelope(file: Path) -> SignedPayload:
    """Return what a file holds; raises ``EvidenceError`` where that is no envelope with a signature."""
    try:
        parts = _EnvelopeText.model_validate_json(file.read_bytes())
        signatures = tuple(_decode_base64(signature.sig) for signature in parts.signatures)
        envelope = SignedPayload(_decode_base64(parts.payload), parts.payload_type, signatures)
    except OSError as error:
        remedy = "Name the file of the signature with --signature; rft sign makes one."
        raise EvidenceError(f"no signature can be read ({error.strerror})", where=str(file), remedy=remedy) from error
    except ValidationError as error:
        raise EvidenceError("is no DSSE envelope", where=str(file)) from error
    except ValueError as error:
        raise EvidenceError("is no DSSE envelope: a part of it is not in base64", where=str(file)) from error
    if not envelope.signatures:
        raise EvidenceError("holds no signature", where=str(file))
    return envelope


def _is_signed_by(signature: bytes, signed: bytes, public_key: SSlibKey) -> bool:
    try:
        public_key.verify_signature(Signature(public_key.keyid, signature.hex()), signed)
    except UnverifiedSignatureError:
        return False
    return True


def _decode_base64(text: str) -> bytes:
    """Return the bytes of a text in either alphabet of base64 (RFC 4648); it is ``ValueError`` unless written so."""
    altchars = b"-_" if "-" in text or "_" in text else b"+/"
    content = base64.b64decode(text, altchars=altchars, validate=True)
    if base64.b64encode(content, altchars=altchars).decode() != text:  # bits left over that a decoder ignores
        raise ValueError("not the base64 of any bytes")
    return content
