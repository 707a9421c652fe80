"""Reading what a registry serves of a lineage: `GET /sessions/:hash/readback`, page by page (`protocol.md §4`)."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Self

from msgspec import Struct

from roar_publisher.blocking import in_thread
from roar_publisher.glaas.client import HEALTH, Authorizer, RegistryClient
from roar_publisher.glaas.features import Features, Health
from roar_publisher.glaas.field_readers import Unreadable
from roar_publisher.glaas.protocol import API_ROOT
from roar_publisher.lineage.canonical import CANONICAL_VERSION
from roar_publisher.state.reasons import Reason
from roar_publisher.verification.errors import CannotCheck
from roar_publisher.verification.pages import PagedReply, follow
from roar_publisher.verification.texts import Link, SortedJobs, links_of

_TEXT, _NUMBER = (str, type(None)), (int, type(None))
_FIELDS: dict[str, Any] = {
    "job_uid": str,
    "command": str,
    "job_type": _TEXT,
    "step_number": _NUMBER,
    "parent_step_number": _NUMBER,
    "metadata": _TEXT,
}


OnJob = Callable[[Mapping[str, Any]], None]
"""Called with every job as it is served, and with every further part of a job on several pages."""


def ignore_job(job: Mapping[str, Any]) -> None:
    """Ignore a job."""


class ReadbackPage(PagedReply, frozen=True):
    """One page of a lineage. The fields are those of the reply."""

    hash: str
    canonical_version: int
    finalized: bool
    creator_identity: str
    git: dict[str, str | None]
    jobs: list[dict[str, Any]]

    @classmethod
    def read(cls, body: object) -> Self:
        """Return the page in a document. Raises Unreadable unless every field has its type."""
        if not isinstance(body, dict):
            raise Unreadable("not an object")
        git, jobs = body.get("git"), body.get("jobs")
        if not isinstance(git, dict) or not isinstance(jobs, list):
            raise Unreadable("without git or jobs")
        names = ("repo", "commit", "branch")
        page = cls(
            typed(body, "next", _TEXT),
            typed(body, "hash", str),
            typed(body, "canonical_version", int),
            typed(body, "finalized", bool),
            typed(body, "creator_identity", str),
            {name: typed(git, name, _TEXT) for name in names},
            [_job(job) for job in jobs],
        )
        if page.next is not None and not jobs:
            raise Unreadable("a page without jobs is the last one")
        return page


class Envelope(Struct, frozen=True):
    """What a lineage is besides its jobs, and how much was read of it. Links count as they are served."""

    hash: str
    finalized: bool
    creator: str
    git: dict[str, str | None]
    jobs: int
    inputs: int
    outputs: int


async def require_readback(client: RegistryClient) -> Features:
    """Return the registry's features. Raises CannotCheck if it does not serve what the hash covers."""
    health = await client.call("GET", HEALTH, expect=Health)
    if not health.features.lineage_readback:
        raise CannotCheck(
            f"{client.registry} does not serve what the hash of a lineage covers (no lineage_readback)",
            reason=Reason.REJECTED,
        )
    return health.features


async def read_into(
    client: RegistryClient, lineage_hash: str, authorize: Authorizer, served: SortedJobs, seen: OnJob
) -> Envelope:
    """Read a lineage, add its jobs to `served`, and show them to `seen`. One page and one job are in memory at a time.

    Raises CannotCheck for another version of the canonical form, and what `RegistryClient.call` raises.
    """
    jobs = inputs = outputs = 0
    first: ReadbackPage | None = None
    held: tuple[dict[str, Any], list[Link], list[Link]] | None = None

    def add(entries: Sequence[dict[str, Any]]) -> None:
        """Add the jobs that are complete. Blocks."""
        nonlocal held, jobs
        for entry in entries:
            if held is not None and held[0]["job_uid"] != entry["job_uid"]:
                served.add(held[0]["job_uid"], *held)
                held = None
            if held is None:
                held = entry, [], []
                jobs += 1
            held[1].extend(links_of(entry["inputs"]))
            held[2].extend(links_of(entry["outputs"]))

    async with aclosing(pages(client, lineage_hash, authorize)) as read:
        async for page in read:
            if page.canonical_version != CANONICAL_VERSION:
                what = f"its hash follows version {page.canonical_version} of the rules; this release knows"
                raise CannotCheck(f"{what} {CANONICAL_VERSION}", reason=Reason.REJECTED)
            first = first or page
            for entry in page.jobs:
                seen(entry)
                inputs, outputs = inputs + len(entry["inputs"]), outputs + len(entry["outputs"])
            await in_thread(add, page.jobs)
    if held is not None:
        await in_thread(served.add, held[0]["job_uid"], *held)
    assert first is not None
    return Envelope(first.hash, first.finalized, first.creator_identity, first.git, jobs, inputs, outputs)


def pages(client: RegistryClient, lineage_hash: str, authorize: Authorizer) -> AsyncGenerator[ReadbackPage, None]:
    """Yield the pages of a lineage, as `follow` does."""
    return follow(client, f"{API_ROOT}/sessions/{lineage_hash}/readback", ReadbackPage, authorize)


def _job(job: object) -> dict[str, Any]:
    if not isinstance(job, dict):
        raise Unreadable("a job is not an object")
    return {name: typed(job, name, kind) for name, kind in _FIELDS.items()} | {
        kind: [_link(link) for link in typed(job, kind, list)] for kind in ("inputs", "outputs")
    }


def _link(link: object) -> dict[str, str]:
    if not isinstance(link, dict):
        raise Unreadable("a link is not an object")
    return {name: typed(link, name, str) for name in ("hash", "path")}


def typed(document: dict[str, Any], name: str, kind: Any) -> Any:
    """Return a field. Raises Unreadable unless it is of the type `kind`, or one of these types."""
    value = document.get(name)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise Unreadable(f"{name} is not of its type")
    return value
