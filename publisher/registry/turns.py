"""How many finalizes may run at once: of one session, of one client, and in all.

A finalize is the one request whose cost grows with the lineage.  One that comes while others run waits for its turn, so
that clients which never try again, as roar-cli, go through.  Only a client that has very many on the way is refused.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus

import anyio

from roar_publisher.registry.refusals import Refusal

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
class _Line:
    """Who shares one limit.  on_the_way: running and waiting."""

    limiter: anyio.CapacityLimiter
    on_the_way: int = 0


@dataclass(slots=True)
class Turns:
    """The turns of one registry."""

    limits: Limits = Limits()
    _lines: dict[tuple[str, str], _Line] = field(default_factory=dict)

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
                await stack.enter_async_context(self._in_line((kind, name), running, most))
            yield

    @asynccontextmanager
    async def _in_line(self, key: tuple[str, str], running: int, most: int | None) -> AsyncIterator[None]:
        line = self._lines.setdefault(key, _Line(anyio.CapacityLimiter(running)))
        if most is not None and line.on_the_way >= most:
            detail = (
                f"{line.on_the_way} finalizes of this {key[0]} are on the way already; nothing of this request is"
                f" done, try again in {RETRY_AFTER_SECONDS} s"
            )
            headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
            raise Refusal(HTTPStatus.TOO_MANY_REQUESTS, detail, headers=headers)
        line.on_the_way += 1
        try:
            # A request may hold several limiters, and one task several requests: each is its own borrower.
            borrower = object()
            await line.limiter.acquire_on_behalf_of(borrower)
            try:
                yield
            finally:
                line.limiter.release_on_behalf_of(borrower)
        finally:
            line.on_the_way -= 1
            if line.on_the_way == 0:
                del self._lines[key]
