"""The registry's own keys, which sign receipts: one that signs, and the public halves of those that did.

They are in a file of the data folder (0600), made when the first receipt is asked for. The file is read for each use:
a key that the command line rotates is used at once by a registry that serves. Registries that share a PostgreSQL have a
folder, and so a key, each, unless its operator gives all the same file.
"""

import json
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import asdict

from roar_publisher.glaas.envelope import ReceiptSignature, ed25519_public, key_blob
from roar_publisher.glaas.signature import fingerprint
from roar_publisher.guarded import Guarded
from roar_publisher.registry.store.private_data import locked, replace_private_file

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

RECEIPT_KEYS_NAME = "receipt-keys"
MOST_KEYS = 100
"""Public keys that are kept; the oldest are dropped."""


@dataclass(frozen=True, slots=True)
class ReceiptKey:
    """A public key. public: as in a `.pub` file. current: whether it signs. A dataclass, for pydantic describes it."""

    keyid: str
    public: str
    current: bool


class _Kept(Guarded, frozen=True):
    """The content of the file. private: in OpenSSH's format. public: all public keys, the one that signs last."""

    HIDDEN = ("private",)

    private: str
    public: tuple[str, ...]


class ReceiptKeys:
    """The keys of one registry. folder: its data; None keeps them in memory.

    Every method raises OSError if the file cannot be read or written, or is damaged.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._in_memory: _Kept | None = None

    def sign(self, data: bytes) -> tuple[ReceiptSignature, str]:
        """Return the signature of the current key, and its public half. Repeating it gives the same signature."""
        kept = self._kept()
        return ReceiptSignature(_keyid(kept.public[-1]), _private(kept).sign(data)), kept.public[-1]

    def all(self) -> list[ReceiptKey]:
        """Return the current key first, then those that signed before, the newest first."""
        kept = self._kept()
        return [ReceiptKey(_keyid(each), each, each == kept.public[-1]) for each in reversed(kept.public)]

    def rotate(self) -> ReceiptKey:
        """Let a new key sign, and return it. The public halves of older ones stay."""
        with self._locked():
            known = self._read()
            self._write(_new(known.public if known else ()))
        return self.all()[0]

    def _kept(self) -> _Kept:
        kept = self._read()
        if kept is None:
            with self._locked():
                kept = self._read() or self._write(_new(()))
        return kept

    def _read(self) -> _Kept | None:
        if self._folder is None:
            return self._in_memory
        path = self._folder / RECEIPT_KEYS_NAME
        try:
            document = json.loads(path.read_bytes())
            kept = _Kept(document["private"], tuple(document["public"]))
            if _keyid(kept.public[-1]) != _keyid(_public(_private(kept))):
                raise ValueError("the halves differ")
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, IndexError, AttributeError):
            what = "it is damaged; restore it from a backup, or remove it to create a new key"
            raise OSError(f"{path} cannot be used: {what}") from None
        return kept

    def _write(self, kept: _Kept) -> _Kept:
        if self._folder is None:
            self._in_memory = kept
        else:
            replace_private_file(self._folder / RECEIPT_KEYS_NAME, json.dumps(asdict(kept), indent=1).encode())
        return kept

    def _locked(self) -> AbstractContextManager[None]:
        return nullcontext() if self._folder is None else locked(self._folder / RECEIPT_KEYS_NAME)


def _new(older: tuple[str, ...]) -> _Kept:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode("ascii")
    return _Kept(private, (*older, _public(key))[-MOST_KEYS:])


def _private(kept: _Kept) -> "Ed25519PrivateKey":
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_ssh_private_key

    key = load_ssh_private_key(kept.private.encode("ascii"), None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("not an Ed25519 key")
    return key


def _public(key: "Ed25519PrivateKey") -> str:
    return ed25519_public(key.public_key().public_bytes_raw())


def _keyid(public: str) -> str:
    return fingerprint(key_blob(public))
