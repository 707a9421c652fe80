"""Registration sessions: private staging areas with one graph each (`protocol.md §1, §4`).

A user's session belongs to that user, regardless of the kind of credential. An anonymous session belongs to the holder
of its token. A session lives for `LIFETIME` after its last write; `sweeping` removes expired ones.

The token of an open anonymous session expires with the session. After finalize it is valid for `LABELLING_TIME`, for
the labels and for a receipt that was lost in transit. Opening the session again, by its `client_session_id`, restarts
that time.
"""

from http import HTTPStatus

from roar_publisher.guarded import Guarded
from roar_publisher.registry.accounts.callers import Caller, Credential, is_session_token
from roar_publisher.registry.accounts.limits import check_open_sessions, check_staged_bytes
from roar_publisher.registry.http.refusals import Refusal, unauthorized
from roar_publisher.registry.store import sessions
from roar_publisher.registry.store.access import ANONYMOUS_OWNER
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.graphs import discard_graph, new_graph
from roar_publisher.registry.store.sessions import Session

LIFETIME = 24 * 3600.0
"""Seconds from the last write to the end of an open session."""
LABELLING_TIME = 7 * 24 * 3600.0
"""Seconds from a finalize to the end of the session's token, because a publisher may be interrupted before it sends
its labels."""


class Access(Guarded, frozen=True):
    """A caller's request to use a session.

    `secret` is the server's, for the token. `now` is in Unix seconds. `most_bytes` is what a session may stage.
    """

    HIDDEN = ("secret",)

    session_id: str
    caller: Caller
    secret: bytes
    now: float
    most_bytes: int


def open_session(
    connection: Connection,
    caller: Caller,
    *,
    client_session_id: str | None,
    mode: str,
    now: float,
    client: str,
    most_open: int,
) -> tuple[Session, bool]:
    """Return the caller's session for this client id, and whether it is new. Without a client id, it is always new.

    `client` is the address. Raises `Refusal` as `check_open_sessions` for a new one without a sign-in.
    """
    if client_session_id is not None:
        session = sessions.find_by_client_id(connection, caller.owner, client_session_id)
        if session is not None and _has_expired(session, now):
            sessions.delete(connection, session.id)
            discard_graph(connection, session.graph_id)
        elif session is not None:
            left = LIFETIME if session.receipt is None else LABELLING_TIME
            sessions.extend(connection, session.id, now + left)
            return session, False
    anonymous = caller.owner == ANONYMOUS_OWNER
    if anonymous:
        check_open_sessions(connection, client, most_open, now)
    created = sessions.insert(
        connection,
        owner=caller.owner,
        identity=caller.identity,
        client_session_id=client_session_id,
        mode=mode,
        graph_id=new_graph(connection),
        expires_at=now + LIFETIME,
        client=client if anonymous else "",
    )
    return created, True


def find_session(connection: Connection, access: Access) -> Session:
    """Return the caller's session, open or closed.

    Raises `Refusal`: 401 without a credential and for an expired token; 403 for the token of another session; 404 if
    the session is unknown, expired or not the caller's. None of this tells others whether the session exists.
    """
    caller = access.caller
    if caller.credential is Credential.NOTHING:
        raise unauthorized("a registration session needs the credential that it was opened with")
    by_token = caller.credential is Credential.SESSION_TOKEN
    if by_token and not is_session_token(access.secret, access.session_id, caller.token):
        raise Refusal(HTTPStatus.FORBIDDEN, "this token belongs to another registration session")
    session = sessions.find(connection, access.session_id)
    if session is None or session.owner != caller.owner or _has_expired(session, access.now):
        detail = "no such registration session of yours, or it has expired: open a new one"
        raise Refusal(HTTPStatus.NOT_FOUND, detail)
    if session.owner == ANONYMOUS_OWNER and session.expires_at <= access.now:
        raise unauthorized("this registration session and its token have expired")
    return session


def touch_open_session(connection: Connection, access: Access, size: int) -> Session:
    """Return the open session for a write of `size` bytes, extend its lifetime, and increment its revision.

    From here on, transactions that write into the same session alongside wait for this one, because of its row.

    Raises `Refusal`: as `find_session`; 409 with the receipt if the session is closed; as `check_staged_bytes`.
    """
    found = find_session(connection, access)
    if found.receipt is not None:
        detail = "this registration session is closed: its lineage is published"
        raise Refusal(HTTPStatus.CONFLICT, detail, {"status": "closed", "receipt": found.receipt})
    # What it waited for may have prepared the session.
    session, staged = sessions.record_write(connection, found.id, access.now + LIFETIME, size)
    check_staged_bytes(staged, access.most_bytes)
    return session


def close_session(connection: Connection, access: Access, graph_id: int, receipt: dict[str, object]) -> None:
    """Close the session with its receipt. It refers to the published graph from then on."""
    sessions.close(connection, access.session_id, graph_id, receipt, access.now + LABELLING_TIME)


def _has_expired(session: Session, now: float) -> bool:
    return session.receipt is None and session.expires_at <= now
