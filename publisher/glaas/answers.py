"""The meaning of one answer of a registry: its document, the reply in it, or the error for the user."""

import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlsplit

from roar_publisher.glaas.acceptance import refuses, unwrapped
from roar_publisher.glaas.replies import ReplyBody
from roar_publisher.net.documents import error_text, own_error_text, parse
from roar_publisher.net.exchange import MAX_REPLY_BYTES, Reply
from roar_publisher.net.policy import Verdict, judge
from roar_publisher.net.retry import Judgement
from roar_publisher.state.errors import Transient
from roar_publisher.state.reasons import Reason

SHORTEST_CREDENTIAL = 16
"""Characters. Anything shorter is a word of the protocol, a time, or too weak to be a credential."""
FIRST_ERROR = 400
NO_CONTENT = (204, 205)
TOO_LARGE = 413
WAITS = frozenset({408, 420, 421, 423, 425, 429, 503, 529})
"""Statuses that ask the client to wait, whichever server sends them."""
R = TypeVar("R", bound=ReplyBody)
_SIGNATURE = re.compile(r'sig="([^"]*)"')
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Answer(Judgement, Generic[R], frozen=True):
    """A judged answer. document: its JSON. accepted: the reply in it, only if the verdict is ACCEPTED."""

    document: Any
    accepted: R | None = None

    @classmethod
    def of(cls, reply: Reply, expect: type[R], hidden: Collection[str]) -> "Answer[R]":
        """Judge a reply. hidden: what to cut out of every text in it (`credentials_to_hide`)."""
        if reply.ok and reply.cut and reply.body.startswith(b"{"):  # no other one would be smaller
            return cls(Verdict.REFUSED, f"its reply is larger than {MAX_REPLY_BYTES // 2**20} MiB", None)
        document = _document_of(reply, hidden)
        verdict = judge_answer(reply.status, document)
        if verdict is not Verdict.ACCEPTED:
            garbled = verdict in (Verdict.GARBLED, Verdict.INTERMEDIARY)
            return cls(verdict, NOT_OF_GLAAS if garbled else _refusal_text(document, reply, hidden), document)
        if refuses(document):
            return cls(Verdict.REFUSED, _refusal_text(document, reply, hidden), document)
        try:
            return cls(verdict, "", document, expect.read(unwrapped(document)))
        except ValueError:
            return cls(Verdict.GARBLED, NOT_OF_GLAAS, document)


NOT_OF_GLAAS = "an answer that does not come from GLaaS"


def _document_of(reply: Reply, hidden: Collection[str]) -> Any:
    """Return the JSON of a reply, `{}` for a success without content, or None if it is not JSON."""
    if reply.status in NO_CONTENT or reply.body.strip() == b"null":
        return {}
    return parse(reply.body, hidden)


def _refusal_text(document: object, reply: Reply, hidden: Collection[str]) -> str:
    """Return the text of a reply that is not accepted, with the id under which the registry has logged the request.

    hidden: what no text may contain.
    """
    text, request_id = error_text(document, reply.status), reply.headers.get("x-request-id", "")
    if not _REQUEST_ID.fullmatch(request_id) or any(secret in request_id for secret in hidden):
        return text
    return f"{text} (request {request_id})"


def judge_answer(status: int, document: object) -> Verdict:
    """Return what an answer at a registry's address means.

    INTERMEDIARY: the answer is not the registry's own. The registry speaks JSON, and its refusals have a text
    (`protocol.md §2`), so a proxy, a load balancer, a firewall or a sign-in page answered in its place. A 413 from any
    of these counts as a refusal.
    """
    if status in WAITS:
        return Verdict.BUSY
    verdict = judge(status)
    if verdict is Verdict.ACCEPTED and document is None:
        return Verdict.INTERMEDIARY
    wordless = verdict is Verdict.REFUSED and status != TOO_LARGE and not own_error_text(document)
    return Verdict.INTERMEDIARY if wordless else verdict


def credentials_to_hide(status: int, authorization: str, secret: str) -> set[str]:
    """Return the credentials of a request, plain and URL-quoted, because a server may repeat them in an error.

    secret: a credential in the request's body; empty if there is none.
    """
    hidden = {*_in_header(authorization)}
    if status >= FIRST_ERROR:  # a success may return the same credential again
        hidden.update(_forms(secret))
    return hidden


@lru_cache(maxsize=8)
def _in_header(authorization: str) -> frozenset[str]:
    """Remembered, because most requests have the same header.

    Of a signed request, only the signature is a credential: what else is in the header, such as the registry's host,
    may well be in a reply.
    """
    scheme, _, credential = authorization.partition(" ")
    signature = _SIGNATURE.search(credential) if scheme == "Signature" else None
    return frozenset(_forms(signature[1] if signature else credential))


def _forms(credential: str) -> tuple[str, ...]:
    if len(credential) < SHORTEST_CREDENTIAL:
        return ()
    return credential, quote(credential), quote(credential, safe="")


def no_answer(verdict: Verdict, reply: Reply, registry: str, *, recognised: bool) -> Transient:
    """Return the error for an address whose final answer is not a registry's.

    A redirect is never followed: the registry has moved, or a network requires a sign-in. An intermediary that answers
    too long counts as one only if a registry was ever recognised at this address.
    """
    match verdict:
        case Verdict.REDIRECTED:
            return Transient(
                f"the registry {registry} redirects to {redirect_target(reply.headers)}, which is not followed",
                next_step="check the address (--registry, GLAAS_URL), or whether this network requires a sign-in",
                reason=Reason.NOT_GLAAS,
            )
        case Verdict.INTERMEDIARY if recognised:
            return Transient(
                f"an intermediary answers in place of the registry {registry}: HTTP {reply.status}, not as GLaaS does",
                next_step="check the proxy, the firewall or the network's sign-in page",
                reason=Reason.INTERMEDIARY,
            )
        case _:
            return Transient(
                f"{registry} answers, but is not a GLaaS registry",
                next_step="check the address (--registry, GLAAS_URL), or whether a proxy answers in its place",
                reason=Reason.NOT_GLAAS,
            )


def redirect_target(headers: Mapping[str, str]) -> str:
    """Return a redirect's target as a host that the user recognises, without its path and query."""
    try:
        return urlsplit(headers.get("location", "")).hostname or "another path of the same host"
    except ValueError:
        return "an address that cannot be read"
