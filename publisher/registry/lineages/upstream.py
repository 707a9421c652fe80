"""The jobs that led to an artifact, found in slices, so that other requests run in between.

For each input of a job, the first job of the same lineage that made it is followed, unless that job has a later step.
roar chooses in the same way when it reproduces from its own database. The jobs that prepare the environment belong to
everything that was made in it.
"""

from collections import deque
from http import HTTPStatus

from msgspec import Struct, field

from roar_publisher.registry.http.bounds import REPLY_BYTES, up_to_size
from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.store import provenance
from roar_publisher.registry.store.access import Reader
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.lineages import Lineage
from roar_publisher.registry.store.provenance import JobPlace, JobSpan, LinkedArtifact

MOST_JOBS = 200_000
"""Maximum jobs of one reply."""
SLICE_JOBS, SLICE_INPUTS = 500, 1000
"""Maximum jobs and inputs that one slice looks at."""
SLICE_PLACES = 10_000
"""Maximum jobs of a whole lineage that one slice lists."""
EXTERNAL_LISTED = 1000
"""Maximum inputs that are listed as coming from outside the lineage, if their paths take no more than `REPLY_BYTES`."""


class _Visit(Struct):
    """A job whose inputs are followed. `after` is the last digest that was looked at."""

    place: JobPlace
    level: int
    after: str = ""


class Upstream(Struct):
    """A search. `depth` is the number of jobs in a row that are followed; None follows all.

    `found` holds the jobs by id. `external` maps digests that no job of the lineage made before they were used to their
    paths.
    """

    lineage: Lineage
    maker: JobPlace
    span: JobSpan
    depth: int | None
    found: dict[int, JobPlace] = field(default_factory=dict)
    external: dict[str, str] = field(default_factory=dict)
    external_bytes: int = 0
    waiting: deque[_Visit] = field(default_factory=deque)

    @property
    def complete(self) -> bool:
        """Whether all jobs are found."""
        return not self.waiting

    def job_ids(self) -> list[int]:
        """Return the ids of the found jobs in the order in which they run."""
        return [place.id for place in sorted(self.found.values())]

    def add(self, place: JobPlace, level: int) -> None:
        """Add a job. Raises `Refusal` (413) past `MOST_JOBS`."""
        if place.id not in self.found:
            self.found[place.id] = place
            _check_number(len(self.found))
            if self.depth is None or level < self.depth:
                self.waiting.append(_Visit(place, level))

    def add_external(self, link: LinkedArtifact) -> None:
        """Add an input that no job of the lineage made before it was used, as long as there is room."""
        if len(self.external) < EXTERNAL_LISTED and self.external_bytes < REPLY_BYTES:
            if link.digest not in self.external:
                self.external[link.digest] = link.path
                self.external_bytes += len(link.path)


def begin(connection: Connection, digest: str, reader: Reader, depth: int | None) -> Upstream | None:
    """Begin with the job that made an artifact. Return None if no lineage that this reader can see made it.

    Without a depth, the jobs that prepare the environment are found, too.
    """
    first = provenance.first_maker(connection, digest, reader)
    if first is None:
        return None
    lineage, maker = first
    upstream = Upstream(lineage, maker, provenance.job_span(connection, lineage.graph_id), depth)
    upstream.add(maker, 1)
    if depth is None:
        for place in provenance.build_jobs(connection, lineage.graph_id, MOST_JOBS + 1):
            upstream.add(place, 1)
    return upstream


def follow_slice(connection: Connection, upstream: Upstream) -> None:
    """Follow some inputs to the jobs that made them. Raises `Refusal` as `Upstream.add`."""
    graph_id = upstream.lineage.graph_id
    used = _next_inputs(connection, upstream)
    makers = provenance.makers(connection, graph_id, upstream.span, {link.digest for _, link in used})
    for visit, link in used:
        maker = makers.get(link.digest)
        if maker is not None and maker.id != visit.place.id and maker.step <= visit.place.step:
            upstream.add(maker, visit.level + 1)
        else:
            upstream.add_external(link)


def view_maker(connection: Connection, upstream: Upstream) -> dict[str, object] | None:
    """Return what `roar show` says of the job that made the artifact. Return None if the job is gone."""
    for job in provenance.jobs_with_ids(connection, [upstream.maker.id]):
        return {
            "jobUid": job.stored.uid,
            "command": job.stored.command,
            "stepNumber": job.stored.step_number,
            "sessionHash": upstream.lineage.hash,
        }
    return None


def list_slice(connection: Connection, graph_id: int, places: list[JobPlace]) -> bool:
    """Append some jobs of a whole lineage to `places`. Return whether there may be more.

    Raises `Refusal` (413) past `MOST_JOBS`.
    """
    listed = provenance.places_after(connection, graph_id, places[-1] if places else None, SLICE_PLACES)
    places += listed
    _check_number(len(places))
    return len(listed) == SLICE_PLACES


def _check_number(jobs: int) -> None:
    if jobs > MOST_JOBS:
        detail = f"this takes more than {MOST_JOBS} jobs: read the lineage page by page"
        raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)


def _next_inputs(connection: Connection, upstream: Upstream) -> list[tuple[_Visit, LinkedArtifact]]:
    used: list[tuple[_Visit, LinkedArtifact]] = []
    jobs = size = 0
    while upstream.waiting and jobs < SLICE_JOBS and len(used) < SLICE_INPUTS and size < REPLY_BYTES:
        visit, room = upstream.waiting[0], SLICE_INPUTS - len(used)
        found = provenance.links_after(
            connection, upstream.lineage.graph_id, visit.place.id, "inputs", visit.after, room
        )
        links = up_to_size(found, REPLY_BYTES - size, lambda link: len(link.path))
        used += [(visit, link) for link in links]
        size += sum(len(link.path) for link in links)
        if len(links) < room and size < REPLY_BYTES:
            upstream.waiting.popleft()
        else:
            visit.after = links[-1].digest
        jobs += 1
    return used
