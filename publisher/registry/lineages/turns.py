"""How many finalizes may run at once: of one session, of one client, and in all.

A finalize is the one request whose cost grows with the lineage.  One that comes while others run waits for its turn, so
that clients which never try again, as roar-cli, go through.  Only a client that has very many on the way is refused.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus

from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.store.lines import Lines

RETRY_AFTER_SECONDS = 5
"""What a client is asked to wait that has too many finalizes on the way."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Finalizes that run at once, and that may be on the way (running and waiting) for a session and for a client."""

    running: int = 4
    running_of_client: int = 2
    of_session: int = 4
    of_client: int = 32


@dataclass(slots=True)
class Turns:
    """The turns of one registry."""

    limits: Limits = Limits()
    _lines: Lines = field(default_factory=Lines)

    @asynccontextmanager
    async def turn(self, session_id: str, client: str) -> AsyncIterator[None]:
        """Hold a turn for the length of the block, after waiting for it.  client: a user's id or a host's address.

        A cancelled caller gives its place up.  Raises `Refusal` (429), at once, where too many are on the way.
        """
        limits = self.limits
        async with AsyncExitStack() as stack:
            for kind, name, running, most in (
                ("session", session_id, 1, limits.of_session),
                ("client", client, limits.running_of_client, limits.of_client),
                ("all", "", limits.running, None),
            ):
                if most is not None and (length := self._lines.length((kind, name))) >= most:
                    raise _too_many(kind, length)
                await stack.enter_async_context(self._lines.turn((kind, name), running))
            yield


def _too_many(kind: str, length: int) -> Refusal:
    detail = (
        f"{length} finalizes of this {kind} are on the way already; nothing of this request is done,"
        f" try again in {RETRY_AFTER_SECONDS} s"
    )
    return Refusal(HTTPStatus.TOO_MANY_REQUESTS, detail, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})
