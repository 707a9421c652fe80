"""Rows that pictures of a lineage are drawn from. Every query reads a bounded number of rows of one graph."""

from collections.abc import Sequence
from typing import NamedTuple

from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.jobs import LINK_KINDS
from roar_publisher.registry.store.schema import NO_STEP

TEXT_READ = 300
"""Characters of a command and of a path that are read for a picture."""
JOBS_COUNTED = 2000
"""Jobs up to which those of an artifact are counted."""
_DRAWN = f"jobs.id, uid, nullif(step_number, {NO_STEP}), substr(command, 1, {TEXT_READ}), exit_code, inputs, outputs"
"""The columns of a `DrawnJob`. None has a name of its own, so `step_number` is that of the table."""


class DrawnJob(NamedTuple):
    """A job of a picture. `inputs` and `outputs` are its numbers of links."""

    id: int
    uid: str
    step_number: int | None
    command: str
    exit_code: int | None
    inputs: int
    outputs: int


class DrawnLink(NamedTuple):
    """A link of a picture. `kind` is `inputs` or `outputs`."""

    job_id: int
    kind: str
    digest: str
    path: str


class DrawnArtifact(NamedTuple):
    """An artifact of a picture. `jobs` are those that link it, counted up to `JOBS_COUNTED`."""

    id: int
    path: str | None
    jobs: int


class Group(NamedTuple):
    """A group of jobs with the same program."""

    number: int
    name: str
    jobs: int
    failed: int
    first_step: int
    last_step: int


def first_jobs(connection: Connection, graph_id: int, *, offset: int, limit: int) -> list[DrawnJob]:
    """Return jobs of a graph in step order."""
    rows = connection.execute(
        "WITH page (id) AS"
        " (SELECT id FROM jobs WHERE graph_id = :graph ORDER BY step_number, id LIMIT :limit OFFSET :offset)"
        f" SELECT {_DRAWN} FROM page JOIN jobs ON jobs.id = page.id JOIN job_sizes ON job_id = page.id"
        " ORDER BY step_number, page.id",
        {"graph": graph_id, "limit": limit, "offset": offset},
    )
    return [DrawnJob(*row) for row in rows]


def links_of_jobs(connection: Connection, job_ids: Sequence[int], *, limit_each: int) -> list[DrawnLink]:
    """Return the first links of each job and kind by digest."""
    found: list[DrawnLink] = []
    for job_id in job_ids:
        for kind in LINK_KINDS:
            rows = connection.execute(
                f"SELECT job_id, kind, digest, substr(path, 1, {TEXT_READ}) FROM links"
                " WHERE job_id = :job AND kind = :kind ORDER BY digest LIMIT :limit",
                {"job": job_id, "kind": kind, "limit": limit_each},
            )
            found += [DrawnLink(*row) for row in rows]
    return found


def jobs_with_ids(connection: Connection, job_ids: Sequence[int]) -> list[DrawnJob]:
    """Return jobs by their row ids, in step order."""
    rows = connection.execute(
        f"SELECT {_DRAWN} FROM jobs JOIN job_sizes ON job_id = jobs.id WHERE jobs.id IN (:ids)", {"ids": list(job_ids)}
    )
    found = [DrawnJob(*row) for row in rows]
    return sorted(found, key=lambda job: (NO_STEP if job.step_number is None else job.step_number, job.id))


def job_with_uid(connection: Connection, graph_id: int, uid: str) -> DrawnJob | None:
    """Return the job of a graph with this uid; None if there is none."""
    row = connection.execute(
        f"SELECT {_DRAWN} FROM jobs JOIN job_sizes ON job_id = jobs.id WHERE graph_id = :graph AND uid = :uid",
        {"graph": graph_id, "uid": uid},
    ).fetchone()
    return None if row is None else DrawnJob(*row)


def drawn_artifact(connection: Connection, graph_id: int, digest: str) -> DrawnArtifact | None:
    """Return the artifact of a graph with this digest; None if there is none."""
    row = connection.execute(
        "SELECT id, path FROM artifacts WHERE graph_id = :graph AND digest = :digest",
        {"graph": graph_id, "digest": digest},
    ).fetchone()
    if row is None:
        return None
    (count,) = connection.execute(
        "SELECT count(*) FROM (SELECT 1 FROM artifact_links WHERE graph_id = :graph AND artifact_id = :artifact"
        f" LIMIT {JOBS_COUNTED}) AS counted",
        {"graph": graph_id, "artifact": row["id"]},
    ).fetchone()
    return DrawnArtifact(row["id"], row["path"], count)


def jobs_of_artifact(connection: Connection, graph_id: int, artifact_id: int, kind: str, limit: int) -> list[int]:
    """Return the first jobs of an indexed graph that link an artifact. `kind` is `inputs` or `outputs`."""
    rows = connection.execute(
        "SELECT job_id FROM artifact_links WHERE graph_id = :graph AND artifact_id = :artifact AND kind = :kind"
        " ORDER BY job_id LIMIT :limit",
        {"graph": graph_id, "artifact": artifact_id, "kind": kind, "limit": limit},
    )
    return [row["job_id"] for row in rows]


def groups(connection: Connection, graph_id: int) -> list[Group]:
    """Return the groups of an indexed graph, by their first steps."""
    rows = connection.execute(
        "SELECT number, name, jobs, failed, first_step, last_step FROM job_groups WHERE graph_id = :graph"
        " ORDER BY first_step, number",
        {"graph": graph_id},
    )
    return [Group(*row) for row in rows]


def group_edges(connection: Connection, graph_id: int) -> list[tuple[int, int, int]]:
    """Return the edges between groups as source, target and number of artifacts, those with most artifacts first."""
    rows = connection.execute(
        "SELECT source, target, artifacts FROM group_edges WHERE graph_id = :graph"
        " ORDER BY artifacts DESC, source, target",
        {"graph": graph_id},
    )
    return [(row["source"], row["target"], row["artifacts"]) for row in rows]


def jobs_of_group(connection: Connection, graph_id: int, number: int, *, offset: int, limit: int) -> list[DrawnJob]:
    """Return jobs of a group in step order."""
    rows = connection.execute(
        "SELECT job_id FROM group_jobs WHERE graph_id = :graph AND number = :number"
        " ORDER BY step_number, job_id LIMIT :limit OFFSET :offset",
        {"graph": graph_id, "number": number, "limit": limit, "offset": offset},
    )
    return jobs_with_ids(connection, [row["job_id"] for row in rows])
