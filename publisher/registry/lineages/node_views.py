"""What the pages of one job and of one artifact show, limited to what the reader may read."""

from http import HTTPStatus
from typing import Any

from msgspec import Struct

from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.lineages.artifact_views import find_artifact
from roar_publisher.registry.lineages.job_views import shown_labels
from roar_publisher.registry.lineages.reading import lineage_by_prefix
from roar_publisher.registry.store import node_rows
from roar_publisher.registry.store.access import Reader
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.jobs import SizedJob, uid_of_alias
from roar_publisher.registry.store.label_versions import Entity
from roar_publisher.registry.store.lineage_index import is_indexed
from roar_publisher.registry.store.lineages import Lineage
from roar_publisher.registry.store.node_rows import Appearance, LinkingJob
from roar_publisher.registry.store.provenance import LinkedArtifact, links_after

LINKS_OF_PAGE = 100
"""Inputs, and outputs, on one page of a job."""
LINEAGES_OF_PAGE, JOBS_OF_LINEAGE = 20, 10
"""Lineages on one page of an artifact, and jobs of each that wrote it, and that read it."""


class LinkPage(Struct, frozen=True):
    """Some links of a job, by digest. `after` is the digest after which there are more, or empty."""

    links: list[LinkedArtifact]
    count: int
    after: str


class ViewedJob(Struct, frozen=True):
    """A job of a lineage, with one page of its inputs and of its outputs."""

    lineage: Lineage
    job: SizedJob
    labels: dict[str, object]
    inputs: LinkPage
    outputs: LinkPage


class Use(Struct, frozen=True):
    """A lineage that has an artifact, with the first jobs that wrote and that read it.

    `indexed` is false while these are not known yet.
    """

    lineage: Appearance
    indexed: bool
    writers: list[LinkingJob]
    readers: list[LinkingJob]


class ViewedArtifact(Struct, frozen=True):
    """An artifact with one page of the lineages that have it. `facts` are as of `find_artifact`."""

    facts: dict[str, Any]
    uses: list[Use]
    more: bool


def view_job(
    connection: Connection, lineage_hash: str, uid: str, reader: Reader, *, inputs_after: str, outputs_after: str
) -> ViewedJob:
    """Return a job, given by any of its uids. Raises `Refusal` (404) if this reader can see none."""
    lineage = lineage_by_prefix(connection, lineage_hash, reader)
    graph_id = lineage.graph_id
    job = node_rows.shown_job(connection, graph_id, uid_of_alias(connection, graph_id, uid))
    if job is None:
        raise Refusal(HTTPStatus.NOT_FOUND, "this lineage has no such job")

    def page(kind: str, count: int, after: str) -> LinkPage:
        found = list(links_after(connection, graph_id, job.id, kind, after, LINKS_OF_PAGE + 1))
        more = len(found) > LINKS_OF_PAGE
        return LinkPage(found[:LINKS_OF_PAGE], count, found[LINKS_OF_PAGE - 1].digest if more else "")

    return ViewedJob(
        lineage,
        job,
        shown_labels(connection, Entity(graph_id, "job", job.stored.uid)),
        page("inputs", job.inputs, inputs_after),
        page("outputs", job.outputs, outputs_after),
    )


def view_artifact(
    connection: Connection, digest: str, reader: Reader, before: tuple[float, str] | None
) -> ViewedArtifact:
    """Return an artifact with the newest lineages that have it. Raises `Refusal` as `find_artifact`."""
    facts = find_artifact(connection, digest, reader)
    found = node_rows.appearances(connection, digest, reader, before, LINEAGES_OF_PAGE + 1)
    uses = []
    for lineage in found[:LINEAGES_OF_PAGE]:
        indexed = is_indexed(connection, lineage.graph_id)
        writers, readers = (
            node_rows.linking_jobs(connection, lineage, digest, kind, JOBS_OF_LINEAGE + 1) if indexed else []
            for kind in ("outputs", "inputs")
        )
        uses.append(Use(lineage, indexed, writers, readers))
    return ViewedArtifact(facts, uses, len(found) > LINEAGES_OF_PAGE)
