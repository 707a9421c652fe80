"""How much faster several workers on PostgreSQL take what many users stage at once than one worker does.

On a machine with few cores, the users and PostgreSQL need what the workers would gain. So the same is also measured
with each worker held to a small share of a core, as if the machine had cores to spare. That shows what workers wait
for of each other (locks, connections, turns), and neither how fast PostgreSQL is nor how fast many cores are.
"""

import http.client
import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from pathlib import Path

from benchmark.bare import own_session
from benchmark.held import CannotHold, held
from benchmark.measure import Cost, Failed
from benchmark.publishing import LINKS_PER_JOB, Bench
from benchmark.recording import Recording, Sent
from benchmark.table import Figure, ratio
from roar_publisher.registry.data import Store
from tests.support.registry.mortal import MortalRegistry
from tests.support.registry.people import add_person
from tests.support.registry.postgres import Postgres, running_postgres

GROUP = "workers"
REPETITIONS = 3
WORKERS = min(4, os.cpu_count() or 1)
"""Compared with one worker. The database and the users need processors, too."""
USERS = 8
HELD_WORKERS = 4
HELD_USERS = 32
"""So many that each worker has about as many connections as the others, by chance."""
SHARE = 0.15
"""The part of a core that each worker is held to."""
PATIENCE = 600.0


def workers(bench: Bench, jobs: int) -> list[Figure]:
    """The figure for users who stage a project of so many jobs each."""
    with running_postgres(durable=True) as server:
        figures = [_figure(bench, server, jobs, WORKERS, USERS, None)]
        try:
            figures.append(_figure(bench, server, max(1, jobs // 10), HELD_WORKERS, HELD_USERS, SHARE))
        except CannotHold as reason:
            bench.say(f"workers that are held to a share of a core are not measured: {reason}")
    return figures


def _figure(bench: Bench, server: Postgres, jobs: int, workers: int, users: int, share: float | None) -> Figure:
    recording = Recording.read(bench.recording(jobs))
    costs: dict[int, list[Cost]] = {1: [], workers: []}
    how = "PostgreSQL" if share is None else f"PostgreSQL, each worker held to {share:.0%} of a core"
    for _ in range(REPETITIONS):
        for count, found in costs.items():
            bench.say(f"{users} users stage {jobs:,} jobs each on {how}, workers: {count}")
            found.append(Cost(staged(server, bench.next_folder(), count, recording, users, share), 0.0, 0.0))
    size = f"{users} users, {jobs:,} jobs and {jobs * LINKS_PER_JOB:,} links each, {how}"
    name = f"{size}: the rate of ingest of {workers} workers, to that of one"
    return ratio(name, GROUP, costs[1], costs[workers], "higher", f"one {{over}}, {workers} workers {{under}}")


def staged(
    server: Postgres, folder: Path, count: int, recording: Recording, users: int = USERS, share: float | None = None
) -> float:
    """The seconds in which a new registry with so many workers takes everything. Raises `CannotHold`."""
    database = server.new_database()
    with closing(Store.open(folder, database)) as store:
        bearers = [add_person(store.accounts, f"user{number}", time.time).bearer for number in range(users)]
    registry = MortalRegistry(folder, ("--workers", str(count), "--database", database))
    registry.start()
    try:
        with nullcontext() if share is None else held(registry.serving, share):
            try:
                return _seconds(registry.port, bearers, recording)
            finally:
                registry.kill()
    except CannotHold:
        registry.kill()
        raise


def _seconds(port: int, bearers: Sequence[str], recording: Recording) -> float:
    with ThreadPoolExecutor(len(bearers)) as pool:
        began = time.perf_counter()
        for done in [pool.submit(_stage, port, bearer, recording) for bearer in bearers]:
            done.result()
        return time.perf_counter() - began


def _stage(port: int, bearer: str, recording: Recording) -> None:
    """Stage everything into a session of this user, one request after the other."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
        body = {"client_session_id": json.loads(own_session(recording.opening).body)["client_session_id"]}
        opened = _post(connection, bearer, Sent(recording.opening.path, json.dumps(body).encode(), ""))
        for sent in (*recording.nodes, *recording.links):
            _post(connection, bearer, sent.moved(str(opened["registration_session_id"])))


def _post(connection: http.client.HTTPConnection, bearer: str, sent: Sent) -> dict[str, object]:
    connection.request("POST", sent.path, sent.body, {"Authorization": bearer, **sent.headers()})
    with connection.getresponse() as response:
        answer = response.read()
    if response.status >= 400:
        raise Failed(f"{sent.path} got {response.status}: {answer[:500].decode()}")
    reply: dict[str, object] = json.loads(answer)
    return reply
