"""Check a receipt without a network: its signatures, what it states, and the digests of files."""

import re
from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from roar_publisher.glaas.envelope import InvalidReceipt, ReceiptEnvelope, ReceiptSignature, key_blob
from roar_publisher.glaas.signature import fingerprint
from roar_publisher.lineage.statement import Statement, read_statement
from roar_publisher.state.reasons import Reason
from roar_publisher.verification.errors import CannotCheck

_ORIGIN = re.compile(r"https?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?")
"""The form of a registry's origin. A receipt may name anything, and this becomes part of a command to type."""


class TrustedKey(Struct, frozen=True):
    """A key that the user believes. public: as in a `.pub` file. named: what it is called in messages.

    origins: the only registries that it may sign for; None for a key that the user has named.
    """

    public: str
    named: str
    origins: tuple[str, ...] | None = None


class Signer(Struct, frozen=True):
    """Whose valid signature a receipt has. named: empty if the user has not named the key."""

    keyid: str
    named: str


class CheckedReceipt(Struct, frozen=True):
    """A receipt that was not changed, and that a trusted key signed."""

    statement: Statement
    signers: tuple[Signer, ...]


def check_receipt(content: bytes, trusted: Mapping[str, TrustedKey]) -> CheckedReceipt:
    """Check a receipt. trusted: by fingerprint.

    Every signature must be valid, and at least one must be of a trusted key. Raises InvalidReceipt if it proves
    nothing, CannotCheck if the user trusts none of its keys, not the one that a signature needs, or one for another
    registry alone.
    """
    envelope = ReceiptEnvelope.of_bytes(content)
    if not envelope.signatures:
        raise InvalidReceipt("it has no signature")
    signed = envelope.signed_bytes
    keys = [(each, trusted.get(each.keyid)) for each in envelope.signatures]
    for signature, key in keys:
        public = key.public if key is not None else signature.ssh_key
        if public is not None and not signature.is_made_by(public, signed):
            raise InvalidReceipt(f"it was changed: the signature of {signature.keyid} does not fit")
    statement = read_statement(envelope.payload)
    for _, key in keys:
        if key is not None and key.origins is not None and statement.facts.registry not in key.origins:
            registry = statement.facts.registry if _ORIGIN.fullmatch(statement.facts.registry) else "another registry"
            raise CannotCheck(
                f"it is from {registry}, but signed by a key that you trust only for {', '.join(key.origins)}",
                next_step=_remedy(statement.facts.registry),
                reason=Reason.AUTH,
            )
    _require_trust(keys, statement)
    return CheckedReceipt(statement, tuple(Signer(each.keyid, key.named if key else "") for each, key in keys))


def trusted_keys(keys: list[TrustedKey]) -> dict[str, TrustedKey]:
    """Return keys by fingerprint. One that is listed several times may sign for every registry that it is listed for.

    Raises ValueError for what is no key.
    """
    found: dict[str, TrustedKey] = {}
    for each in keys:
        name = fingerprint(key_blob(each.public))
        before = found.get(name, each)
        anywhere = each.origins is None or before.origins is None
        origins = None if anywhere else tuple(dict.fromkeys((*(before.origins or ()), *(each.origins or ()))))
        found[name] = replace(each if each.origins is None else before, origins=origins)
    return found


def _require_trust(keys: list[tuple[ReceiptSignature, TrustedKey | None]], statement: Statement) -> None:
    registry = statement.facts.registry
    missing = [each.keyid for each, key in keys if key is None and each.ssh_key is None]
    if missing:
        raise CannotCheck(
            f"it is also signed by the key {missing[0]}, which you have not named",
            next_step=_remedy(registry),
            reason=Reason.AUTH,
        )
    if not any(key is not None for _, key in keys):
        names = ", ".join(each.keyid for each, _ in keys)
        raise CannotCheck(
            f"its signature is valid, but roar does not know that you trust the key ({names})",
            next_step="add --key FILE, with the public key that its publisher gave you",
            reason=Reason.AUTH,
        )


def _remedy(registry: str) -> str:
    from_registry = f", or, if you trust that registry: roar registry trust {registry} --receipt-keys"
    return f"--key FILE, with its public key{from_registry if _ORIGIN.fullmatch(registry) else ''}"
