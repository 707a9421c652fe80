"""How fast a registry takes what a publish stages, beside a bare Starlette and SQLite loop that stores the same rows.

    python -m benchmark.ingest registry|bare RECORDING FOLDER

Both apps are called in their own process, `AT_ONCE` requests at a time, with neither a server nor a client of HTTP in
between: those would cost more than either app. Prints the seconds from the first node to the last link.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import anyio
from starlette.types import ASGIApp, Message

from benchmark.bare import AT_ONCE, own_session
from benchmark.bare_registry import BareRegistry
from benchmark.measure import SHOWN, Cost, Failed
from benchmark.publishing import LINKS_PER_JOB, Bench
from benchmark.recording import Recording, Sent
from benchmark.table import Figure, ratio
from roar_publisher.registry.api.app import create_app
from roar_publisher.registry.data import Store
from roar_publisher.registry.server.garbage import collect_rarely

GROUP = "ingest"
REPETITIONS = 5


def ingest(bench: Bench, jobs: int) -> list[Figure]:
    """The figure for a project of so many jobs."""
    recording = bench.recording(jobs)
    costs: dict[str, list[Cost]] = {name: [] for name in APPS}
    for _ in range(REPETITIONS):
        for name in APPS:
            bench.say(f"{jobs:,} jobs into the app: {name}")
            costs[name].append(Cost(_in_process(name, recording, bench.next_folder()), 0.0, 0.0))
    size = f"{jobs:,} jobs, {jobs * LINKS_PER_JOB:,} links"
    name = f"{size}: the registry's rate of ingest, to that of the bare Starlette and SQLite loop"
    return [ratio(name, GROUP, costs["bare"], costs["registry"], "higher", "bare loop {over}, registry {under}")]


def _in_process(name: str, recording: Path, folder: Path) -> float:
    command = [sys.executable, "-m", "benchmark.ingest", name, str(recording), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-SHOWN:]}")
    return float(done.stdout)


@contextmanager
def registry_app(folder: Path) -> Iterator[ASGIApp]:
    """The registry that is shipped."""
    with closing(Store.open(folder)) as store:
        yield create_app(store)


@contextmanager
def bare_app(folder: Path) -> Iterator[ASGIApp]:
    """The bare loop."""
    folder.mkdir()
    with closing(BareRegistry(folder / "bare.db")) as bare:
        yield bare.app()


APPS: dict[str, Callable[[Path], AbstractContextManager[ASGIApp]]] = {"registry": registry_app, "bare": bare_app}


async def stage(app: ASGIApp, recording: Recording) -> float:
    """Send the nodes, then the links, into a session of their own; returns the seconds."""
    session, authorization = await open_session(app, recording)
    batches = [[sent.moved(session) for sent in group] for group in (recording.nodes, recording.links)]
    began = time.perf_counter()
    for batch in batches:
        await send_all(app, batch, authorization)
    return time.perf_counter() - began


async def open_session(app: ASGIApp, recording: Recording) -> tuple[str, str]:
    """Open a session of its own; returns its id and what authorizes requests to it."""
    opened = await call(app, own_session(recording.opening), "")
    return str(opened["registration_session_id"]), f"RegistrationSession {opened['registration_session_token']}"


async def send_all(app: ASGIApp, requests: Sequence[Sent], authorization: str) -> None:
    """Send requests, `AT_ONCE` at a time."""
    queue = iter(requests)

    async def call_next() -> None:
        for sent in queue:
            await call(app, sent, authorization)

    async with anyio.create_task_group() as tasks:
        for _ in range(AT_ONCE):
            tasks.start_soon(call_next)


async def call(app: ASGIApp, sent: Sent, authorization: str) -> dict[str, object]:
    """The reply to one request. Raises `Failed`."""
    replies: list[Message] = []
    arrived = anyio.Event()

    async def receive() -> Message:
        if arrived.is_set():
            await anyio.sleep_forever()
        arrived.set()
        return {"type": "http.request", "body": sent.body, "more_body": False}

    async def send(message: Message) -> None:
        replies.append(message)

    headers = {"host": "127.0.0.1", "content-length": str(len(sent.body)), **sent.headers()}
    headers |= {"authorization": authorization} if authorization else {}
    await app(scope(sent.path, headers), receive, send)
    body = b"".join(message.get("body", b"") for message in replies)
    if replies[0]["status"] >= 400:
        raise Failed(f"{sent.path} got {replies[0]['status']}: {body[:SHOWN].decode()}")
    reply: dict[str, object] = json.loads(body)
    return reply


def scope(
    path: str, headers: Mapping[str, str], *, method: str = "POST", client: str = "127.0.0.1"
) -> dict[str, object]:
    """A request without its body, as a server of HTTP passes it to an app."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "client": (client, 1),
        "server": ("127.0.0.1", 80),
    }


def main() -> None:
    """Measure, and print what it took."""
    name, recording, folder = sys.argv[1:]
    with APPS[name](Path(folder)) as app:
        collect_rarely()  # as `roar registry serve` does
        sys.stdout.write(str(anyio.run(stage, app, Recording.read(Path(recording)))))


if __name__ == "__main__":
    main()
