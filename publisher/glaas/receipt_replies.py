"""The replies about receipts (`protocol.md §4`). Public keys are Ed25519 keys as in a `.pub` file, without comments."""

import re
from typing import Annotated, Any

from roar_publisher.glaas.field_readers import Unreadable
from roar_publisher.glaas.replies import AsWritten, ReplyBody

ED25519_KEY = re.compile(r"ssh-ed25519 [A-Za-z0-9+/]{68}")


def _public_key(value: object) -> str:
    if not isinstance(value, str) or not ED25519_KEY.fullmatch(value):
        raise Unreadable("not a public key")
    return value


def _public_keys(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise Unreadable("not a list")
    return tuple(_public_key(each.get("public") if isinstance(each, dict) else None) for each in value)


class ReceiptReply(ReplyBody, frozen=True):
    """`GET /sessions/:hash/receipt`: a document of `glaas.envelope`, and the key that signed it."""

    envelope: AsWritten
    key: Annotated[str, _public_key]


class ReceiptKeysReply(ReplyBody, frozen=True):
    """`GET /receipt-keys`: the registry's keys; the current one first."""

    keys: Annotated[tuple[str, ...], _public_keys]
