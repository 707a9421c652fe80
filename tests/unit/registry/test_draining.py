"""Liveness, readiness, and what happens to requests when the registry is asked to stop."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import pytest

from roar_publisher.registry.data import Store
from roar_publisher.registry.http.lifecycle import Lifecycle
from roar_publisher.registry.server.connections import ConnectionTable
from roar_publisher.registry.server.process import Server, server_config
from roar_publisher.registry.server.serve import listen
from roar_publisher.registry.store.errors import StoreUnavailable
from tests.support.registry.harness import Registry, make_registry, run_inline
from tests.support.registry.http_server import Peer, SteppedLoop, run_stepped

HOST = b"Host: localhost\r\n"
READY = b"GET /readyz HTTP/1.1\r\n" + HOST + b"\r\n"
HEALTH = b"GET /api/v1/health HTTP/1.1\r\n" + HOST + b"\r\n"
OPENING = json.dumps({"mode": "anonymous_public"}).encode()
OPEN = (
    b"POST /api/v1/registration-sessions HTTP/1.1\r\nContent-Type: application/json\r\n"
    + HOST
    + b"Content-Length: %d\r\n\r\n" % len(OPENING)
    + OPENING
)
HALF = OPEN[:-5]
"""A request whose body never ends."""
DRAIN = 20.0


@pytest.mark.anyio
async def test_a_registry_lives_and_is_ready(registry: Registry) -> None:
    for path in ("/healthz", "/readyz"):
        assert (await registry.client.get(path)).status_code == 200


@pytest.mark.anyio
async def test_it_is_alive_but_not_ready_while_the_store_fails(store: Store) -> None:
    async def failing(call: Callable[[], Any], /) -> Any:
        raise StoreUnavailable("disk I/O error")

    registry = make_registry(store, run=failing)
    assert (await registry.client.get("/healthz")).status_code == 200
    reply = await registry.client.get("/readyz")
    assert (reply.status_code, reply.json()) == (503, {"status": "the store does not answer"})


class Stopping:
    """A served registry whose work waits until the test lets it go on."""

    def __init__(self, store: Store, loop: SteppedLoop) -> None:
        self.lifecycle = Lifecycle()
        self.loop = loop
        self.free = asyncio.Event()
        self.working = asyncio.Event()
        self.peers: list[Peer] = []
        self.app = make_registry(store, run=self._run, lifecycle=self.lifecycle).app

    async def _run(self, call: Callable[[], Any], /) -> Any:
        self.working.set()
        await self.free.wait()
        return await run_inline(call)

    @contextlib.asynccontextmanager
    async def served(self) -> AsyncIterator["Stopping"]:
        with listen("127.0.0.1", 0) as listener:
            table = ConnectionTable(100)
            self.server = Server(server_config(self.app, table, ()), lambda: None, self.lifecycle, DRAIN)
            self.server.config.lifespan = "off"
            self.address = listener.getsockname()[:2]
            self.ending = self.loop.create_task(self.server._serve([listener]))
            while not self.server.started:
                await self.loop.skip(0)
            try:
                yield self
            finally:
                self.free.set()
                for peer in self.peers:
                    peer.writer.close()
                self.server.should_exit = True
                while not self.ending.done():
                    await self.loop.skip(1.0)

    async def connect(self) -> Peer:
        self.peers.append(Peer(*await asyncio.open_connection(*self.address)))
        return self.peers[-1]

    async def stop(self) -> None:
        self.server.should_exit = True
        while not self.lifecycle.draining:
            await self.loop.skip(0.1)


def stopping(store: Store, scenario: Callable[[Stopping], Any]) -> None:
    async def run(loop: SteppedLoop) -> None:
        async with Stopping(store, loop).served() as registry:
            await scenario(registry)

    run_stepped(run)


def test_what_has_arrived_is_finished_and_what_is_new_is_refused(store: Store) -> None:
    async def scenario(registry: Stopping) -> None:
        peer, other, late = [await registry.connect() for _ in range(3)]
        await peer.send(OPEN)
        await registry.working.wait()
        await registry.stop()
        assert await late.ask(READY) == (503, {"status": "draining"})
        status, body = await other.ask(HEALTH)
        assert (status, body["detail"].partition(";")[0]) == (503, "this registry stops")
        assert await other.is_closed()
        await registry.loop.skip(DRAIN / 2)
        assert not registry.ending.done()
        registry.free.set()
        assert (await peer.answer())[0] == 201

    stopping(store, scenario)


def test_it_stops_at_once_if_nothing_is_at_work(store: Store) -> None:
    """Neither an idle connection nor a request that does not end is work."""

    async def scenario(registry: Stopping) -> None:
        idle, endless = [await registry.connect() for _ in range(2)]
        assert (await idle.ask(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"))[0] == 200
        await endless.send(HALF)
        await registry.loop.skip(0)
        begun = registry.loop.time()
        await registry.stop()
        while not registry.ending.done():
            await registry.loop.skip(0.1)
        assert registry.loop.time() - begun < DRAIN / 2

    stopping(store, scenario)


def test_work_that_does_not_end_is_given_up(store: Store) -> None:
    async def scenario(registry: Stopping) -> None:
        peer = await registry.connect()
        await peer.send(OPEN)
        await registry.working.wait()
        await registry.stop()
        begun = registry.loop.time()
        while not registry.ending.done():
            await registry.loop.skip(1.0)
            assert registry.loop.time() - begun < 2 * DRAIN
        assert registry.loop.time() - begun >= DRAIN - 1

    stopping(store, scenario)


def test_a_request_counts_only_while_it_is_at_work(store: Store) -> None:
    lifecycle = Lifecycle()

    async def scenario() -> None:
        registry = make_registry(store, lifecycle=lifecycle, run=run_inline)
        async with registry.client:
            await registry.open()
            await registry.client.get("/nowhere")
            await registry.client.post("/api/v1/sessions", content=b"{")

    anyio.run(scenario)
    assert lifecycle.at_work == 0
