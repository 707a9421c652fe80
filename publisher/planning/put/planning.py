"""Plans a put from digested sources: units for the journal, objects for the store, a record for roar.db.

The lineage of a put is that of its files, re-runs reduced to the latest, and one more job whose inputs they are.
"""

from collections.abc import Callable, Sequence
from hashlib import sha256

from roar_publisher.lineage.batches import Sink
from roar_publisher.lineage.database import Database, SessionRow, open_database
from roar_publisher.lineage.jsontext import encode
from roar_publisher.lineage.plan import published_git_context, write_units
from roar_publisher.lineage.redaction import Redactor
from roar_publisher.lineage.targets import active_session
from roar_publisher.lineage.upstream import drop_reruns, pick_upstream
from roar_publisher.planning.put.assembly import assemble, uploaded_files
from roar_publisher.planning.put.objects import Digested, Object, PutRequest, PutSummary, Tag
from roar_publisher.planning.put.record import PutFile
from roar_publisher.planning.put.shadow import shadow_of
from roar_publisher.planning.put.tags import wanted_tag
from roar_publisher.planning.put.worktree import committed
from roar_publisher.state.errors import UsageProblem


def plan_put(
    request: PutRequest,
    digested: Sequence[Digested],
    url: Callable[[str], str],
    *,
    identities: Sequence[str],
    sink: Sink,
    now: float,
) -> PutSummary:
    """Pass the units of the lineage, including the put job, to `sink`.

    url: `ObjectStore.url` of the destination.
    identities, sink: as in `build_plan`.
    now: the put job's timestamp, in Unix seconds.

    Every call makes a new job with a new uid. Does not use the network. Raises UsageProblem for uncommitted changes,
    and LocalProblem for any problem of the project. An error of the sink propagates.
    """
    _check_texts(request)
    redactor = Redactor(request.project.config.omit)
    commit = committed(request.project.root)
    tag = wanted_tag(request, commit)
    git = published_git_context(request.project, request.project.root, redactor)
    with open_database(request.project.database) as database:
        session = active_session(database)
        files = uploaded_files(database, digested, url)
        _pick_lineage(database, session, files)
        record = assemble(request, database, session, files, digested, commit=commit, tag=tag, now=now)
        with shadow_of(database, record) as (shadow, job):
            lineage = write_units(shadow, session, git, redactor, identities=identities, sink=sink, described=job)
        return PutSummary(
            lineage=lineage,
            fingerprint=_fingerprint(request, database, files, commit, tag),
            objects=_objects(digested, url),
            record=record.as_json(),
            tags=(tag,) if tag else (),
        )


def _check_texts(request: PutRequest) -> None:
    for text in (request.message, request.destination, request.name or "", *request.sources):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise UsageProblem(f"{text!r} is not valid UTF-8.", next_step="Type it again in UTF-8.") from error


def _pick_lineage(database: Database, session: SessionRow, files: Sequence[PutFile]) -> None:
    """Pick the jobs that the files come from, and choose them in the order in which they ran."""
    database.execute("CREATE TEMP TABLE uploaded(artifact TEXT PRIMARY KEY) WITHOUT ROWID")
    for file in files:
        database.execute("INSERT OR IGNORE INTO uploaded VALUES (?)", file.artifact)
    pick_upstream(database, "SELECT artifact FROM uploaded", (), session)
    drop_reruns(database)
    picked = database.query("SELECT id FROM picked CROSS JOIN jobs ON id = job ORDER BY step_number, timestamp, id")
    database.choose([row[0] for row in picked])


def _fingerprint(
    request: PutRequest, database: Database, files: Sequence[PutFile], commit: str, tag: Tag | None
) -> str:
    """Return the identity of a put: what is stored where, the lineage that it comes from, and its description.

    Contents count by digest and address, not by the source as typed. The put job's own uid and time do not count, nor
    does the remote that the tag is pushed to.
    """
    jobs = database.query("SELECT job_uid FROM chosen c CROSS JOIN jobs j ON j.id = c.job ORDER BY seq")
    contents = sorted({(file.url, file.digest) for file in files})
    told = [request.message, request.flag.value, request.name, request.dataset]
    said = [told, commit, tag is not None, [row[0] for row in jobs], contents]
    return sha256(encode(said).encode()).hexdigest()


def _objects(digested: Sequence[Digested], url: Callable[[str], str]) -> tuple[Object, ...]:
    """Return one object per key, in the order of the sources; all files of one key have the same content."""
    by_key: dict[str, Digested] = {}
    for one in digested:
        by_key.setdefault(one.source.key, one)
    return tuple(Object(key, url(key), one.content) for key, one in by_key.items())
