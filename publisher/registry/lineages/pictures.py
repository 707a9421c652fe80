"""Pictures of a lineage: at most `MAX_NODES` jobs, artifacts or groups, and the edges between them."""

from collections.abc import Iterable, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from roar_publisher.registry.store import picture_rows
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.graphs import graph_counts
from roar_publisher.registry.store.lineage_index import is_indexed
from roar_publisher.registry.store.picture_rows import DrawnJob, DrawnLink, Group
from roar_publisher.registry.store.schema import NO_STEP

MAX_NODES = 200
"""Maximum nodes of a picture."""
MAX_LINKS = 2000
"""Maximum links that a picture of a whole lineage shows. Beyond that, only parts of it are drawn."""
MAX_GROUP_EDGES = 400
"""Maximum edges between groups, those with most artifacts first."""
JOBS_OF_PART = 40
"""Jobs of a group in one picture."""
LINKS_OF_NODE = 24
"""Maximum neighbours of one node in a picture of a part."""
JOB, ARTIFACT, GROUP = "job", "artifact", "group"


class Node(Struct, frozen=True):
    """A node of a picture.

    `name` is a job's uid, an artifact's digest, or a group's number. `title` and `note` are its two lines, and are not
    escaped. `hidden` is the number of its neighbours that are not drawn. `failed` is true for a job that exited
    with an error.
    """

    kind: str
    name: str
    title: str
    note: str
    hidden: int = 0
    failed: bool = False

    @property
    def key(self) -> str:
        """The name of the node among all nodes."""
        return f"{self.kind} {self.name}"


class Picture(Struct, frozen=True):
    """A picture. `edges` are pairs of keys, from a node to one that follows it. `about` says what it shows.

    `centre` is the key of the node that the picture was asked for, or empty. `group` is the number of the group that is
    shown, of which `more` says whether it has jobs after `part`.
    """

    about: str
    nodes: list[Node] = field(default_factory=list)
    edges: list[tuple[str, str]] = field(default_factory=list)
    centre: str = ""
    group: int | None = None
    part: int = 1
    more: bool = False


def picture_of_lineage(connection: Connection, graph_id: int, *, offset: int, limit: int) -> Picture:
    """Return the picture of a whole lineage if it is small, or else of the jobs from `offset` on."""
    counts = graph_counts(connection, graph_id)
    links = counts["inputs"] + counts["outputs"]
    if counts["jobs"] + counts["artifacts"] <= MAX_NODES and links <= MAX_LINKS:
        jobs = picture_rows.first_jobs(connection, graph_id, offset=0, limit=MAX_NODES)
        return draw(connection, "the whole lineage", jobs, limit_each=MAX_NODES)
    if is_indexed(connection, graph_id):
        return picture_of_groups(connection, graph_id)
    jobs = picture_rows.first_jobs(connection, graph_id, offset=offset, limit=limit)
    return draw(connection, "the jobs on this page", jobs, limit_each=LINKS_OF_NODE)


def picture_of_groups(connection: Connection, graph_id: int) -> Picture:
    """Return the picture of an indexed lineage by groups of jobs."""
    nodes = [group_node(group) for group in picture_rows.groups(connection, graph_id)]
    edges = picture_rows.group_edges(connection, graph_id)[:MAX_GROUP_EDGES]
    keys = [(f"{GROUP} {source}", f"{GROUP} {target}") for source, target, _ in edges]
    return Picture("the jobs, grouped by program", nodes, sorted(keys))


def picture_of_group(connection: Connection, graph_id: int, number: int, part: int) -> Picture | None:
    """Return the picture of some jobs of a group with their artifacts; None if the group has no such part."""
    offset = (part - 1) * JOBS_OF_PART
    jobs = picture_rows.jobs_of_group(connection, graph_id, number, offset=offset, limit=JOBS_OF_PART + 1)
    if not jobs:
        return None
    shown = jobs[:JOBS_OF_PART]
    about = f"jobs {offset + 1:,} to {offset + len(shown):,} of the group"
    picture = draw(connection, about, shown, limit_each=LINKS_OF_NODE)
    return replace(picture, group=number, part=part, more=len(jobs) > JOBS_OF_PART)


def draw(connection: Connection, about: str, jobs: Sequence[DrawnJob], *, limit_each: int) -> Picture:
    """Return a picture of jobs with their artifacts, of each job and kind at most `limit_each`.

    Artifacts that connect two of the jobs come first, then those of the first jobs, as long as there is room.
    """
    links = picture_rows.links_of_jobs(connection, [job.id for job in jobs], limit_each=limit_each)
    artifacts = _artifacts(links, MAX_NODES - len(jobs))
    keys = {job.id: job_node(job).key for job in jobs}
    drawn = [link for link in links if link.digest in artifacts]
    shown = {job.id: 0 for job in jobs}
    for link in drawn:
        shown[link.job_id] += 1
    nodes = [job_node(job, hidden=job.inputs + job.outputs - shown[job.id]) for job in jobs]
    nodes += [artifact_node(digest, path) for digest, path in artifacts.items()]
    return Picture(about, nodes, sorted(set(edges_of(drawn, keys))))


def edges_of(links: Iterable[DrawnLink], keys: dict[int, str]) -> Iterable[tuple[str, str]]:
    """Yield the edge of each link. `keys` are the keys of the nodes that stand for the jobs."""
    for link in links:
        job, artifact = keys[link.job_id], f"{ARTIFACT} {link.digest}"
        yield (artifact, job) if link.kind == "inputs" else (job, artifact)


def job_node(job: DrawnJob, hidden: int = 0) -> Node:
    """Return the node of a job."""
    step = "no step" if job.step_number is None else f"step {job.step_number}"
    note = f"{step}, exit {job.exit_code}" if job.exit_code else step
    return Node(JOB, job.uid, job.command, note, hidden, bool(job.exit_code))


def group_node(group: Group) -> Node:
    """Return the node of a group."""
    failed = f", {group.failed:,} failed" if group.failed else ""
    jobs = "1 job" if group.jobs == 1 else f"{group.jobs:,} jobs"
    return Node(GROUP, str(group.number), group.name, f"{jobs}{failed}, {_steps_of(group)}", failed=group.failed > 0)


def _steps_of(group: Group) -> str:
    if group.last_step == NO_STEP:
        return "no step"
    if group.first_step == group.last_step:
        return f"step {group.last_step}"
    if group.first_step == NO_STEP:
        return f"no step to step {group.last_step}"
    return f"steps {group.first_step} to {group.last_step}"


def artifact_node(digest: str, path: str, hidden: int = 0) -> Node:
    """Return the node of an artifact."""
    return Node(ARTIFACT, digest, path.rstrip("/").rpartition("/")[2] or path or digest, digest, hidden)


def _artifacts(links: Sequence[DrawnLink], room: int) -> dict[str, str]:
    """Return up to `room` digests with a path, those first that connect jobs."""
    jobs: dict[str, set[int]] = {}
    paths: dict[str, str] = {}
    for link in links:
        jobs.setdefault(link.digest, set()).add(link.job_id)
        paths[link.digest] = min(paths.get(link.digest, link.path), link.path)
    order = {digest: number for number, digest in enumerate(paths)}
    ranked = sorted(paths, key=lambda digest: (len(jobs[digest]) < 2, order[digest]))
    return {digest: paths[digest] for digest in sorted(ranked[: max(0, room)], key=order.__getitem__)}
