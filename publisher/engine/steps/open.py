"""OPEN: creates the registration session, or finds the one that an earlier attempt created."""

from roar_publisher.auth.decide import Decision
from roar_publisher.engine.run import Outcome, Run
from roar_publisher.engine.steps.receipts import mismatch
from roar_publisher.engine.steps.sessions import (
    BASE,
    FORBIDDEN,
    UNAUTHORIZED,
    client_session_id,
    credential_rejected,
    session_authorizer,
)
from roar_publisher.glaas.client import ANONYMOUS, Authorizer, Refused
from roar_publisher.glaas.protocol import ANONYMOUS_PUBLIC
from roar_publisher.glaas.replies import OpenReply
from roar_publisher.glaas.request_dicts import OpenBody
from roar_publisher.net.documents import dump
from roar_publisher.state.errors import NeedsUser, Rejected
from roar_publisher.state.machine import Event
from roar_publisher.state.reasons import Reason
from roar_publisher.state.record import Progress

NO_ENDPOINT = frozenset({404, 405, 501})
"""Statuses with which an older registry answers the request for a session."""


async def open_session(run: Run, progress: Progress) -> Outcome:
    """Open the session of this publish and epoch. The same `client_session_id` returns the same session.

    An anonymous session's token is on disk (0600) before the journal says that the session is open, so a crash cannot
    leave a session without its credential. An older registry lacks this endpoint, whatever it advertises; a public
    publish without a scope then takes the legacy route (NO_STAGING).

    A lineage that this publish has finalized stays published, whatever the registry answers: FINALIZE sends its labels
    with the credential that is there.

    Raises NeedsUser if the legacy route would not keep the scope (private, or in a project), Rejected if the reply
    contradicts itself or lacks an anonymous session's token, Refused, Transient.
    """
    anonymous = progress.credential == Decision.ANONYMOUS_SESSION
    published = progress.hash is not None
    try:
        reply = await request_session(run, progress)
    except Refused as refusal:
        if refusal.status in (UNAUTHORIZED, FORBIDDEN) and not anonymous:
            return credential_rejected(run, refusal)
        if published:
            return Outcome(Event.ALREADY_PUBLISHED, {})
        if refusal.status not in NO_ENDPOINT:
            raise
        if progress.scope_request is not None:
            raise _no_sessions(run, progress) from refusal
        credential = Decision.LEGACY.value if anonymous else progress.credential
        return Outcome(Event.NO_STAGING, {"remote_session": None, "credential": credential})
    if anonymous and reply.registration_session_token:
        await run.files.write_session_token(reply.registration_session_token)
    elif anonymous and not published:
        raise Rejected("the registry opened an anonymous session without its token")
    if reply.created and reply.status == "closed" and not published:
        raise mismatch(("it reports that it has just created this session, and that the session is closed",))
    event = Event.ALREADY_PUBLISHED if published or reply.status == "closed" else Event.OPENED
    return Outcome(event, {"remote_session": reply.registration_session_id})


async def request_session(run: Run, progress: Progress) -> OpenReply:
    """Get or create the session of this publish and epoch. Raises Refused, Transient."""
    session_id = client_session_id(run, progress)
    body: OpenBody = {"client_session_id": session_id}
    if progress.credential == Decision.ANONYMOUS_SESSION:
        body["mode"] = ANONYMOUS_PUBLIC
        authorize: Authorizer = ANONYMOUS
    else:
        authorize = await session_authorizer(run, progress)
    return await run.client.call("POST", BASE, dump(body), expect=OpenReply, authorize=authorize)


def _no_sessions(run: Run, progress: Progress) -> NeedsUser:
    private = (progress.scope_request or {}).get("visibility") != "public"
    outside = "" if private else "`roar scope clear`, then: "
    return NeedsUser(
        "this registry has no registration sessions: "
        + ("everything that it accepts is public at once" if private else "it cannot publish into a project"),
        kept="Nothing was sent.",
        next_step=f"have the registry upgraded, then: roar publish --resume {run.plan.id}\n"
        f"or publish to everyone: roar journal cancel {run.plan.id}, then: {outside}roar publish --public",
        reason=Reason.NO_SESSIONS,
    )
