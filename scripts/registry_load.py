#!/usr/bin/env python3
"""Measure what one client can do to a registry that others use: `scripts/registry_load.py [--jobs N] [--links N]`.

It stages a lineage of one step and one job with many inputs, then finalizes both while another client reads.  Printed
are the longest times that this reader waited for `GET /health` and for a published lineage, in milliseconds.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx2

from roar_publisher.glaas import wire
from roar_publisher.registry import staging
from roar_publisher.registry.auth import NOBODY, session_token
from roar_publisher.registry.sessions import Session, open_session
from roar_publisher.registry.staging import LinkKind
from roar_publisher.registry.store import Store

PROGRAM = """
import sys
from pathlib import Path
from roar_publisher.registry.serve import serve

serve("127.0.0.1", 0, Path(sys.argv[1]), lambda url: print(url, flush=True))
"""
METADATA = json.dumps({"note": "x" * 900, "rate": 0.1})
PIECE = 500
"""Jobs or links that are staged in one transaction."""


def _stage(store: Store, jobs: int, links: int) -> tuple[Session, str]:
    """A session with `jobs` jobs in one step, each with `links` inputs; and its token."""
    session, _ = store.write(open_session, NOBODY, client_session_id=None, mode="anonymous_public", now=time.time())
    for first in range(0, jobs, PIECE):
        batch = [
            wire.Job(command=f"run {n * 7919 % jobs}", job_uid=f"{n:032x}", step_number=1, metadata=METADATA)
            for n in range(first, min(first + PIECE, jobs))
        ]
        store.write(staging.add_jobs, session.graph_id, batch)
        for job in batch:
            for start in range(0, links, PIECE):
                inputs = [
                    wire.Link(hash=f"{n:064x}", path=f"/data/{n}") for n in range(start, min(start + PIECE, links))
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


def main() -> None:
    """Stage, serve, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=60_000, help="jobs of the one step")
    parser.add_argument("--links", type=int, default=200_000, help="inputs of the one job")
    options = parser.parse_args()
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
                published = ""
                for name, (session, token) in staged.items():
                    if not published:
                        published = _finalize(url, session, token).json()["hash"]
                        continue
                    longest, seconds, receipt = _watch(url, session, token, published)
                    waits = ", ".join(f"{what[:16]} {wait * 1000:.0f} ms" for what, wait in longest.items())
                    sys.stdout.write(
                        f"{name}: finalized in {seconds:.1f} s; longest wait: {waits}; {receipt['staged_counts']}\n"
                    )
                status = Path(f"/proc/{process.pid}/status").read_text()
                sys.stdout.write(next(line for line in status.splitlines() if line.startswith("VmHWM")) + "\n")
            finally:
                process.terminate()


if __name__ == "__main__":
    main()
