"""A request that is sent while the publish is planned, in a thread of its own, so that its reply is there when needed.

Planning takes longer than a request to most registries, and does not need the network. Only an anonymous GET is sent in
this way. If there is no reply, the caller asks in the usual way, with all waits and retries.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from time import monotonic

from anyio.from_thread import start_blocking_portal

from roar_publisher.blocking import in_thread_while_wanted
from roar_publisher.net.event_loop import EventLoop
from roar_publisher.net.exchange import PROBE_SECONDS, Exchange, Reply
from roar_publisher.net.route import Route

Clock = Callable[[], float]
FRESH_SECONDS = 10.0
"""How old a reply may be when it is used. After a longer planning, the registry may have become another one."""
LONGEST_WAIT_SECONDS = 2.0
"""How long after it was sent the reply is waited for. A request in the usual way tells the user what it waits for."""


class EarlyRequest:
    """A request that is under way, or over. clock: monotonic seconds."""

    def __init__(self, exchange: Exchange, reply: Future[tuple[Reply, float]], clock: Clock) -> None:
        self._exchange = exchange
        self._reply = reply
        self._clock = clock
        self._sent_at = clock()

    @property
    def route(self) -> Route | None:
        """The route that it takes, which later connections may take too: reading certificates takes 20 ms."""
        return self._exchange.route

    async def reply(self) -> Reply | None:
        """Return the reply as soon as it is there; None if there is none, if it takes long, or if it is not fresh.

        Safe to repeat. Cancellation ends the wait.
        """
        left = self._sent_at + LONGEST_WAIT_SECONDS - self._clock()
        if not self._reply.done() and left > 0:
            await in_thread_while_wanted(wait, [self._reply], left)
        if not self._reply.done() or self._reply.cancelled() or self._reply.exception() is not None:
            return None
        reply, received_at = self._reply.result()
        return reply if self._clock() - received_at <= FRESH_SECONDS else None


@contextmanager
def sent_early(registry: str, path: str, *, clock: Clock = monotonic) -> Iterator[EarlyRequest]:
    """Send `GET path` during the block. At its end, a request that is still under way is cancelled."""
    exchange = Exchange(registry, connections=1)

    async def send() -> tuple[Reply, float]:
        async with exchange:
            return await exchange.send("GET", path, None, None, within=PROBE_SECONDS), clock()

    with start_blocking_portal(backend_options={"loop_factory": EventLoop}) as portal:
        reply = portal.start_task_soon(send)
        try:
            yield EarlyRequest(exchange, reply, clock)
        finally:
            reply.cancel()
