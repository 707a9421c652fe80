"""The registry that every client is measured against: the shipped app, made slower on purpose, and able to record.

    python -m benchmark.server DATA [--port PORT] [--delay SECONDS] [--record FILE] [--hold BYTES FILE] [--small]

The delay stands in for a network: it is awaited for each request before the app sees it, so requests that are under way
together wait together. With `--hold`, FILE appears once bodies of so many BYTES have come, and no request gets a reply
as long as it exists: this is when a client is killed. With `--small`, it advertises nothing about large requests, as
public GLaaS: no links in bulk, and batches of the usual size. Prints its address as the first line, and runs until
SIGTERM.
"""

import argparse
import gc
import signal
import socket
import sys
from contextlib import ExitStack, closing
from pathlib import Path
from typing import IO

import anyio
import uvicorn
from msgspec.structs import replace
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from benchmark.recording import Sent
from roar_publisher.registry.api.app import ALL_BULK_FEATURES, ALL_FEATURES, create_app
from roar_publisher.registry.api.bulk import BulkFeatures
from roar_publisher.registry.data import Store

BACKLOG = 2048
BODY_LIMIT = 16 * 1024 * 1024
"""Bytes. More than GLaaS takes: roar-cli cuts job batches by number alone, and has no answer to 413."""

SMALL_REQUESTS = (
    replace(ALL_FEATURES, links_batch=False),
    BulkFeatures(limit=None, encodings=(), legacy_links_batch=False),
)


class Delayed:
    """Awaits `seconds` before each request."""

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await anyio.sleep(self._seconds)
        await self._app(scope, receive, send)


class Recorded:
    """Writes each POST to `file` (`benchmark.recording`)."""

    def __init__(self, app: ASGIApp, file: IO[str]) -> None:
        self._app = app
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        body = bytearray()
        encoding = dict(scope["headers"]).get(b"content-encoding", b"").decode()

        async def recorded() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                body.extend(message.get("body", b""))
                if not message.get("more_body"):
                    self._file.write(Sent(scope["path"], bytes(body), encoding).to_line())
            return message

        await self._app(scope, recorded, send)


class Held:
    """Creates `file` once bodies of `limit` bytes have come, and drops the requests that come while it exists."""

    def __init__(self, app: ASGIApp, limit: int, file: Path) -> None:
        self._app = app
        self._left = limit
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        before = self._left
        self._left -= int(headers.get(b"content-length", b"0"))
        if self._left <= 0 < before:
            self._file.touch()
        if self._file.exists():
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        await self._app(scope, receive, send)


def main() -> None:
    arguments = _arguments()
    with ExitStack() as stack:
        store = stack.enter_context(closing(Store.open(arguments.data)))
        features, bulk = SMALL_REQUESTS if arguments.small else (ALL_FEATURES, ALL_BULK_FEATURES)
        app: ASGIApp = create_app(store, features=features, bulk=bulk, body_limit=BODY_LIMIT)
        if arguments.delay:
            app = Delayed(app, arguments.delay)
        if arguments.hold:
            limit, file = arguments.hold
            app = Held(app, int(limit), Path(file))
        if arguments.record:
            app = Recorded(app, stack.enter_context(arguments.record.open("w", encoding="utf-8")))
        gc.freeze()  # as `roar registry serve` does
        _serve(app, arguments.port)


def _serve(app: ASGIApp, port: int) -> None:
    config = uvicorn.Config(app, log_level="error", access_log=False, lifespan="off", ws="none")
    # The protocol is named because asyncio sets TCP_NODELAY only where it is.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(BACKLOG)
        sys.stdout.write(f"http://127.0.0.1:{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        # uvicorn raises the signal again when it has stopped; without this, nothing of ours would be closed.
        signal.signal(signal.SIGTERM, lambda number, frame: None)
        uvicorn.Server(config).run(sockets=[listener])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--delay", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--record", type=Path, metavar="FILE")
    parser.add_argument("--hold", nargs=2, metavar=("BYTES", "FILE"))
    parser.add_argument("--small", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
