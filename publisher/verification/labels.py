"""The labels of a published lineage: read back, and compared with those that its plan sends.

A hash covers no labels, and their publisher may edit them. So a label is right if it has what the plan says, and
whatever else; one with a later version is right if an earlier version has it.
"""

import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any, NamedTuple, Self
from urllib.parse import quote

from msgspec import Struct

from roar_publisher.blocking import end_if_cancelled, in_thread
from roar_publisher.glaas.client import Authorizer, Refused, RegistryClient
from roar_publisher.glaas.field_readers import Unreadable
from roar_publisher.glaas.protocol import ANONYMOUS_IDENTITY, API_ROOT
from roar_publisher.glaas.replies import DocumentReply
from roar_publisher.lineage.canonical import remote_job_uid
from roar_publisher.lineage.labels import flattened
from roar_publisher.lineage.sorting import ExternalSort
from roar_publisher.state.debts import DebtKind
from roar_publisher.state.machine import Event
from roar_publisher.state.units import Kind
from roar_publisher.tasks import for_each
from roar_publisher.verification.differences import LINEAGE, Difference
from roar_publisher.verification.pages import PagedReply, follow
from roar_publisher.verification.planned import PlannedLineage
from roar_publisher.verification.reading import typed

NAMES = {"dag": None, "job": "job_uid", "artifact": "artifact_hash"}
"""The field that names the entity of a label, by its type."""
MOST_DIFFERENCES = 300
HISTORIES_AT_ONCE = 16
"""How many histories are asked for at once. Each may have 1 MiB."""
SEPARATOR = "\t"
NOT_FOUND = 404


class ReadLabel(NamedTuple):
    """A label document with the entity that has it. name: a job's uid or an artifact's digest; empty for the lineage.

    version: as served, from 1; 0 for a planned one.
    """

    type: str
    name: str
    version: int
    document: dict[str, Any]

    @property
    def place(self) -> str:
        """The entity in words."""
        return f"{self.type} {self.name}" if self.name else LINEAGE


class LabelPage(PagedReply, frozen=True):
    """One page of labels. The fields are those of the reply."""

    labels: list[ReadLabel]

    @classmethod
    def read(cls, body: object) -> Self:
        """Return the page in a document. Raises Unreadable unless every field has its type."""
        if not isinstance(body, dict):
            raise Unreadable("not an object")
        labels = [_label(entry) for entry in typed(body, "labels", list)]
        following = typed(body, "next", (str, type(None)))
        if following is not None and not labels:
            raise Unreadable("a page without labels is the last one")
        return cls(following, labels)


class LabelCheck(Struct, frozen=True):
    """What the comparison of labels found.

    compared: planned labels that were looked for. edited: of these, the ones that were changed since, by right.
    why_not: why they were not compared; empty if they were.
    """

    compared: int = 0
    edited: int = 0
    differences: tuple[Difference, ...] = ()
    omitted: int = 0
    why_not: str = ""


class _Differing(NamedTuple):
    """A planned label, the served one of its entity, and the differences between the two."""

    mine: ReadLabel
    served: ReadLabel | None
    found: list[Difference]


async def labels_of(
    client: RegistryClient, lineage_hash: str, authorize: Authorizer
) -> AsyncGenerator[ReadLabel, None]:
    """Yield all labels of a lineage, one page in memory at a time. Use it within `aclosing`.

    Raises CannotCheck, and what a call raises.
    """
    path = f"{API_ROOT}/sessions/{lineage_hash}/readback/labels"
    async with aclosing(follow(client, path, LabelPage, authorize)) as pages:
        async for page in pages:
            for label in page.labels:
                yield label


async def compare_labels(
    client: RegistryClient, lineage_hash: str, authorize: Authorizer, planned: PlannedLineage, *, served: bool
) -> LabelCheck:
    """Compare the labels of a plan with the served ones. served: whether the registry has the endpoint for that.

    Memory does not grow with their number. Raises CannotCheck, LocalProblem, and what a call raises.
    """
    if any(debt.what in (DebtKind.LABELS, DebtKind.REFUSED_LABELS) for debt in planned.progress.owed):
        return LabelCheck(why_not="they are still to be sent")
    if not served:
        return LabelCheck(why_not="the registry does not serve them in pages (no label_readback)")
    compared = edited = omitted = 0
    differences: list[Difference] = []
    differing: list[_Differing] = []  # not judged yet

    async def judge() -> None:
        nonlocal edited, omitted
        right = [False] * len(differing)

        async def ask(index: int) -> None:
            right[index] = await _was_right(client, lineage_hash, authorize, differing[index])

        await for_each(range(len(differing)), ask, at_once=HISTORIES_AT_ONCE)
        for label, was_right in zip(differing, right, strict=True):
            if was_right:
                edited += label.served is not None
            elif len(differences) < MOST_DIFFERENCES:
                differences.extend(label.found)
            else:
                omitted += 1
        differing.clear()

    with ExternalSort() as ours, ExternalSort() as theirs:
        await in_thread(_add_planned, ours, planned)
        async with aclosing(labels_of(client, lineage_hash, authorize)) as labels:
            async for label in labels:
                theirs.add(_key(label))
        for mine, served_label in _paired(_sorted(ours), _sorted(theirs)):
            compared += 1
            if found := _differences(mine, served_label):
                differing.append(_Differing(mine, served_label, found))
            if len(differing) == HISTORIES_AT_ONCE:
                await judge()
        await judge()
    return LabelCheck(compared, edited, tuple(differences), omitted)


def _add_planned(labels: ExternalSort, planned: PlannedLineage) -> None:
    """Add the labels that a plan sends. Blocks."""
    for label in _planned_labels(planned):
        end_if_cancelled()
        labels.add(_key(label))


def _planned_labels(planned: PlannedLineage) -> Iterator[ReadLabel]:
    """Yield the labels that a plan sends, under the names that the registry knows."""
    staged = all(row.event != Event.FELL_BACK for row in planned.journal.history())
    prepared = planned.plan.provisional[planned.progress.identity or ANONYMOUS_IDENTITY]
    for body in planned.journal.units.bodies(Kind.LABELS):
        for item in json.loads(body):
            kind = item["entity_type"]
            name = str(item.get(NAMES[kind] or "", ""))
            if kind == "job" and staged:
                name = remote_job_uid(prepared, name)
            yield ReadLabel(kind, name, 0, {key: item.get(key) or {} for key in ("metadata", "key_origins")})


async def _was_right(client: RegistryClient, lineage_hash: str, authorize: Authorizer, label: _Differing) -> bool:
    """Return whether an earlier version had what the plan says, or another name of a job has it."""
    mine, served = label.mine, label.served
    name = NAMES[mine.type]
    if served is None:
        if mine.type != "job":
            return False
    elif served.version <= 1:
        return False
    query = f"entity_type={mine.type}&session_hash={lineage_hash}"
    query += f"&{name}={quote(mine.name, safe='')}" if name else ""
    try:
        reply = await client.call(
            "GET", f"{API_ROOT}/labels/history?{query}", expect=DocumentReply, authorize=authorize
        )
    except Refused as refusal:
        if refusal.status == NOT_FOUND:
            return False
        raise
    history = reply.document.get("labels")
    versions = [each for each in history if isinstance(each, dict)] if isinstance(history, list) else []
    if served is None and any(each.get("jobUid") == mine.name for each in versions):
        return False  # then the pages should have had it
    documents = ({"metadata": each.get("metadata"), "key_origins": each.get("keyOrigins")} for each in versions)
    return any(not _differences(mine, mine._replace(document=each)) for each in documents)


def _differences(mine: ReadLabel, served: ReadLabel | None) -> list[Difference]:
    """Return how a served label lacks what a planned one says."""
    theirs = {} if served is None else _leaves(served.document)
    return [
        Difference(mine.place, f"label {path}", json.loads(text), json.loads(theirs[path]) if path in theirs else None)
        for path, text in _leaves(mine.document).items()
        if theirs.get(path) != text
    ]


def _leaves(document: dict[str, Any]) -> dict[str, str]:
    return {path: json.dumps(value, sort_keys=True) for path, value in flattened(document).items()}


def _paired(ours: Iterator[ReadLabel], theirs: Iterator[ReadLabel]) -> Iterator[tuple[ReadLabel, ReadLabel | None]]:
    """Yield each planned label with the served one of its entity. Both are in the order of `_key`."""
    served = next(theirs, None)
    for mine in ours:
        while served is not None and _name_of(served) < _name_of(mine):
            served = next(theirs, None)
        yield mine, served if served is not None and _name_of(served) == _name_of(mine) else None


def _key(label: ReadLabel) -> tuple[int, int, str]:
    return 0, 0, f"{_name_of(label)}{SEPARATOR}{json.dumps([label.version, label.document])}"


def _name_of(label: ReadLabel) -> str:
    return json.dumps([label.type, label.name])


def _sorted(labels: ExternalSort) -> Iterator[ReadLabel]:
    for _known, _step, line in labels.sorted():
        name, _, rest = line.partition(SEPARATOR)
        yield ReadLabel(*json.loads(name), *json.loads(rest))


def _label(entry: object) -> ReadLabel:
    if not isinstance(entry, dict):
        raise Unreadable("a label is not an object")
    kind = typed(entry, "entity_type", str)
    if kind not in NAMES:
        raise Unreadable("a label is not of a known entity")
    name = NAMES[kind]
    document = {key: typed(entry, key, dict) for key in ("metadata", "key_origins")}
    return ReadLabel(kind, typed(entry, name, str) if name else "", typed(entry, "version", int), document)
