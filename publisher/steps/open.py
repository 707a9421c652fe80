"""OPEN: create the registration session, or meet the one that an earlier attempt created."""

from roar_publisher.auth.decide import Decision
from roar_publisher.glaas.caller import ANONYMOUS, Refused
from roar_publisher.glaas.policy import dump
from roar_publisher.glaas.wire import OpenReply
from roar_publisher.run import Outcome, Run
from roar_publisher.state.errors import Rejected
from roar_publisher.state.machine import Event
from roar_publisher.state.record import Progress
from roar_publisher.steps.sessions import (
    BASE,
    FORBIDDEN,
    UNAUTHORIZED,
    client_session_id,
    credential_rejected,
    session_authorizer,
)


async def open_session(run: Run) -> Outcome:
    """Open the session of this publish and epoch; the same `client_session_id` gets the same session back.

    An anonymous session's token is on disk (0600) before the journal says that the session is open, so no crash can
    leave a session without its credential.  Raises Refused, Transient.
    """
    progress = await run.on_disk(run.journal.progress)
    anonymous = progress.credential == Decision.ANONYMOUS_SESSION
    try:
        reply = await ask_for_session(run, progress)
    except Refused as refusal:
        if refusal.status in (UNAUTHORIZED, FORBIDDEN) and not anonymous:
            return credential_rejected(run, refusal)
        raise
    if anonymous:
        if not reply.registration_session_token:
            raise Rejected("the registry opened an anonymous session without its token")
        await run.on_disk(run.paths.write_session_token, reply.registration_session_token)
    finalized = reply.status == "closed" or progress.hash is not None
    event = Event.ALREADY_PUBLISHED if finalized else Event.OPENED
    return Outcome(event, {"remote_session": reply.registration_session_id})


async def ask_for_session(run: Run, progress: Progress) -> OpenReply:
    """The session of this publish and epoch as the registry has it, or has it now.  Raises Refused, Transient."""
    body = {"client_session_id": client_session_id(run, progress)}
    anonymous = progress.credential == Decision.ANONYMOUS_SESSION
    if anonymous:
        body["mode"] = "anonymous_public"
    authorize = ANONYMOUS if anonymous else session_authorizer(run, progress)
    return await run.caller.call("POST", BASE, dump(body), expect=OpenReply, authorize=authorize)
