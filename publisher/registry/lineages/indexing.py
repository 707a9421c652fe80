"""Building the index of published lineages (`store.lineage_index`) in slices of one short transaction each.

It runs while the registry serves. A lineage is shown before it is indexed, but is not found by search, impact or
the pages of artifacts until then. A slice that is lost is repeated, and one that another process did counts once.
"""

import json
import logging
from collections import Counter
from collections.abc import Callable, Sequence

import anyio

from roar_publisher.registry.lineages.sweeping import Write
from roar_publisher.registry.lineages.words import group_name, words_of, words_of_label
from roar_publisher.registry.store import lineage_index as index
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.documents import load_document
from roar_publisher.registry.store.errors import StoreError
from roar_publisher.registry.store.lineage_index import IndexedJob, IndexedLink, UnfinishedIndex, Word

logger = logging.getLogger(__name__)

MAX_GROUPS = 60
"""Maximum groups of one lineage. All jobs with further programs are in group 0."""
OTHER_PROGRAMS = "(other programs)"
SLICE_JOBS, SLICE_LINKS, SLICE_ARTIFACTS, SLICE_LABELS, SLICE_ROWS = 200, 1000, 500, 20, 1000
"""Maximum rows that one slice handles."""
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


async def index_forever(write: Write, clock: Callable[[], float], changes: Changes) -> None:
    """Index until cancelled. Errors of the store (a full disk) are logged, and tried again."""
    while True:
        try:
            more = await write(index_slice, clock())
        except IndexedElsewhere:
            more = True
        except StoreError as error:
            logger.error("cannot index lineages now: %s", error)
            more = False
        if not more:
            await changes.wait(INTERVAL_SECONDS)
        await anyio.sleep(PAUSE_SECONDS if more else DELAY_SECONDS)


def index_slice(connection: Connection, now: float = 0.0) -> bool:
    """Do one slice for one lineage. Return False if all lineages are indexed."""
    lineage = index.next_unfinished(connection)
    if lineage is None:
        return False
    step = {index.CLEAR: _clear, index.JOBS: _jobs, index.EDGES: _edges, index.LABELS: _labels}[lineage.phase]
    position = step(connection, lineage)
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
    left = SLICE_LINKS
    position: str | None = lineage.position
    commands: list[tuple[str, str]] = []
    programs: list[tuple[str, str]] = []
    paths: list[tuple[str, str]] = []
    has_room = index.count_words(connection, lineage.graph_id, "path") < MAX_WORDS["path"]
    for job in jobs:
        after = (kind, digest) if job.uid == uid and lineage.position else ("", "")
        if after[0] == _ALL_LINKS:
            continue
        number = _group(connection, lineage.graph_id, job, is_new=not after[0])
        if not after[0]:
            commands += [(word, job.uid) for word in words_of(job.command)]
            programs += [(word, job.uid) for word in words_of(group_name(job.command)) if number]
        links = index.index_links(connection, lineage.graph_id, job.id, number, after, left)
        paths += [(word, link.digest) for link in links if has_room for word in words_of(link.path)]
        position = json.dumps(_after(job, links, left))
        left -= len(links) + 1
        if left <= 0:
            break
    else:
        position = None if len(jobs) <= SLICE_JOBS else position
    _add_words(connection, lineage, "command", programs, more=WORDS_OF_PROGRAMS)
    _add_words(connection, lineage, "command", commands)
    _add_words(connection, lineage, "path", paths)
    return position


def _after(job: IndexedJob, links: Sequence[IndexedLink], asked: int) -> tuple[str, str, str]:
    if len(links) < asked:
        return job.uid, _ALL_LINKS, ""
    return job.uid, links[-1].kind, links[-1].digest


def _group(connection: Connection, graph_id: int, job: IndexedJob, *, is_new: bool) -> int:
    name = group_name(job.command)
    number = index.group_number(connection, graph_id, name, MAX_GROUPS)
    if is_new:
        index.add_to_group(connection, graph_id, number, name if number else OTHER_PROGRAMS, job)
    return number


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
    """Index the words of the next label documents. The position is the type and name of an entity."""
    if not lineage.position:
        index.forget_words(connection, lineage.graph_id, "label")
    kind, name = json.loads(lineage.position or '["", ""]')
    found = index.labels_from(connection, lineage.graph_id, (kind, name), SLICE_LABELS)
    words = [(word, entity.name) for entity, label in found for word in words_of_label(load_document(label.metadata))]
    _add_words(connection, lineage, "label", words)
    return json.dumps((found[-1][0].type, found[-1][0].name)) if found else None


def _add_words(
    connection: Connection, lineage: UnfinishedIndex, kind: str, words: Sequence[tuple[str, str]], *, more: int = 0
) -> None:
    first: dict[str, str] = {}
    for word, entity in words:
        first.setdefault(word, entity)
    chosen = [Word(kind, word, entity) for word, entity in first.items()]
    index.add_words(connection, lineage.graph_id, lineage.space, chosen, MAX_WORDS[kind] + more)
