"""A process with as many registries as a test asks for, each under a path of its own, each with its own store.

`python -m tests.support.faults.registries FOLDER` prints its URL.  `URL/<name>` is a registry, made when it is
first asked for; a name that starts with `legacy` has no registration sessions.
`URL/<name>/log` lists every request that reached it, `URL/<name>/published` what is published there.
"""

import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from roar_publisher.registry.api.app import create_app
from roar_publisher.registry.data import Store
from roar_publisher.registry.server.serve import listen
from tests.support.faults.simulation import COUNTS
from tests.support.registry.features import BULK, PLAIN

FEATURES = {"grouped": BULK, "legacy": (None, PLAIN[1]), "legacygrouped": (None, BULK[1])}
"""What a registry can do, by how its name begins; any other is as public GLaaS is."""


class Registries:
    """The ASGI app that hands each path to its registry."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._apps: dict[str, tuple[ASGIApp, Store, list[list[str]]]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name, _, rest = scope["path"].removeprefix("/").partition("/")
        app, store, log = self._registry(name)
        if rest == "log":
            await JSONResponse(log)(scope, receive, send)
        elif rest == "published":
            counts = store.read(lambda connection: tuple(connection.execute(COUNTS).fetchone()))
            await JSONResponse(counts)(scope, receive, send)
        else:
            body = await Request(scope, receive).body()
            log.append([f"/{rest}", body.decode()])
            await app(dict(scope, root_path=f"/{name}"), _once(body, receive), send)

    def _registry(self, name: str) -> tuple[ASGIApp, Store, list[list[str]]]:
        if name not in self._apps:
            store = Store.open(self._folder / name)
            features, bulk = FEATURES.get(name.partition("-")[0], PLAIN)
            self._apps[name] = (create_app(store, features=features, bulk=bulk), store, [])
        return self._apps[name]


def _once(body: bytes, receive: Receive) -> Receive:
    """Return the body that was read, then what the server reports: a streamed reply waits for a disconnect."""
    messages: list[MutableMapping[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> MutableMapping[str, Any]:
        return messages.pop() if messages else await receive()

    return replay


def main() -> None:
    listener = listen("127.0.0.1", 0)
    config = uvicorn.Config(
        Registries(Path(sys.argv[1])), log_level="error", access_log=False, lifespan="off", ws="none", date_header=False
    )
    sys.stdout.write(f"http://127.0.0.1:{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
