"""The id of each request: in the reply, in every log line about it, and in the client's error."""

import re
import secrets
from contextvars import ContextVar

HEADER = b"x-request-id"
REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the request that the current task serves; empty outside of requests."""
_ACCEPTED = re.compile(rb"[A-Za-z0-9._-]{1,64}")


def request_id_of(sent: bytes | None) -> str:
    """Return the id that a client or proxy sent, if it is harmless, or else a new one."""
    if sent is not None and _ACCEPTED.fullmatch(sent):
        return sent.decode("ascii")
    return secrets.token_hex(8)
