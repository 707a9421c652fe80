"""Limits on concurrent finalizes: per session, per client, and in total.

Finalize is the only request whose cost grows with the lineage. If others are running, it waits for its turn, so that
clients that never retry, such as roar-cli, succeed. Only a client with very many pending finalizes is refused.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus

from msgspec import Struct, field

from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.store.queues import Queues

RETRY_AFTER_SECONDS = 5
"""`Retry-After` for a client with too many pending finalizes."""


class Limits(Struct, frozen=True):
    """Maximum running finalizes, and maximum pending ones (running and waiting) of a session and of a client."""

    running: int = 4
    running_of_client: int = 2
    of_session: int = 4
    of_client: int = 32


class Turns(Struct):
    """The turns of one registry."""

    limits: Limits = Limits()
    _queues: Queues = field(default_factory=Queues)

    @asynccontextmanager
    async def turn(self, session_id: str, client: str) -> AsyncIterator[None]:
        """Wait for a turn and hold it for the duration of the block. `client` is a user's id or a host's address.

        A cancelled caller leaves the queue. Raises `Refusal` (429) immediately if too many are pending.
        """
        limits = self.limits
        async with AsyncExitStack() as stack:
            for kind, name, running, maximum in (
                ("session", session_id, 1, limits.of_session),
                ("client", client, limits.running_of_client, limits.of_client),
                ("all", "", limits.running, None),
            ):
                if maximum is not None and (length := self._queues.length((kind, name))) >= maximum:
                    raise _too_many(kind, length)
                await stack.enter_async_context(self._queues.turn((kind, name), running))
            yield


def _too_many(kind: str, length: int) -> Refusal:
    detail = (
        f"{length} finalizes of this {kind} are pending already; nothing of this request was done,"
        f" try again in {RETRY_AFTER_SECONDS} s"
    )
    return Refusal(HTTPStatus.TOO_MANY_REQUESTS, detail, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})
