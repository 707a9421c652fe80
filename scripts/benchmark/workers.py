"""How much faster several workers on PostgreSQL take what many users stage at once than one worker does."""

import http.client
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from benchmark.bare import own_session
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
PATIENCE = 600.0


def workers(bench: Bench, jobs: int) -> list[Figure]:
    """The figure for users who stage a project of so many jobs each."""
    recording = Recording.read(bench.recording(jobs))
    costs: dict[int, list[Cost]] = {1: [], WORKERS: []}
    with running_postgres(durable=True) as server:
        for _ in range(REPETITIONS):
            for count, found in costs.items():
                bench.say(f"{USERS} users stage {jobs:,} jobs each on PostgreSQL, workers: {count}")
                found.append(Cost(staged(server, bench.next_folder(), count, recording), 0.0, 0.0))
    size = f"{USERS} users, {jobs:,} jobs and {jobs * LINKS_PER_JOB:,} links each, PostgreSQL"
    name = f"{size}: the rate of ingest of {WORKERS} workers, to that of one"
    return [ratio(name, GROUP, costs[1], costs[WORKERS], "higher", f"one {{over}}, {WORKERS} workers {{under}}")]


def staged(server: Postgres, folder: Path, count: int, recording: Recording) -> float:
    """The seconds in which a new registry with so many workers takes everything."""
    database = server.new_database()
    with closing(Store.open(folder, database)) as store:
        bearers = [add_person(store.accounts, f"user{number}", time.time).bearer for number in range(USERS)]
    registry = MortalRegistry(folder, ("--workers", str(count), "--database", database))
    registry.start()
    try:
        with ThreadPoolExecutor(USERS) as pool:
            began = time.perf_counter()
            for done in [pool.submit(_stage, registry.port, bearer, recording) for bearer in bearers]:
                done.result()
            return time.perf_counter() - began
    finally:
        registry.kill()


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
