"""The picture of the neighbourhood of a job or artifact, in both directions."""

from roar_publisher.registry.lineages.pictures import (
    ARTIFACT,
    JOB,
    MAX_NODES,
    Node,
    Picture,
    artifact_node,
    edges_of,
    job_node,
)
from roar_publisher.registry.store import picture_rows
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.jobs import LINK_KINDS, uid_of_alias
from roar_publisher.registry.store.picture_rows import DrawnJob, DrawnLink

NEIGHBOURS = (60, 8, 4)
"""Maximum neighbours in each direction, of the centre and of nodes at each further distance."""


def picture_around(connection: Connection, graph_id: int, name: str) -> Picture | None:
    """Return the picture around a job, given by any of its uids, or an artifact, given by its digest, or None."""
    part = _Part(connection, graph_id)
    job = picture_rows.job_with_uid(connection, graph_id, uid_of_alias(connection, graph_id, name))
    if job is not None:
        part.jobs[job.id] = job
    elif not part.add_artifact(name, ""):
        return None
    for limit in NEIGHBOURS:
        part.grow(limit)
    return part.picture("the neighbourhood of one node", f"{ARTIFACT} {name}" if job is None else f"{JOB} {job.uid}")


class _Part:
    """A part of a lineage that grows by the neighbours of its nodes, up to `MAX_NODES`."""

    def __init__(self, connection: Connection, graph_id: int) -> None:
        self.jobs: dict[int, DrawnJob] = {}
        self._connection = connection
        self._graph_id = graph_id
        self._artifacts: dict[str, tuple[int, str, int]] = {}  # row id, path, number of its jobs
        self._links: dict[tuple[int, str, str], DrawnLink] = {}
        self._grown: set[int | str] = set()

    def add_artifact(self, digest: str, path: str) -> bool:
        """Add an artifact. Return False if the graph does not have it, or there is no room."""
        if digest in self._artifacts:
            return True
        found = picture_rows.drawn_artifact(self._connection, self._graph_id, digest) if self._has_room() else None
        if found is None:
            return False
        self._artifacts[digest] = found.id, path or found.path or "", found.jobs
        return True

    def grow(self, limit: int) -> None:
        """Add up to `limit` neighbours in each direction of every node that has not grown yet."""
        jobs = [job for job in self.jobs.values() if job.id not in self._grown]
        artifacts = [digest for digest in self._artifacts if digest not in self._grown]
        self._grown.update(artifacts, (job.id for job in jobs))
        for job in jobs:
            for link in picture_rows.links_of_jobs(self._connection, [job.id], limit_each=limit):
                self._add_link(link)
        for digest in artifacts:
            row_id, path, _ = self._artifacts[digest]
            for kind in LINK_KINDS:
                ids = picture_rows.jobs_of_artifact(self._connection, self._graph_id, row_id, kind, limit)
                self._add_jobs([each for each in ids if each not in self.jobs])
                for job_id in ids:
                    self._add_link(DrawnLink(job_id, kind, digest, path))

    def picture(self, about: str, centre: str) -> Picture:
        """Return the picture of this part."""
        shown: dict[int | str, int] = {}
        for job_id, _, digest in self._links:
            shown[job_id] = shown.get(job_id, 0) + 1
            shown[digest] = shown.get(digest, 0) + 1
        nodes: list[Node] = []
        for job in sorted(self.jobs.values(), key=lambda job: (job.step_number or 0, job.id)):
            nodes.append(job_node(job, max(0, job.inputs + job.outputs - shown.get(job.id, 0))))
        for digest, (_, path, jobs) in self._artifacts.items():
            nodes.append(artifact_node(digest, path, max(0, jobs - shown.get(digest, 0))))
        keys = {job.id: job_node(job).key for job in self.jobs.values()}
        return Picture(about, nodes, sorted(set(edges_of(self._links.values(), keys))), centre)

    def _add_link(self, link: DrawnLink) -> None:
        if link.job_id in self.jobs and self.add_artifact(link.digest, link.path):
            self._links.setdefault((link.job_id, link.kind, link.digest), link)

    def _add_jobs(self, ids: list[int]) -> None:
        for job in picture_rows.jobs_with_ids(self._connection, ids):
            if self._has_room():
                self.jobs[job.id] = job

    def _has_room(self) -> bool:
        return len(self.jobs) + len(self._artifacts) < MAX_NODES
