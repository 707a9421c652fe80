"""Measure the pages of a large lineage: `.venv/bin/python scripts/registry_pages.py [--jobs N]`.

It publishes a lineage of five steps and many jobs, indexes it, and asks for its pages. Printed are the times until the
first byte and the sizes of the pages, the longest slice of the index, and the bytes that the index takes.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx2

from roar_publisher.registry.data import Store
from roar_publisher.registry.lineages.indexing import index_slice
from roar_publisher.registry.store import lineages
from roar_publisher.registry.store.access import UNSCOPED
from roar_publisher.registry.store.artifacts import insert_linked
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.graphs import new_graph
from roar_publisher.registry.store.jobs import (
    LinkedJob,
    LinkRow,
    LinksOfJob,
    StoredJob,
    insert_jobs,
    insert_links,
    job_ids,
)
from roar_publisher.registry.store.lineages import Lineage
from roar_publisher.registry.store.private_data import LINEAGES_NAME

PROGRAM = """
import sys
from pathlib import Path
from roar_publisher.registry.server.serve import serve

serve("127.0.0.1", 0, Path(sys.argv[1]), lambda url: print(url, flush=True))
"""
HASH = "5" * 64
STEPS = 5
PIECE = 500
REPETITIONS = 5


def _link(job: int, kind: str, number: int) -> LinkRow:
    return job, kind, f"{number:064x}", f"/data/{number}.bin", 10, None, None, None


def _publish(connection: Connection, jobs: int, inputs: int) -> None:
    """Each job reads what jobs of the step before wrote, and a file that all jobs read; it writes one file."""
    graph_id = new_graph(connection)
    width = max(1, jobs // STEPS)
    for first in range(0, jobs, PIECE):
        numbers = range(first, min(first + PIECE, jobs))
        rows = [
            StoredJob(
                f"{number:032x}",
                None,
                number // width,
                f"python step{number // width}.py --shard {number}",
                *(None,) * 7,
            )
            for number in numbers
        ]
        insert_jobs(connection, graph_id, rows)
        ids = job_ids(connection, graph_id, [row.uid for row in rows])
        for number, row in zip(numbers, rows, strict=True):
            job_id = ids[row.uid]
            before = number // width * width - width
            read = [_link(job_id, "inputs", 10**9)]
            if before >= 0:
                read += [_link(job_id, "inputs", before + (number + each) % width) for each in range(inputs)]
            written = [_link(job_id, "outputs", number)]
            new = LinkedJob(job_id, inputs=0, outputs=0)
            insert_links(
                connection, graph_id, [LinksOfJob(new, "inputs", read, 0), LinksOfJob(new, "outputs", written, 0)]
            )
            insert_linked(connection, graph_id, [*read, *written])
    lineages.insert(
        connection,
        Lineage(HASH, graph_id, "session", "", "", UNSCOPED, "https://example.org/r", None, None, time.time()),
    )


def _index(store: Store) -> str:
    longest = total = 0.0
    more = True
    while more:
        begun = time.process_time()
        more = store.write(index_slice)
        seconds = time.process_time() - begun
        longest, total = max(longest, seconds), total + seconds
    return f"indexed in {total:.1f} s of CPU; the longest slice took {longest * 1000:.0f} ms"


def _measure(url: str, path: str) -> str:
    times = []
    with httpx2.Client(base_url=url, timeout=600) as client:
        for _ in range(REPETITIONS):
            begun = time.monotonic()
            with client.stream("GET", path) as reply:
                times.append(time.monotonic() - begun)
                reply.raise_for_status()
                text = reply.read().decode()
    nodes = text.count('class="node')
    return f"{path[:40]:40} {min(times) * 1000:6.0f} ms {len(text):8} bytes {nodes:4} nodes"


def main() -> None:
    """Publish, index, serve, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--links", type=int, default=1_200_000, help="links of all jobs together, about")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / LINEAGES_NAME
        store = Store.open(Path(folder))
        store.write(_publish, options.jobs, max(1, options.links // options.jobs - 2))
        store.close()  # which moves everything from the log into the file
        before = database.stat().st_size
        store = Store.open(Path(folder))
        sys.stdout.write(f"{_index(store)}\n")
        links = store.read(lambda connection: connection.execute("SELECT count(*) FROM artifact_links").fetchone()[0])
        store.close()
        growth = (database.stat().st_size - before) / links
        sys.stdout.write(f"{links} links; the index takes {growth:.0f} bytes for each\n")
        with subprocess.Popen([sys.executable, "-c", PROGRAM, folder], stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                url = process.stdout.readline().strip()
                digest, uid = f"{10**9:064x}", f"{options.jobs // 2:032x}"
                for path in (
                    "/",
                    f"/dag/{HASH}",
                    f"/dag/{HASH}?group=1",
                    f"/dag/{HASH}?node={uid}",
                    f"/dag/{HASH}?node={digest}",
                    f"/dag/{HASH}?page=1999",
                    f"/dag/{HASH}/jobs/{uid}",
                    f"/artifacts/{digest}",
                    f"/impact?digest={digest}",
                    f"/impact?digest={7:064x}",
                    "/search?q=step3",
                ):
                    sys.stdout.write(f"{_measure(url, path)}\n")
            finally:
                process.terminate()


if __name__ == "__main__":
    main()
