"""Lineages that are written into a store directly, because thousands of requests take long."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from roar_publisher.glaas import batches
from roar_publisher.registry.data import Store
from roar_publisher.registry.lineages import staging
from roar_publisher.registry.store import lineages
from roar_publisher.registry.store.access import UNSCOPED, LineageScope
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.graphs import new_graph
from roar_publisher.registry.store.jobs import LinkKind
from roar_publisher.registry.store.lineages import Lineage
from tests.support.registry.harness import START, digest, uid


class Planted(NamedTuple):
    """A job: its command, and the numbers of the artifacts that it reads and writes."""

    command: str
    inputs: Sequence[int] = ()
    outputs: Sequence[int] = ()


def plant(
    store: Store,
    number: int,
    jobs: Iterable[Planted],
    *,
    owner: str = "",
    scope: LineageScope = UNSCOPED,
    repository: str | None = None,
) -> str:
    """Publish a lineage and return its hash. `number` sets its hash, its time, and the uids of its jobs."""

    def write(connection: Connection) -> None:
        graph_id = new_graph(connection)
        for step, job in enumerate(jobs):
            sent = batches.Job(command=job.command, job_uid=uid(number * 1_000_000 + step), step_number=step)
            staging.add_jobs(connection, graph_id, [sent])
            for kind, digests in ((LinkKind.INPUTS, job.inputs), (LinkKind.OUTPUTS, job.outputs)):
                links = [batches.Link(hash=digest(each), path=f"/data/file{each}.bin") for each in digests]
                staging.add_links(connection, graph_id, sent.job_uid, kind, links)
        at = START + number
        lineages.insert(
            connection,
            Lineage(lineage_hash(number), graph_id, "a session", "", owner, scope, repository, None, "main", at),
        )

    store.write(write)
    return lineage_hash(number)


def lineage_hash(number: int) -> str:
    """The hash of a planted lineage."""
    return f"{number:08x}{'5' * 56}"
