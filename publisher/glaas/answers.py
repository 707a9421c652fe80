"""What one answer of a registry amounts to: its document, the reply in it, or the error that a person reads."""

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
"""Characters.  What is shorter is a word of the protocol, a time, or no credential worth the name."""
FIRST_ERROR = 400
NO_CONTENT = (204, 205)
TOO_LARGE = 413
WAITS = frozenset({408, 420, 421, 423, 425, 429, 503, 529})
"""Statuses that ask for patience, whoever says so."""
R = TypeVar("R", bound=BaseModel)


def document_of(reply: Reply, hidden: set[str]) -> Any:
    """The JSON of a reply, `{}` for a success that says nothing; None where it is no JSON.

    hidden: what is cut out of every text in it (`shown`).
    """
    if reply.status in NO_CONTENT or reply.body.strip() == b"null":
        return {}
    return parse(reply.body, hidden)


def judge_answer(status: int, document: object) -> Verdict:
    """What an answer at a registry's address means.

    FRONT: it is not the registry's own, which speaks JSON, and whose refusals have words (`protocol.md §2`): a proxy,
    a load balancer, a firewall or a sign-in page answers in its place.  A body that is too large for one of these is
    too large, whoever says so.
    """
    if status in WAITS:
        return Verdict.BUSY
    found = judge(status, document)
    wordless = found is Verdict.REFUSED and status != TOO_LARGE and not own_words(document)
    return Verdict.FRONT if wordless or found is Verdict.GARBLED else found


def read(expect: type[R], document: object) -> R | None:
    """The reply in a document; None where there is none such."""
    try:
        return expect.model_validate(unwrapped(document))
    except ValidationError:
        return None


def shown(status: int, authorization: str, secret: str) -> set[str]:
    """The credentials of a request, plain and as URLs quote them, for a server may repeat them in its complaint.

    secret: a credential in the request's body, empty if there is none.
    """
    parts = [part for part in re.split(r'[ "]', authorization) if not part.startswith("SHA256:")]
    if status >= FIRST_ERROR:  # else it may be the same credential, given once more
        parts.append(secret)
    credentials = [part for part in parts if len(part) >= SHORTEST_CREDENTIAL]
    return {form for part in credentials for form in (part, quote(part), quote(part, safe=""))}


def redirected(reply: Reply) -> Transient:
    """The error for a redirect, which is never followed: the registry has moved, or a network wants a sign-in."""
    return Transient(
        f"the registry redirects to {redirect_target(reply.headers)}, which is not followed",
        next_step="check the address (--registry, GLAAS_URL), or whether this network wants a sign-in first",
        reason=Reason.NOT_GLAAS,
    )


def answered_by_front(reply: Reply) -> Transient:
    """The error for a front that has answered for too long in the place of a registry that was met before."""
    return Transient(
        f"something in front of the registry answers in its place: HTTP {reply.status}, not as GLaaS does",
        next_step="check the proxy, firewall or sign-in page in between",
        reason=Reason.FRONT,
    )


def not_glaas(registry: str) -> Transient:
    """The error for an address where no registry has ever been met."""
    return Transient(
        f"{registry} answers, but not as a GLaaS registry does",
        next_step="check the address (--registry, GLAAS_URL), or whether a proxy stands between",
        reason=Reason.NOT_GLAAS,
    )
