"""Building the index of published lineages (`store.lineage_index`) in slices of one short transaction each.

It runs while the registry serves. A lineage is shown before it is indexed, but is not found by search, impact or
the pages of artifacts until then. A slice that is lost is repeated, and one that another process did counts once.
"""

import json
import logging
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from itertools import accumulate, islice, takewhile

import anyio

from roar_publisher.registry.http.bounds import up_to_size
from roar_publisher.registry.lineages.sweeping import Write
from roar_publisher.registry.lineages.words import group_name, words_of, words_of_label
from roar_publisher.registry.store import lineage_index as index
from roar_publisher.registry.store import lineage_words
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.documents import load_document
from roar_publisher.registry.store.errors import StoreError, StoreUnavailable
from roar_publisher.registry.store.label_versions import Entity, StoredLabel, newest_labels_after
from roar_publisher.registry.store.lineage_index import IndexedJob, IndexedLink, JobGroup, UnfinishedIndex
from roar_publisher.registry.store.lineage_words import Word

logger = logging.getLogger(__name__)

MAX_GROUPS = 60
"""Maximum groups of one lineage. All jobs with further programs are in group 0."""
OTHER_PROGRAMS = "(other programs)"
SLICE_JOBS, SLICE_LINKS, SLICE_ARTIFACTS, SLICE_LABELS, SLICE_ROWS = 200, 1000, 500, 20, 1000
"""Maximum rows that one slice handles."""
SLICE_LABEL_BYTES, LABEL_BYTES = 128 * 1024, 4 * 1024 * 1024
"""Bytes of label documents with which a slice ends, and after which no more of a lineage are indexed. Each small change
of a label lets those of its lineage be indexed again."""
MAX_WORDS = {"command": 5000, "path": 20_000, "label": 2000, "repository": 50}
"""Maximum words of each kind of one lineage."""
WORDS_OF_PROGRAMS = 1000
"""Words of commands beyond that, for the names of groups alone, which are thus always found."""
INTERVAL_SECONDS, DELAY_SECONDS, PAUSE_SECONDS = 60.0, 0.5, 0.01
"""Seconds to the next look for new lineages if nothing is written here; from a write to the look; between slices."""
_ALL_LINKS = "~"
"""Sorts after the kinds of links: all links of the job are indexed."""


class IndexedElsewhere(StoreError):
    """Another process has done the slice in the meantime; this one is undone."""


class NotIndexable(StoreError):
    """A slice of one lineage fails, whatever the state of the store. Others can be indexed."""

    def __init__(self, graph_id: int, error: Exception) -> None:
        super().__init__(f"the lineage of graph {graph_id} cannot be indexed: {error}")
        self.graph_id = graph_id


class Changes:
    """Tells the index that something was written."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    def notify(self) -> None:
        """Wake up whoever waits."""
        self._event.set()

    async def wait(self, seconds: float) -> None:
        """Wait for a change since the last wait, but not longer than this."""
        with anyio.move_on_after(seconds):
            await self._event.wait()
        self._event = anyio.Event()


async def index_forever(write: Write, changes: Changes) -> None:
    """Index until cancelled. Errors, of the store (a full disk) or any other, are logged, and it is tried again.

    A lineage that cannot be indexed holds up no other one: it is tried again when all others are done.
    """
    failed = set[int]()
    while True:
        try:
            more = await write(index_slice, without=frozenset(failed))
        except IndexedElsewhere:
            more = True
        except NotIndexable as error:
            logger.error("%s", error, exc_info=error.__cause__)
            failed.add(error.graph_id)
            more = True
        except Exception as error:
            logger.error("cannot index lineages now: %s", error, exc_info=not isinstance(error, StoreError))
            more = False
        if not more:
            await changes.wait(INTERVAL_SECONDS)
            failed.clear()
        await anyio.sleep(PAUSE_SECONDS if more else DELAY_SECONDS)


def index_slice(connection: Connection, *, without: Collection[int] = ()) -> bool:
    """Do one slice for one lineage. Return False if all lineages are indexed.

    without: ids of graphs to leave alone. Raises IndexedElsewhere, NotIndexable, and StoreUnavailable.
    """
    lineage = index.next_unfinished(connection, without)
    if lineage is None:
        return False
    step = {index.CLEAR: _clear, index.JOBS: _jobs, index.EDGES: _edges, index.LABELS: _labels}[lineage.phase]
    try:
        with connection.translated_errors():
            position = step(connection, lineage)
    except StoreUnavailable:
        raise
    except Exception as error:
        raise NotIndexable(lineage.graph_id, error) from error
    phase = lineage.phase if position is not None else lineage.phase + 1
    if not index.advance_index(connection, lineage, phase, position or ""):
        raise IndexedElsewhere("another process has indexed this slice")
    return True


def _clear(connection: Connection, lineage: UnfinishedIndex) -> str | None:
    if index.clear_index(connection, lineage.graph_id, SLICE_ROWS):
        return lineage.position
    names = dict.fromkeys([*words_of(lineage.git_repo or ""), *words_of(lineage.git_branch or "")])
    _add_words(connection, lineage, "repository", [(word, "") for word in names])
    return None


def _jobs(connection: Connection, lineage: UnfinishedIndex) -> str | None:
    """Index the next jobs with their links. The position is a job, and the link of it after which it goes on."""
    uid, kind, digest = json.loads(lineage.position or '["", "", ""]')
    jobs = index.jobs_from(connection, lineage.graph_id, uid, SLICE_JOBS + 1)  # the first one may be done
    if lineage.position and jobs and jobs[0].uid == uid:
        if kind != _ALL_LINKS:
            return _next_links(connection, lineage, jobs[0], (kind, digest))
        jobs = jobs[1:]
    if not jobs:
        return None
    chosen = _that_fit(jobs)
    if not chosen:
        _index_jobs(connection, lineage, _grouped(connection, lineage, jobs[:1]))
        return _next_links(connection, lineage, jobs[0], ("", ""))
    groups = _grouped(connection, lineage, chosen)
    _index_jobs(connection, lineage, groups)
    _index_links(connection, lineage, groups, index.links_of_jobs(connection, lineage.graph_id, chosen))
    is_last = len(chosen) == len(jobs) < SLICE_JOBS
    return None if is_last else json.dumps((chosen[-1].uid, _ALL_LINKS, ""))


def _that_fit(jobs: Sequence[IndexedJob]) -> list[IndexedJob]:
    """Return the first jobs that fit into one slice with their links; none if the first one is too large for that."""
    last = takewhile(lambda total: total <= SLICE_LINKS, accumulate(job.links for job in jobs[:SLICE_JOBS]))
    return list(jobs[: len(list(last))])


def _next_links(connection: Connection, lineage: UnfinishedIndex, job: IndexedJob, after: tuple[str, str]) -> str:
    """Index the next links of one job, after a kind and digest. Return the position."""
    links = index.links_after(connection, lineage.graph_id, job.id, after, SLICE_LINKS)
    _index_links(connection, lineage, _grouped(connection, lineage, [job]), links)
    place = (_ALL_LINKS, "") if len(links) < SLICE_LINKS else (links[-1].kind, links[-1].digest)
    return json.dumps((job.uid, *place))


def _index_jobs(connection: Connection, lineage: UnfinishedIndex, groups: Sequence[JobGroup]) -> None:
    index.add_to_groups(connection, lineage.graph_id, groups)
    programs = [(word, group.jobs[0].uid) for group in groups if group.number for word in words_of(group.name)]
    _add_words(connection, lineage, "command", programs, more=WORDS_OF_PROGRAMS)
    if _has_room(connection, lineage, "command"):
        jobs = sorted((job for group in groups for job in group.jobs), key=lambda job: job.uid)
        _add_words(connection, lineage, "command", _words((job.command, job.uid) for job in jobs))


def _index_links(
    connection: Connection, lineage: UnfinishedIndex, groups: Sequence[JobGroup], links: Sequence[IndexedLink]
) -> None:
    numbers = {job.id: group.number for group in groups for job in group.jobs}
    index.add_links(connection, lineage.graph_id, links, numbers)
    if _has_room(connection, lineage, "path"):
        _add_words(connection, lineage, "path", _words((link.path, link.digest) for link in links))


def _grouped(connection: Connection, lineage: UnfinishedIndex, jobs: Sequence[IndexedJob]) -> list[JobGroup]:
    """Return the groups of these jobs, in the order of their first jobs."""
    by_program: dict[str, list[IndexedJob]] = {}
    for job in jobs:
        by_program.setdefault(group_name(job.command), []).append(job)
    numbers = index.group_numbers(connection, lineage.graph_id, list(by_program), MAX_GROUPS)
    groups = [JobGroup(numbers[name], name, some) for name, some in by_program.items() if numbers[name]]
    others = [job for name, some in by_program.items() if not numbers[name] for job in some]
    return [*groups, JobGroup(0, OTHER_PROGRAMS, others)] if others else groups


def _words(texts: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the words of texts, each with the entity that first has the text."""
    first: dict[str, str] = {}
    for text, entity in texts:
        first.setdefault(text, entity)
    return [(word, entity) for text, entity in first.items() for word in words_of(text)]


def _has_room(connection: Connection, lineage: UnfinishedIndex, kind: str) -> bool:
    return lineage_words.count_words(connection, lineage.graph_id, kind) < MAX_WORDS[kind]


def _edges(connection: Connection, lineage: UnfinishedIndex) -> str | None:
    """Count the next artifacts as edges between the groups that write and read them."""
    rows = index.grouped_artifacts(connection, lineage.graph_id, int(lineage.position or -1), SLICE_ARTIFACTS)
    writers: dict[int, list[int]] = {}
    readers: dict[int, list[int]] = {}
    for artifact, kind, number in rows:
        (writers if kind == "outputs" else readers).setdefault(artifact, []).append(number)
    edges = Counter(
        (source, target)
        for artifact, sources in writers.items()
        for source in sources
        for target in readers.get(artifact, ())
        if source != target
    )
    index.add_group_edges(connection, lineage.graph_id, [(*edge, count) for edge, count in sorted(edges.items())])
    return str(rows[-1][0]) if rows else None


def _labels(connection: Connection, lineage: UnfinishedIndex) -> str | None:
    """Index the words of the next label documents. The position is an entity's type and name, and what was read."""
    if not lineage.position:
        lineage_words.forget_words(connection, lineage.graph_id, "label")
    kind, name, read = [*json.loads(lineage.position or '["", ""]'), 0][:3]  # earlier releases did not count
    if read >= LABEL_BYTES or not _has_room(connection, lineage, "label"):
        return None
    after = newest_labels_after(connection, lineage.graph_id, kind, name)
    found = up_to_size(islice(after, SLICE_LABELS), SLICE_LABEL_BYTES, _label_bytes)
    if not found:
        return None
    words = [(word, entity.name) for entity, label in found for word in words_of_label(load_document(label.metadata))]
    _add_words(connection, lineage, "label", words)
    last, _ = found[-1]
    return json.dumps((last.type, last.name, read + sum(map(_label_bytes, found))))


def _label_bytes(found: tuple[Entity, StoredLabel]) -> int:
    """Return what a label counts as: what is read, and something for looking it up."""
    return found[1].size + 100


def _add_words(
    connection: Connection, lineage: UnfinishedIndex, kind: str, words: Sequence[tuple[str, str]], *, more: int = 0
) -> None:
    first: dict[str, str] = {}
    for word, entity in words:
        first.setdefault(word, entity)
    chosen = [Word(kind, word, entity) for word, entity in first.items()]
    lineage_words.add_words(connection, lineage.graph_id, lineage.space, chosen, MAX_WORDS[kind] + more)
