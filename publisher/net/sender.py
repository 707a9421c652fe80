"""Sends one attempt of a request: how long it may wait for an answer, and what is watched meanwhile."""

from collections.abc import Awaitable, Callable
from functools import partial

import anyio

from roar_publisher.net.exchange import ANSWER_SECONDS, Exchange, Reply
from roar_publisher.net.route import Unreachable
from roar_publisher.net.silence import Silence
from roar_publisher.report import Reporter
from roar_publisher.tasks import background

FIRST_CONTACT_ANSWER_SECONDS = 10.0
"""The timeout of a request while the registry has never answered.

The rest of the gate's FIRST_CONTACT_SECONDS is for a probe.
"""
LONGEST_ANSWER_SECONDS = 60.0
"""The longest timeout. Each retry after a timeout adds ANSWER_SECONDS, because the connection may be slow."""
LONG_WORK_SECONDS = 300.0
"""The timeout of a request that is known to take long: finalize hashes the whole lineage."""


def seconds_to_answer(*, takes_long: bool, answered_before: bool, silences: int) -> float:
    """Return how long one attempt waits for its reply to begin.

    answered_before: whether the registry ever answered. silences: earlier attempts of this request that timed out.
    """
    if takes_long:
        return LONG_WORK_SECONDS
    if not answered_before:
        return FIRST_CONTACT_ANSWER_SECONDS
    return min(ANSWER_SECONDS * (1 + silences), LONGEST_ANSWER_SECONDS)


class Sender:
    """Sends the requests of one publish. health: the path to probe."""

    def __init__(self, exchange: Exchange, health: str, report: Reporter) -> None:
        self._exchange = exchange
        self._health = health
        self.silence = Silence(report)

    async def send(
        self,
        method: str,
        path: str,
        body: bytes | None,
        authorization: str | None,
        *,
        encoding: str | None,
        within: float,
    ) -> Reply:
        """Send a request like `Exchange.send`.

        If it may take longer than any usual request, the network is probed meanwhile, and Unreachable is raised as soon
        as the registry accepts no more connections.
        """
        sending = partial(self._exchange.send, method, path, body, authorization, encoding=encoding, within=within)
        with self.silence.running(within):
            return await (self._while_connected(sending) if within > LONGEST_ANSWER_SECONDS else sending())

    async def probe(self) -> None:
        """Ask for the registry's health over a new connection. Raises Unreachable if nothing answers."""
        await self._exchange.probe(self._health)

    async def _while_connected(self, send: Callable[[], Awaitable[Reply]]) -> Reply:
        """Send while probing. A busy registry may not answer a probe, but its machine accepts the connection."""

        async def keep_probing() -> None:
            while True:
                await anyio.sleep(ANSWER_SECONDS)
                try:
                    await self.probe()
                except Unreachable as error:
                    if not error.connected:
                        raise

        async with background(keep_probing):
            return await send()
