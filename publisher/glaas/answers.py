"""The meaning of one answer of a registry: its document, the reply in it, or the error for the user."""

import re
from typing import Any, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ValidationError

from roar_publisher.glaas.lenient import unwrapped
from roar_publisher.glaas.policy import Verdict, judge, own_words, parse, redirect_target
from roar_publisher.net.exchange import Reply
from roar_publisher.state.errors import Transient
from roar_publisher.state.reasons import Reason

SHORTEST_CREDENTIAL = 16
"""Characters. Anything shorter is a word of the protocol, a time, or too weak to be a credential."""
FIRST_ERROR = 400
NO_CONTENT = (204, 205)
TOO_LARGE = 413
WAITS = frozenset({408, 420, 421, 423, 425, 429, 503, 529})
"""Statuses that ask the client to wait, whoever sends them."""
R = TypeVar("R", bound=BaseModel)


def document_of(reply: Reply, hidden: set[str]) -> Any:
    """Return the JSON of a reply, `{}` for a success without content, or None if it is not JSON.

    hidden: what to cut out of every text in it (see `shown`).
    """
    if reply.status in NO_CONTENT or reply.body.strip() == b"null":
        return {}
    return parse(reply.body, hidden)


def judge_answer(status: int, document: object) -> Verdict:
    """Return what an answer at a registry's address means.

    FRONT: the answer is not the registry's own. The registry speaks JSON, and its refusals have a text (`protocol.md
    §2`), so a proxy, a load balancer, a firewall or a sign-in page answered in its place. A 413 from any of these
    counts as a refusal.
    """
    if status in WAITS:
        return Verdict.BUSY
    found = judge(status, document)
    wordless = found is Verdict.REFUSED and status != TOO_LARGE and not own_words(document)
    return Verdict.FRONT if wordless or found is Verdict.GARBLED else found


def read(expect: type[R], document: object) -> R | None:
    """Return the reply in a document, or None if there is no such reply."""
    try:
        return expect.model_validate(unwrapped(document))
    except ValidationError:
        return None


def shown(status: int, authorization: str, secret: str) -> set[str]:
    """Return the credentials of a request, plain and URL-quoted, because a server may repeat them in an error.

    secret: a credential in the request's body; empty if there is none.
    """
    parts = [part for part in re.split(r'[ "]', authorization) if not part.startswith("SHA256:")]
    if status >= FIRST_ERROR:  # a success may return the same credential again
        parts.append(secret)
    credentials = [part for part in parts if len(part) >= SHORTEST_CREDENTIAL]
    return {form for part in credentials for form in (part, quote(part), quote(part, safe=""))}


def redirected(reply: Reply) -> Transient:
    """Return the error for a redirect.

    It is never followed: the registry has moved, or a network requires a sign-in.
    """
    return Transient(
        f"the registry redirects to {redirect_target(reply.headers)}, which is not followed",
        next_step="check the address (--registry, GLAAS_URL), or whether this network wants a sign-in first",
        reason=Reason.NOT_GLAAS,
    )


def answered_by_front(reply: Reply) -> Transient:
    """Return the error for a front that answers too long in the place of a registry that was met."""
    return Transient(
        f"something in front of the registry answers in its place: HTTP {reply.status}, not as GLaaS does",
        next_step="check the proxy, firewall or sign-in page in between",
        reason=Reason.FRONT,
    )


def not_glaas(registry: str) -> Transient:
    """Return the error for an address where no registry has ever been met."""
    return Transient(
        f"{registry} answers, but not as a GLaaS registry does",
        next_step="check the address (--registry, GLAAS_URL), or whether a proxy stands between",
        reason=Reason.NOT_GLAAS,
    )
