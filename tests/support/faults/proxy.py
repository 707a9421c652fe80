"""A network that misbehaves, on real sockets: a proxy in front of a registry.

    python -m tests.support.faults.proxy http://127.0.0.1:PORT SEED

prints its URL, then takes orders, one a line: `calm` (carry everything), `storm P` (with probability P a piece is lost:
the connection is reset, closed, cut in the middle, or held for a moment), `stall PATH` (hold the first request whose
line holds PATH; prints `stalled`), `withhold PATH` (let that request through and hold its reply; prints `stalled`).
Each order replaces the one before, and lets go of what was held.
"""

import random
import socket
import struct
import sys
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from urllib.parse import urlsplit

import anyio
from anyio import to_thread
from anyio.abc import SocketAttribute, SocketStream

PIECE_BYTES = 64 * 1024
LONGEST_HOLD_SECONDS = 0.05
Carry = Callable[[bytes], Awaitable[None]]


class Network:
    """The order in force, and the connections that it holds."""

    def __init__(self, target: str, seed: int) -> None:
        address = urlsplit(target)
        self._target = (str(address.hostname), int(address.port or 80))
        self._rng = random.Random(seed)
        self._order: list[str] = ["calm"]
        self._renewed = anyio.Event()

    def obey(self, order: list[str]) -> None:
        """Put an order in force."""
        self._order = order
        self._renewed.set()
        self._renewed = anyio.Event()

    async def carry(self, client: SocketStream) -> None:
        """Carry one connection until either side, or the weather, ends it."""
        with suppress(OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
            async with client, await anyio.connect_tcp(*self._target) as server:
                async with anyio.create_task_group() as tasks:

                    async def back() -> None:
                        await self._copy(server, client, self._back)
                        tasks.cancel_scope.cancel()

                    tasks.start_soon(back)
                    await self._copy(client, server, self._forth)
                    tasks.cancel_scope.cancel()

    async def _copy(self, source: SocketStream, sink: SocketStream, hold: Carry) -> None:
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            while True:
                piece = await source.receive(PIECE_BYTES)
                await hold(piece)
                if not await self._spoil(piece, source, sink):
                    await sink.send(piece)

    async def _forth(self, piece: bytes) -> None:
        if self._order[0] == "stall" and self._names_path(piece):
            await self._hold()
        elif self._order[0] == "withhold" and self._names_path(piece):
            self._order = ["withheld"]

    async def _back(self, piece: bytes) -> None:
        if self._order[0] == "withheld":
            await self._hold()

    def _names_path(self, piece: bytes) -> bool:
        return self._order[1].encode() in piece.partition(b"\r\n")[0]

    async def _hold(self) -> None:
        say("stalled")
        self._order = ["held"]
        await self._renewed.wait()

    async def _spoil(self, piece: bytes, source: SocketStream, sink: SocketStream) -> bool:
        """Perhaps do something bad to a piece; whether it was lost."""
        if self._order[0] == "held":
            await self._renewed.wait()
        if self._order[0] != "storm" or self._rng.random() >= float(self._order[1]):
            return False
        match self._rng.choice(["reset", "close", "cut", "slow"]):
            case "reset":
                reset(source)
                reset(sink)
            case "close":
                await source.aclose()
                await sink.aclose()
            case "cut":
                await sink.send(piece[: len(piece) // 2])
                await source.aclose()
                await sink.aclose()
            case "slow":
                await anyio.sleep(self._rng.uniform(0, LONGEST_HOLD_SECONDS))
                return False
        raise anyio.ClosedResourceError


def reset(stream: SocketStream) -> None:
    """Make the end of a connection a reset instead of a farewell."""
    raw = stream.extra(SocketAttribute.raw_socket)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def say(word: str) -> None:
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


async def main(target: str, seed: int) -> None:
    network = Network(target, seed)
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with aclosing(listener), anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, network.carry)
        say(f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}")
        while order := await to_thread.run_sync(sys.stdin.readline):
            network.obey(order.split())
            say("ready")
        tasks.cancel_scope.cancel()


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], int(sys.argv[2]))
