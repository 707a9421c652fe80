"""What the steps around a registration session share: its id, credential and route, and the meaning of a refusal."""

import hashlib
import hmac
from functools import partial

from roar_publisher.auth.choice import Decision
from roar_publisher.auth.rejection import explain_rejection
from roar_publisher.engine.run import Outcome, Run
from roar_publisher.engine.staging.routes import StagedRoute
from roar_publisher.glaas.client import Authorizer, Refused
from roar_publisher.glaas.protocol import ANONYMOUS_IDENTITY, API_ROOT
from roar_publisher.lineage.canonical import remote_job_uid
from roar_publisher.state.machine import Event
from roar_publisher.state.record import Progress

BASE = f"{API_ROOT}/registration-sessions"
LINEAGES = f"{API_ROOT}/sessions"
UNAUTHORIZED, FORBIDDEN, CONFLICT = 401, 403, 409


def client_session_id(run: Run, progress: Progress) -> str:
    """Return the id under which this user requests this session, the same after a lost reply or a lost journal.

    It is an HMAC with the user's own key, because anyone who knows the id of an anonymous session gets its token.
    """
    subject = "\0".join(
        [run.plan.registry, progress.identity or ANONYMOUS_IDENTITY, run.plan.digest, str(progress.epoch)]
    )
    return hmac.new(run.user_key, subject.encode(), hashlib.sha256).hexdigest()


def provisional_hash(run: Run, progress: Progress) -> str:
    """Return the provisional lineage hash, from which the remote uids follow (protocol.md §6)."""
    return run.plan.provisional[progress.identity or ANONYMOUS_IDENTITY]


def is_anonymous(progress: Progress) -> bool:
    """Return whether the publish names no user, so that its session has a token of its own."""
    return progress.identity in (None, ANONYMOUS_IDENTITY)


class _SessionToken:
    """The Authorizer for an anonymous session: its only credential, as it is on disk when a step begins."""

    def __init__(self, token: str | None) -> None:
        self._token = token

    async def header(self, method: str, path: str, body: bytes | None) -> str | None:
        return f"RegistrationSession {self._token}" if self._token else None

    async def renew(self, rejected: str) -> bool:
        return False


async def session_authorizer(run: Run, progress: Progress) -> Authorizer:
    """Return the authorizer of requests inside the session: its own token, or the credential that opened it."""
    decision = Decision(progress.credential or Decision.ANONYMOUS_SESSION)
    if decision is Decision.ANONYMOUS_SESSION:
        return _SessionToken(await run.files.read_session_token())
    return await run.keyring.authorizer(decision, run.client, progress.identity)


def staged_route(run: Run, progress: Progress, *, lineage_hash: str | None = None) -> StagedRoute:
    """Return the route of units while they are staged and, for labels, afterwards."""
    provisional = provisional_hash(run, progress)
    return StagedRoute(
        progress.remote_session or "",
        partial(remote_job_uid, provisional),
        lineage_hash=lineage_hash,
        labels_in_session=not progress.published_elsewhere or progress.binding_prepared,
    )


def credential_rejected(run: Run, refusal: Refused) -> Outcome:
    """Return the outcome for a 401 or 403."""
    return Outcome(Event.CREDENTIAL_REJECTED, {"detail": explain_rejection(refusal, run.clock())})
