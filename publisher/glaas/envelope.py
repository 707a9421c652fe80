"""The signed envelope of a receipt: DSSE v1 around an in-toto statement (`docs/receipts.md`).

The registry signs the pre-authentication encoding with Ed25519, which every DSSE verifier reads. The publisher signs it
with an SSH key: as an OpenSSH SSHSIG in a namespace of its own, so that a signature made for requests, git or files is
never one of a receipt. Both name their key by its SSH fingerprint.

The file has exactly one form, which includes the order and the spelling of everything that is not signed. A changed
byte is therefore always noticed, also where JSON and base64 would allow several spellings.
"""

import json
import re
from base64 import b64decode, b64encode
from typing import Any, Self

from msgspec import Struct

from roar_publisher.glaas.signature import fingerprint, ssh_string
from roar_publisher.glaas.verifying import is_ed25519_signature, is_signature

PAYLOAD_TYPE = "application/vnd.in-toto+json"
RECEIPT_NAMESPACE = b"roar-receipt"
LARGEST_RECEIPT_BYTES = 8 * 1024 * 1024
MOST_SIGNATURES = 16
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
_ED25519_HEAD = ssh_string(b"ssh-ed25519")
_ED25519_BLOB_BYTES = len(_ED25519_HEAD) + 4 + 32
_SSHSIG_HEAD = b"SSHSIG" + (1).to_bytes(4, "big")


class InvalidReceipt(Exception):
    """A receipt that proves nothing. The text is a clause that says why."""


class ReceiptSignature(Struct, frozen=True):
    """A signature. keyid: the SSH fingerprint of the key. sig: an SSHSIG blob, or a raw Ed25519 signature."""

    keyid: str
    sig: bytes

    @property
    def ssh_key(self) -> str | None:
        """The public key in an SSHSIG, as in a `.pub` file; None if it holds none, or another one than `keyid`."""
        if not self.sig.startswith(_SSHSIG_HEAD):
            return None
        start = len(_SSHSIG_HEAD) + 4
        size = int.from_bytes(self.sig[start - 4 : start], "big")
        blob = self.sig[start : start + size]
        kind = blob[4 : 4 + int.from_bytes(blob[:4], "big")]
        if fingerprint(blob) != self.keyid or not kind.isascii() or not kind:
            return None
        return f"{kind.decode('ascii')} {b64encode(blob).decode('ascii')}"

    def is_made_by(self, public: str, signed: bytes) -> bool:
        """Return whether this key made it. public: as in a `.pub` file. signed: `ReceiptEnvelope.signed_bytes`."""
        try:
            blob = key_blob(public)
        except ValueError:
            return False
        if fingerprint(blob) != self.keyid:
            return False
        if self.sig.startswith(_SSHSIG_HEAD):
            return is_signature(public, signed, self.sig, RECEIPT_NAMESPACE)
        return blob.startswith(_ED25519_HEAD) and is_ed25519_signature(blob, signed, self.sig)


class ReceiptEnvelope(Struct, frozen=True):
    """A statement with its signatures. payload: the statement, as JSON."""

    payload: bytes
    signatures: tuple[ReceiptSignature, ...] = ()

    @property
    def signed_bytes(self) -> bytes:
        """What is signed: DSSE's pre-authentication encoding."""
        return b"DSSEv1 %d %b %d %b" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(self.payload), self.payload)

    def signed_also(self, signature: ReceiptSignature) -> Self:
        """Return the envelope with one more signature."""
        return type(self)(self.payload, (*self.signatures, signature))

    def require_only_signature(self, public: str) -> None:
        """Raise InvalidReceipt unless there is one signature, made by this key, which is as in a `.pub` file."""
        if len(self.signatures) != 1:
            raise InvalidReceipt("it does not have one signature")
        if not self.signatures[0].is_made_by(public, self.signed_bytes):
            raise InvalidReceipt("its signature is not one of the key that it names")

    def document(self) -> dict[str, Any]:
        """Return the envelope as a JSON document."""
        signatures = [{"keyid": each.keyid, "sig": _text(each.sig)} for each in self.signatures]
        return {"payload": _text(self.payload), "payloadType": PAYLOAD_TYPE, "signatures": signatures}

    def as_bytes(self) -> bytes:
        """Return the content of its file."""
        return json.dumps(self.document(), separators=(",", ":")).encode("ascii") + b"\n"

    @classmethod
    def of_document(cls, document: object) -> Self:
        """Read a JSON document. Raises InvalidReceipt."""
        try:
            match document:
                case {"payload": str(payload), "payloadType": "application/vnd.in-toto+json", "signatures": [*found]}:
                    signatures = tuple(_signature(each) for each in found)
                    envelope = cls(b64decode(payload, validate=True), signatures)
                case _:
                    raise InvalidReceipt("it is not the signed envelope of a statement")
        except ValueError:
            raise InvalidReceipt("its payload or a signature is not base64") from None
        names = {each.keyid for each in envelope.signatures}
        if len(names) < len(envelope.signatures) or len(names) > MOST_SIGNATURES:
            raise InvalidReceipt("it has several signatures of one key, or too many")
        return envelope

    @classmethod
    def of_bytes(cls, content: bytes) -> Self:
        """Read the content of a receipt's file. Raises InvalidReceipt unless it has the form of `as_bytes`."""
        if len(content) > LARGEST_RECEIPT_BYTES:
            raise InvalidReceipt(f"it is larger than {LARGEST_RECEIPT_BYTES // 1024} kB")
        try:
            document = json.loads(content)
        except (ValueError, RecursionError):
            raise InvalidReceipt("it is not JSON, or something follows its JSON") from None
        envelope = cls.of_document(document)
        if envelope.as_bytes() != content:
            raise InvalidReceipt("it is not written as receipts are: it was changed, or written by another program")
        return envelope


def key_blob(public: str) -> bytes:
    """Return the blob of a public key (type and base64, as in a `.pub` file). Raises ValueError."""
    kind, encoded = public.split()[:2]
    blob = b64decode(encoded, validate=True)
    if not blob.startswith(ssh_string(kind.encode())):
        raise ValueError("the type is not that of the key")
    if kind == "ssh-ed25519" and len(blob) != _ED25519_BLOB_BYTES:
        raise ValueError("the key is cut")
    return blob


def ed25519_public(raw: bytes) -> str:
    """Return an Ed25519 public key of 32 bytes as in a `.pub` file."""
    return f"ssh-ed25519 {_text(_ED25519_HEAD + ssh_string(raw))}"


def _signature(entry: object) -> ReceiptSignature:
    match entry:
        case {"keyid": str(keyid), "sig": str(sig)}:
            if not _FINGERPRINT.fullmatch(keyid):
                raise InvalidReceipt("a signature in it names no key")
            return ReceiptSignature(keyid, b64decode(sig, validate=True))
    raise InvalidReceipt("a signature in it has no keyid or no sig")


def _text(data: bytes) -> str:
    return b64encode(data).decode("ascii")
