"""What a 404 means during a publish: the session is gone, or the registry lacks the endpoint (protocol.md §4).

Asking for the session by its own id distinguishes the two. A registry may lack the endpoints for artifacts and for
datasets. Their data is then sent with the links. If it has lost the endpoint for the links of several jobs, the links
are sent one job and direction at a time.
"""

import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import anyio
from msgspec.structs import replace

from roar_publisher.engine.run import Outcome, Run
from roar_publisher.engine.steps.open import NO_ENDPOINT, request_session
from roar_publisher.engine.steps.sessions import FORBIDDEN, UNAUTHORIZED, credential_rejected
from roar_publisher.glaas.client import Refused
from roar_publisher.net.documents import dump
from roar_publisher.report import Noted
from roar_publisher.state.errors import Transient
from roar_publisher.state.journal import Journal
from roar_publisher.state.machine import Event
from roar_publisher.state.reasons import Reason
from roar_publisher.state.record import Progress
from roar_publisher.state.units import LINKS, Kind, Unit

NOT_FOUND, GONE = 404, 410
OPTIONAL = {Kind.ARTIFACTS: "artifacts/batch", Kind.COMPOSITE: "artifacts/composites"}
"""The endpoints that a registry may lack, by the kind of unit they accept."""
LINKS_BATCH = "links/batch"
"""The endpoint for the links of several jobs, which the registry had when it was asked for its features."""
_DISPENSABLE = frozenset({*OPTIONAL.values(), LINKS_BATCH})
"""Endpoints that the registry may lack: what they take is sent in another way."""
NOTES = {
    OPTIONAL[Kind.ARTIFACTS]: "this registry does not accept artifacts separately; they are sent with the links",
    OPTIONAL[Kind.COMPOSITE]: "this registry does not accept datasets; each is sent as one artifact without its list"
    " of files",
}


class Endpoints:
    """The optional endpoints that the registry lacks, as found during one drain and stored in the journal.

    there: returns whether the object of the requests (such as the session) exists; called at most once per endpoint.
    links_capability: the capability of a registry that has the endpoint for the links of several jobs.
    """

    def __init__(
        self, run: Run, progress: Progress, there: Callable[[], Awaitable[bool]], links_capability: str
    ) -> None:
        self._run = run
        self._there = there
        self._capabilities = progress.capabilities
        self._links_capability = links_capability
        self._missing = {name for name in _DISPENSABLE if progress.capabilities.get(_no(name))}
        self._one_at_a_time = anyio.Lock()
        self._descriptions: dict[str, dict[str, Any]] | None = None

    def lacks(self, kind: Kind) -> bool:
        """Return whether the registry has no endpoint for units of this kind."""
        return OPTIONAL.get(kind) in self._missing

    @property
    def links_batch(self) -> bool:
        """Whether the registry has the endpoint for the links of several jobs."""
        return bool(self._capabilities.get(self._links_capability)) and LINKS_BATCH not in self._missing

    async def is_missing(self, endpoint: str, refusal: Refused) -> bool:
        """Return whether a refusal means that the registry lacks this endpoint. Raises as `there` does.

        endpoint: one that it may lack (`OPTIONAL`, LINKS_BATCH); False for any other one.
        """
        if endpoint not in _DISPENSABLE or refusal.status not in NO_ENDPOINT:
            return False
        async with self._one_at_a_time:
            if endpoint not in self._missing and (refusal.status != NOT_FOUND or await self._there()):
                self._missing.add(endpoint)
                self._capabilities = self._capabilities | {_no(endpoint): True}
                await self._run.journal.remember(capabilities=self._capabilities)
                if note := NOTES.get(endpoint):
                    self._run.report(Noted(note))
        return endpoint in self._missing

    async def with_descriptions(self, unit: Unit) -> Unit:
        """Add artifact descriptions to a unit of links if an endpoint is missing. Return other units unchanged."""
        kinds = [kind for kind in OPTIONAL if self.lacks(kind)]
        if not kinds or unit.kind not in LINKS:
            return unit
        async with self._one_at_a_time:
            if self._descriptions is None:
                self._descriptions = await self._run.journal.call(_descriptions, kinds)
        links = [self._descriptions.get(link["hash"], {}) | link for link in json.loads(unit.body)]
        return replace(unit, body=dump(links))


async def session_exists(run: Run, progress: Progress) -> bool:
    """Return whether the registry still has the session of this publish. Raises Refused, Transient.

    It is asked by the request that opens it. A registry that has lost it opens an empty one, which is left to expire:
    after SESSION_LOST, OPEN requests a session of the next epoch.
    """
    reply = await request_session(run, progress)
    return reply.registration_session_id == progress.remote_session and not reply.created


async def session_event(run: Run, progress: Progress, refusal: Refused) -> Outcome | None:
    """Return the event for a refusal inside a session, or None if it is a plain refusal.

    Raises Transient for a 404 if the session exists or cannot be asked for, so that nothing staged is given up.
    """
    if refusal.status in (UNAUTHORIZED, FORBIDDEN):
        return credential_rejected(run, refusal)
    if refusal.status == GONE:
        return Outcome(Event.SESSION_LOST, {"detail": refusal.what})
    if refusal.status != NOT_FOUND:
        return None
    try:
        there = await session_exists(run, progress)
    except Refused as again:
        if again.status in (UNAUTHORIZED, FORBIDDEN):
            return credential_rejected(run, again)
        raise Transient(
            f"{refusal.what}; the session cannot be requested: {again.what}", reason=Reason.SERVER_FAILING
        ) from again
    if there:
        what = f"the registry has this session, but not the requested resource: {refusal.what}"
        raise Transient(what, reason=Reason.SERVER_FAILING) from refusal
    return Outcome(Event.SESSION_LOST, {"detail": refusal.what})


def _no(endpoint: str) -> str:
    return f"no {endpoint}"


def _descriptions(journal: Journal, kinds: Iterable[Kind]) -> dict[str, dict[str, Any]]:
    """Return the description of every artifact of these kinds, by each of its digests. Blocking."""
    found: dict[str, dict[str, Any]] = {}
    for kind in kinds:
        for body in journal.units.bodies(kind):
            for artifact in json.loads(body):
                description = {
                    name: artifact[name] for name in ("size", "source_type", "metadata") if artifact.get(name)
                }
                found |= {entry["digest"]: description for entry in artifact["hashes"]}
    return found
