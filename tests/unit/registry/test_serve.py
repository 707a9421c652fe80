"""The registry as a process: starting, stopping, dying, and what is left on disk."""

import contextlib
import json
import random
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from roar_publisher.glaas.wire import DEFAULT_BODY_LIMIT
from roar_publisher.registry.api.bodies import DRAINED
from roar_publisher.registry.data import Store
from roar_publisher.registry.server.serve import serve
from roar_publisher.registry.store.errors import NewerSchemaError, StoreError, StoreUnavailable
from roar_publisher.registry.store.private_data import LINEAGES_NAME
from tests.support.checkout import CHECKOUT
from tests.support.registry.harness import GIT, Json, job, link, succeeded, uid, uids_of
from tests.support.registry.processes import PATIENCE, PROGRAM, Process, serving

SEEDS = [20260101]
JOBS = 600
"""Jobs of the lineage that is finalized while its registry dies: some slices of hashing."""
STOP_SECONDS = 20.0
"""How long stopping may take (`serve`)."""


class Caller:
    """A publisher that holds its session over the registry's deaths."""

    def __init__(self, client: httpx2.Client) -> None:
        self.client = client
        opened = succeeded(
            self.client.post(
                "/api/v1/registration-sessions", json={"mode": "anonymous_public", "client_session_id": "x"}
            )
        )
        self.root = f"/api/v1/registration-sessions/{opened['registration_session_id']}"
        self.client.headers["Authorization"] = f"RegistrationSession {opened['registration_session_token']}"

    def post(self, path: str, body: object) -> Json:
        return succeeded(self.client.post(self.root + path, json=body))

    def stage(self, jobs: int) -> None:
        for first in range(0, jobs, 100):
            self.post("/jobs/batch", {"jobs": [job(number) for number in range(first, min(first + 100, jobs))]})

    def lineage(self, lineage_hash: str) -> Json | None:
        response = self.client.get(f"/api/v1/sessions/{lineage_hash}?limit=1000")
        return response.json() if response.status_code == 200 else None


@contextlib.contextmanager
def calling(process: Process) -> Iterator[Caller]:
    with httpx2.Client(base_url=process.url, timeout=PATIENCE) as client:
        yield Caller(client)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "registry"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_announces_itself_and_stops_cleanly(data: Path, number: signal.Signals) -> None:
    with serving(data) as process:
        assert succeeded(httpx2.get(f"{process.url}/api/v1/health", timeout=PATIENCE))["status"] == "healthy"
        begun = time.monotonic()
        status, out, err = process.stop(number)
        assert time.monotonic() - begun < STOP_SECONDS
    assert (status, out, err) == (0, "stopped\n", "")
    assert sorted(path.name for path in data.iterdir()) == ["accounts.db", LINEAGES_NAME, "secret", "secret.lock"]


def test_an_idle_connection_and_a_request_that_never_ends_do_not_keep_it(data: Path) -> None:
    with serving(data) as process, httpx2.Client(timeout=PATIENCE) as idle:
        idle.get(f"{process.url}/api/v1/health")
        with connected(process) as endless:
            endless.sendall(b"POST /api/v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
            idle.get(f"{process.url}/api/v1/health")
            begun = time.monotonic()
            ended = process.stop()
            assert time.monotonic() - begun < STOP_SECONDS
    assert ended == (0, "stopped\n", "")


def test_its_data_is_private_and_holds_no_token(data: Path) -> None:
    with serving(data) as process, calling(process) as caller:
        caller.stage(3)
        token = caller.client.headers["Authorization"].partition(" ")[2]
        process.stop()
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert stat.S_IMODE((data / "secret").stat().st_mode) == 0o600
    for path in data.iterdir():
        assert token.encode() not in path.read_bytes()
        assert bytes.fromhex(token) not in path.read_bytes()


def test_a_registry_that_has_written_nothing_yet_holds_its_data(tmp_path: Path) -> None:
    Store.open(tmp_path).close()
    first = Store.open(tmp_path)
    with pytest.raises(StoreUnavailable, match="another registry runs on this data"):
        Store.open(tmp_path)
    first.close()
    Store.open(tmp_path).close()


def test_a_second_registry_on_the_same_data_is_refused(data: Path) -> None:
    with serving(data) as process:
        second = subprocess.run(
            [sys.executable, "-c", PROGRAM, "127.0.0.1", str(data)],
            capture_output=True,
            text=True,
            cwd=CHECKOUT,
            timeout=PATIENCE,
        )
        assert second.returncode != 0
        assert "another registry runs on this data" in second.stderr
        assert "http" not in second.stdout
        assert succeeded(httpx2.get(f"{process.url}/api/v1/health", timeout=PATIENCE))


def test_a_newer_store_is_not_changed(tmp_path: Path) -> None:
    Store.open(tmp_path).close()
    connection = sqlite3.connect(tmp_path / LINEAGES_NAME)
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    with pytest.raises(NewerSchemaError, match="schema 999"):
        Store.open(tmp_path)


def test_a_file_that_is_not_a_store_is_not_changed(tmp_path: Path) -> None:
    (tmp_path / LINEAGES_NAME).write_bytes(b"a diary\n" * 1000)
    with pytest.raises(StoreError, match="not a database"):
        Store.open(tmp_path)
    assert (tmp_path / LINEAGES_NAME).read_bytes() == b"a diary\n" * 1000


def test_a_damaged_secret_is_not_used(tmp_path: Path) -> None:
    Store.open(tmp_path).close()
    (tmp_path / "secret").write_bytes(b"")
    with pytest.raises(OSError, match="damaged"):
        Store.open(tmp_path)


def test_a_host_that_cannot_be_one_is_an_os_error(data: Path) -> None:
    with pytest.raises(OSError, match="not a host name"):
        serve("\u00e9" * 100, 0, data, pytest.fail)
    assert not data.exists()


def test_a_port_in_use_is_an_os_error(data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        serve("127.0.0.1", taken.getsockname()[1], data, pytest.fail)


def test_ipv6_is_announced_in_brackets(data: Path) -> None:
    with serving(data, host="::1") as process:
        assert process.url.startswith("http://[::1]:")
        assert succeeded(httpx2.get(f"{process.url}/api/v1/health", timeout=PATIENCE))


@pytest.mark.parametrize("seed", SEEDS)
def test_acknowledged_writes_survive_sigkill(data: Path, seed: int) -> None:
    chance = random.Random(seed)
    acknowledged: set[int] = set()
    for round_ in range(3):
        with serving(data) as process, calling(process) as caller:
            deadline = chance.randrange(20, 60)
            killer = threading.Thread(target=process.kill)
            for number in range(round_ * 1000, round_ * 1000 + 400):
                if len(acknowledged) % 60 == deadline and not killer.ident:
                    killer.start()
                try:
                    caller.post("/jobs/batch", {"jobs": [job(number)]})
                    caller.post(f"/jobs/{uid(number)}/inputs", {"artifacts": [link(number)]})
                except httpx2.TransportError:
                    break
                acknowledged.add(number)
            else:
                pytest.fail("the registry outlived its SIGKILL")
            killer.join()
    with serving(data) as process, calling(process) as caller:
        receipt = caller.post("/finalize", GIT)
        lineage = caller.lineage(receipt["hash"])
    assert lineage is not None
    linked = {published["job_uid"] for published in lineage["jobs"] if published["inputs_count"] == 1}
    assert linked >= {uid(number) for number in acknowledged}
    assert len(acknowledged) > 20


@pytest.mark.parametrize("seed", SEEDS)
def test_a_finalize_that_is_killed_happened_wholly_or_not_at_all(tmp_path: Path, seed: int) -> None:
    """SIGKILL after a drawn number of the reader's looks, then again until the receipt arrives."""
    chance = random.Random(seed)
    with serving(tmp_path / "reference") as process, calling(process) as caller:
        caller.stage(JOBS)
        expected = caller.post("/finalize", GIT)
    for round_ in range(2):
        data = tmp_path / str(round_)
        with serving(data) as process, calling(process) as caller:
            caller.stage(JOBS)
            finalizing = threading.Thread(target=_finalize_until_it_dies, args=(caller.client, caller.root))
            finalizing.start()
            for seen in _looks(process, expected["hash"], chance.randrange(1, 40)):
                assert seen in (0, JOBS)
            process.kill()
            finalizing.join()
        with serving(data) as process, calling(process) as caller:
            lineage = caller.lineage(expected["hash"])
            assert lineage is None or len(uids_of(lineage)) == JOBS
            receipt = caller.post("/finalize", {**GIT, "expected": {"jobs": JOBS}})
            lineage = caller.lineage(expected["hash"])
            assert lineage is not None
            assert (receipt["hash"], receipt["created"]) == (expected["hash"], True)
            assert len(uids_of(lineage)) == JOBS


def test_a_flood_is_refused_by_its_declared_size(data: Path) -> None:
    with serving(data) as process, connected(process) as flood:
        flood.sendall(
            f"POST /api/v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {1000 * DRAINED}\r\n\r\n".encode()
        )
        head, _, body = everything(flood).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413")
    assert b"connection: close" in head.lower()
    assert json.loads(body)["detail"]


def test_a_flood_without_a_size_is_cut_off(data: Path) -> None:
    """The connection ends although the request never does; a reset may overtake the answer."""
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    with serving(data) as process, connected(process) as flood:
        flood.sendall(b"POST /api/v1/sessions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range((DEFAULT_BODY_LIMIT + DRAINED) // 0x10000 + 1):
                flood.sendall(chunk)
            assert everything(flood).startswith(b"HTTP/1.1 413")
        assert succeeded(httpx2.get(f"{process.url}/api/v1/health", timeout=PATIENCE))


def test_a_body_a_little_too_large_still_hears_why(data: Path) -> None:
    """A client reads the answer only after it has sent everything; a reset in between would hide it."""
    with serving(data) as process:
        for size in (103_000, 500_000, 1_000_000):
            response = httpx2.post(f"{process.url}/api/v1/sessions", json="x" * size, timeout=PATIENCE)
            assert (response.status_code, "exceeds" in response.json()["detail"]) == (413, True)


def connected(process: Process) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(process.url.rpartition(":")[2])), timeout=PATIENCE)


def everything(connection: socket.socket) -> bytes:
    answer = b""
    while received := connection.recv(65536):
        answer += received
    return answer


def _finalize_until_it_dies(client: httpx2.Client, root: str) -> None:
    try:
        client.post(f"{root}/finalize", json=GIT)
    except httpx2.TransportError:
        pass


def _looks(process: Process, lineage_hash: str, number: int) -> Iterator[int]:
    """How many jobs a reader sees under the hash, look by look."""
    with httpx2.Client(base_url=process.url, timeout=PATIENCE) as reader:
        for _ in range(number):
            response = reader.get(f"/api/v1/sessions/{lineage_hash}?limit=1000")
            yield len(response.json()["jobs"]) if response.status_code == 200 else 0
