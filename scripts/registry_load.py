"""Measure what one client can do to a registry that others use: `.venv/bin/python scripts/registry_load.py [--jobs N]`.

Many clients stage at once. Then it stages a lineage of one step and one job with many inputs, finalizes both while
another client reads, has a crowd of connections read large pages, and writes many versions of a label. Printed are the
longest times that the other client waited, the sizes, and the memory that the registry took.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import httpx2

from roar_publisher.glaas import batches
from roar_publisher.registry.accounts.callers import ANONYMOUS_CALLER, session_token
from roar_publisher.registry.data import Store
from roar_publisher.registry.lineages import staging
from roar_publisher.registry.lineages.registration import open_session
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.graphs import new_graph
from roar_publisher.registry.store.jobs import LinkKind
from roar_publisher.registry.store.label_versions import Entity, add_version, current_label, versions_before
from roar_publisher.registry.store.private_data import LINEAGES_NAME
from roar_publisher.registry.store.sessions import Session

PROGRAM = """
import sys
from pathlib import Path
from roar_publisher.registry.server.serve import serve

serve("127.0.0.1", 0, Path(sys.argv[1]), lambda url: print(url, flush=True))
"""
METADATA = json.dumps({"note": "x" * 900, "rate": 0.1})
PIECE = 500
"""Jobs or links that are staged in one transaction."""


def _stage(store: Store, jobs: int, links: int) -> tuple[Session, str]:
    """A session with `jobs` jobs in one step, each with `links` inputs; and its token."""
    session, _ = store.write(
        open_session,
        ANONYMOUS_CALLER,
        client_session_id=None,
        mode="anonymous_public",
        now=time.time(),
        client="",
        most_open=1,
    )
    for first in range(0, jobs, PIECE):
        batch = [
            batches.Job(command=f"run {n * 7919 % jobs}", job_uid=f"{n:032x}", step_number=1, metadata=METADATA)
            for n in range(first, min(first + PIECE, jobs))
        ]
        store.write(staging.add_jobs, session.graph_id, batch)
        for job in batch:
            for start in range(0, links, PIECE):
                inputs = [
                    batches.Link(hash=f"{n:064x}", path=f"/data/{n}") for n in range(start, min(start + PIECE, links))
                ]
                store.write(staging.add_links, session.graph_id, job.job_uid, LinkKind.INPUTS, inputs)
    return session, session_token(store.secret, session.id)


def _finalize(url: str, session: Session, token: str) -> httpx2.Response:
    headers = {"Authorization": f"RegistrationSession {token}"}
    return httpx2.post(
        f"{url}/api/v1/registration-sessions/{session.id}/finalize", json={}, headers=headers, timeout=600
    )


def _watch(url: str, session: Session, token: str, published: str) -> tuple[dict[str, float], float, dict[str, object]]:
    """The longest waits of two readers while a session is finalized, the time that this took, and its receipt."""
    over = threading.Event()
    longest = {"/api/v1/health": 0.0, f"/api/v1/sessions/{published}": 0.0}

    def read(path: str) -> None:
        with httpx2.Client(base_url=url, timeout=600) as reader:
            while not over.is_set():
                asked = time.monotonic()
                reader.get(path).raise_for_status()
                longest[path] = max(longest[path], time.monotonic() - asked)
                time.sleep(0.002)

    threads = [threading.Thread(target=read, args=[path]) for path in longest]
    for thread in threads:
        thread.start()
    begun = time.monotonic()
    receipt = _finalize(url, session, token).raise_for_status().json()
    seconds = time.monotonic() - begun
    over.set()
    for thread in threads:
        thread.join()
    return longest, seconds, receipt


def _measure_labels(folder: Path, versions: int) -> str:
    """What `versions` versions of a label document of 100 kB take on disk, each with one key changed."""
    store = Store.open(folder)
    entity = Entity(store.write(new_graph), "dag", "")
    document = {f"key {number}": "x" * 90 for number in range(1000)}

    def write(connection: Connection, first: int) -> None:
        for number in range(first, first + PIECE):
            text = json.dumps({**document, "count": number}, sort_keys=True, separators=(",", ":"))
            add_version(connection, entity, current_label(connection, entity), text, "{}", float(number))

    for first in range(0, versions, PIECE):
        store.write(write, first)
    begun = time.monotonic()
    store.read(lambda connection: list(islice(versions_before(connection, entity, versions // 2), 10)))
    seconds = time.monotonic() - begun
    store.close()
    size = (folder / LINEAGES_NAME).stat().st_size
    return f"{versions} versions of a label of 100 kB: {size / 1e6:.1f} MB; a page from their middle: {seconds:.3f} s"


def _measure_crowd(url: str, lineage_hash: str, crowd: int) -> str:
    """How long one client waits while another one's many connections ask for the largest page, and do not stop."""
    over = threading.Event()
    sizes: list[int] = []

    def ask() -> None:
        transport = httpx2.HTTPTransport(local_address="127.0.0.2")
        with httpx2.Client(base_url=url, timeout=600, transport=transport) as client:
            while not over.is_set():
                sizes.append(len(client.get(f"/api/v1/sessions/{lineage_hash}?limit=1000").content))

    threads = [threading.Thread(target=ask) for _ in range(crowd)]
    for thread in threads:
        thread.start()
    waits = []
    with httpx2.Client(base_url=url, timeout=600) as reader:
        for _ in range(40):
            asked = time.monotonic()
            reader.get(f"/api/v1/sessions/{lineage_hash}?limit=1").raise_for_status()
            waits.append(time.monotonic() - asked)
    over.set()
    for thread in threads:
        thread.join()
    return f"beside {crowd} readers of pages of {max(sizes)} bytes another one waits {max(waits) * 1000:.0f} ms at most"


def _stage_by_http(url: str, number: int, requests: int, waits: list[float], refused: list[int]) -> None:
    """Publish as one client, from an address of its own: `requests` batches of 20 jobs. 429 is waited out."""
    transport = httpx2.HTTPTransport(local_address=f"127.0.1.{number + 1}")
    with httpx2.Client(base_url=url, timeout=600, transport=transport) as client:

        def post(path: str, body: object, headers: dict[str, str]) -> dict[str, str]:
            while True:
                asked = time.monotonic()
                reply = client.post(f"/api/v1/registration-sessions{path}", json=body, headers=headers)
                waits.append(time.monotonic() - asked)
                if reply.status_code != 429:
                    answer: dict[str, str] = reply.raise_for_status().json()
                    return answer
                refused.append(number)
                time.sleep(int(reply.headers["retry-after"]))

        opened = post("", {"mode": "anonymous_public"}, {})
        headers = {"Authorization": f"RegistrationSession {opened['registration_session_token']}"}
        path = f"/{opened['registration_session_id']}"
        for first in range(0, 20 * requests, 20):
            jobs = [
                {"command": f"run {n}", "job_uid": f"{number * 10**6 + n:032x}", "step_number": n, "metadata": METADATA}
                for n in range(first, first + 20)
            ]
            post(f"{path}/jobs/batch", {"jobs": jobs}, headers)
        post(f"{path}/finalize", {}, headers)


def _measure_staging(url: str, clients: int, requests: int) -> str:
    """How long the requests of many clients take that stage at once. An answer other than 429 or a success ends it."""
    waits: list[float] = []
    refused: list[int] = []
    begun = time.monotonic()
    with ThreadPoolExecutor(clients) as pool:
        running = [pool.submit(_stage_by_http, url, number, requests, waits, refused) for number in range(clients)]
        for client in running:
            client.result()
    seconds = time.monotonic() - begun
    p50, p99 = (sorted(waits)[int(len(waits) * share)] * 1000 for share in (0.5, 0.99))
    return (
        f"{clients} clients staging at once: {len(waits)} requests in {seconds:.1f} s, 0 errors,"
        f" {len(refused)} times 429;"
        f" p50 {p50:.0f} ms, p99 {p99:.0f} ms, {p99 / p50:.1f} times as long"
    )


def main() -> None:
    """Stage, serve, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=60_000, help="jobs of the one step")
    parser.add_argument("--links", type=int, default=200_000, help="inputs of the one job")
    parser.add_argument("--versions", type=int, default=10_000, help="versions of the label")
    parser.add_argument("--crowd", type=int, default=50, help="connections of the client that reads most")
    parser.add_argument("--stagers", type=int, default=50, help="clients that stage at once")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sys.stdout.write(_measure_labels(Path(folder), options.versions) + "\n")
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        store = Store.open(data)
        staged = {
            "a small lineage": _stage(store, 1, 1),
            f"a step of {options.jobs} jobs": _stage(store, options.jobs, 2),
            f"a job with {options.links} inputs": _stage(store, 1, options.links),
        }
        store.close()
        with subprocess.Popen([sys.executable, "-c", PROGRAM, folder], stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                url = process.stdout.readline().strip()
                published = published_wide = ""
                sys.stdout.write(_measure_staging(url, options.stagers, 20) + "\n")
                for name, (session, token) in staged.items():
                    if not published:
                        published = _finalize(url, session, token).json()["hash"]
                        continue
                    longest, seconds, receipt = _watch(url, session, token, published)
                    published_wide = published_wide or str(receipt["hash"])
                    waits = ", ".join(f"{what[:16]} {wait * 1000:.0f} ms" for what, wait in longest.items())
                    sys.stdout.write(
                        f"{name}: finalized in {seconds:.1f} s; longest wait: {waits}; {receipt['staged_counts']}\n"
                    )
                sys.stdout.write(_measure_crowd(url, published_wide, options.crowd) + "\n")
                status = Path(f"/proc/{process.pid}/status").read_text()
                sys.stdout.write(next(line for line in status.splitlines() if line.startswith("VmHWM")) + "\n")
            finally:
                process.terminate()


if __name__ == "__main__":
    main()
