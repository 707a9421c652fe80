"""A registry on a real socket, in the test's own event loop, whose clock the test moves."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette

from roar_publisher.registry.http.addresses import Network
from roar_publisher.registry.server.connections import ConnectionTable
from roar_publisher.registry.server.process import Server, server_config
from roar_publisher.registry.server.serve import listen

HEALTH = b"GET /api/v1/health HTTP/1.1\r\nHost: registry\r\n\r\n"
EVENT_MESSAGES = 20
"""Turns of the loop in which what is due happens, sockets included."""


async def turns() -> None:
    """Let what is due happen."""
    for _ in range(EVENT_MESSAGES):
        await asyncio.sleep(0)


class SteppedLoop(asyncio.SelectorEventLoop):
    """A loop whose clock stands still, however long the machine takes, and is moved on by the test."""

    now = 0.0

    def time(self) -> float:
        return self.now

    async def skip(self, seconds: float) -> None:
        """Let what was sent arrive, then this many seconds pass at once, and what they bring happen."""
        await turns()
        self.now += seconds
        await turns()


def run_stepped(scenario: Callable[[SteppedLoop], Any]) -> None:
    """Run a coroutine function on a loop with a movable clock; errors that the loop would only log fail the test."""
    loop = SteppedLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(scenario(loop))


@dataclass
class Served:
    """A listening registry. `unhandled` holds errors outside of requests."""

    host: str
    port: int
    table: ConnectionTable
    unhandled: list[dict[str, Any]] = field(default_factory=list)
    peers: "list[Peer]" = field(default_factory=list)

    async def connect(self) -> "Peer":
        self.peers.append(Peer(*await asyncio.open_connection(self.host, self.port)))
        return self.peers[-1]

    async def answers(self) -> bool:
        """Whether an honest client is served."""
        return (await (await self.connect()).ask(HEALTH))[0] == 200


@dataclass
class Peer:
    """The other end of a connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def ask(self, data: bytes) -> tuple[int, dict[str, Any]]:
        await self.send(data)
        return await self.answer()

    async def answer(self) -> tuple[int, dict[str, Any]]:
        """Status and body of the next answer; (0, {}) where the connection ends instead."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return 0, {}
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
        body = await self.reader.readexactly(int(fields[b"content-length"]))
        return int(head.split(b" ")[1]), json.loads(body)

    async def is_closed(self) -> bool:
        """Whether the server has closed the connection by now; what it still sent is dropped."""
        while True:
            reading = asyncio.create_task(self.reader.read(65536))
            await turns()
            if not reading.done():
                reading.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await reading
                return False
            if reading.exception() is not None or not reading.result():
                return True


@contextlib.asynccontextmanager
async def served(
    app: Starlette, *, connections: int = 100, per_client: int | None = None, proxies: Sequence[Network] = ()
) -> AsyncIterator[Served]:
    """The app behind a real socket, as `roar registry serve` runs it."""
    table = ConnectionTable(connections, per_client)
    with listen("127.0.0.1", 0) as listener:
        server = Server(server_config(app, table, proxies), lambda: None)
        server.config.load()
        server.lifespan = server.config.lifespan_class(server.config)
        await server.startup([listener])
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SteppedLoop)
        registry = Served("127.0.0.1", listener.getsockname()[1], table)
        loop.set_exception_handler(lambda _, context: registry.unhandled.append(context))
        yield registry
        for peer in registry.peers:
            peer.writer.close()
        ending = loop.create_task(server.shutdown([listener]))
        while not ending.done():
            await loop.skip(0.1)
        await ending
        assert not registry.unhandled
