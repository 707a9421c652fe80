"""One attempt of one request: for how long an answer is waited for, and what is looked at meanwhile."""

from collections.abc import Awaitable, Callable
from functools import partial

import anyio

from roar_publisher.net.exchange import ANSWER_SECONDS, Exchange, Reply
from roar_publisher.net.route import Unreachable
from roar_publisher.net.silence import Silence
from roar_publisher.report import Reporter
from roar_publisher.state.errors import PublisherError

FIRST_CONTACT_ANSWER_SECONDS = 10.0
"""How long a request may take while the registry has never answered.  What is left of the gate's FIRST_CONTACT_SECONDS
is for a knock."""
LONGEST_ANSWER_SECONDS = 60.0
"""A request without an answer gets another ANSWER_SECONDS at each further attempt, up to this: the line may be slow."""
LONG_WORK_SECONDS = 300.0
"""How long the registry may work on a request that is known to take long: finalize hashes the whole lineage."""


def seconds_to_answer(*, takes_long: bool, met: bool, silences: int) -> float:
    """How long one attempt waits for its reply to begin.

    met: whether the registry ever answered.  silences: earlier attempts of this request that got no answer in time.
    """
    if takes_long:
        return LONG_WORK_SECONDS
    if not met:
        return FIRST_CONTACT_ANSWER_SECONDS
    return min(ANSWER_SECONDS * (1 + silences), LONGEST_ANSWER_SECONDS)


class Sender:
    """Sends the requests of one publish.  health: the path to knock at."""

    def __init__(self, exchange: Exchange, health: str, report: Reporter) -> None:
        self._exchange = exchange
        self._health = health
        self.silence = Silence(report)

    async def send(
        self, method: str, path: str, body: bytes | None, authorization: str | None, *, within: float
    ) -> Reply:
        """As `Exchange.send`.  Where it may take longer than any usual request, the network is looked after meanwhile,
        and Unreachable is raised as soon as the registry can't be connected to any more."""
        sending = partial(self._exchange.send, method, path, body, authorization, within=within)
        with self.silence.asked(within):
            return await (self._while_connected(sending) if within > LONGEST_ANSWER_SECONDS else sending())

    async def knock(self) -> None:
        """Ask for the registry's health over a new connection.  Raises Unreachable where nothing answers."""
        await self._exchange.knock(self._health)

    async def _while_connected(self, send: Callable[[], Awaitable[Reply]]) -> Reply:
        """A registry that is busy with this request may not answer a knock, but its machine accepts the connection."""
        reply: Reply | None = None
        failure: Unreachable | PublisherError = Unreachable("no answer in time", silent=True)
        async with anyio.create_task_group() as tasks:

            async def look_after_the_network() -> None:
                nonlocal failure
                while True:
                    await anyio.sleep(ANSWER_SECONDS)
                    try:
                        await self.knock()
                    except Unreachable as error:
                        if not error.connected:
                            failure = error
                            tasks.cancel_scope.cancel()
                    except PublisherError as error:  # a proxy or a certificate that only a person can settle
                        failure = error
                        tasks.cancel_scope.cancel()

            tasks.start_soon(look_after_the_network)
            try:
                reply = await send()
            except (Unreachable, PublisherError) as error:
                failure = error  # raised outside of the task group, which would wrap it
            tasks.cancel_scope.cancel()
        if reply is None:
            raise failure
        return reply
