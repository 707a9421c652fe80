"""Which files a published lineage has in object stores, and where: the inputs of its put jobs.

A put job's metadata, which the lineage hash covers, has the addresses of its objects, but by ids of the publisher's own
database. The address of an input is the one that its path ends with, or, for a put of many files, the one that follows
from its folder's (`put_addresses`). Where there is none (several files of one content
have one path in a lineage), the artifact's label `roar.distribution.url` says it; roar-cli and we write no label for
objects in a folder. Nothing of this is trusted: what is fetched has the digest of the lineage, or it does not appear.
"""

import re
from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import quote

from msgspec import Struct, field

from roar_publisher.fetching.asking import LOOKUPS, LineageReader
from roar_publisher.fetching.names import checked_name, name_below, shared_names
from roar_publisher.fetching.reading import ServedJob, as_object
from roar_publisher.fetching.stored import StoredFile, Unsafe
from roar_publisher.glaas.client import Refused
from roar_publisher.glaas.protocol import API_ROOT
from roar_publisher.lineage.put_addresses import StatedAddresses, is_redacted
from roar_publisher.state.errors import PublisherError, Rejected
from roar_publisher.storage.addresses import parse_object
from roar_publisher.storage.source import shown
from roar_publisher.storage.store import LONGEST_KEY_BYTES, check_key
from roar_publisher.tasks import for_each

NOT_FOUND = 404
MOST_SEGMENTS = LONGEST_KEY_BYTES // 2
"""How many segments a key may have. A path may have any number, and each beginning of a key in it is looked up."""
_DIGEST = re.compile(r"[0-9a-f]{64}")


class StoredAt(NamedTuple):
    """Where a put stored a digest. destination: of the put."""

    digest: str
    url: str
    destination: str


class Put(Struct):
    """What one put job says, or several of one step and destination.

    paths: of its inputs, by digest. urls: the addresses of all its objects, by path below the destination.
    stated: the addresses that are those of a digest, by digest.
    """

    destination: str
    paths: dict[str, str] = field(default_factory=dict)
    urls: dict[str, str] = field(default_factory=dict)
    stated: dict[str, str] = field(default_factory=dict)

    def by_path(self) -> dict[str, str]:
        """Return the address of each digest that is stated, or whose path ends with an object's path.

        Of several, the longest counts. An address that would be that of several digests is given to none.
        """
        places = dict(self.stated)
        for digest, path in self.paths.items():
            if digest in places:
                continue
            segments = path.split("/")
            for start in range(max(0, len(segments) - MOST_SEGMENTS), len(segments)):
                url = self.urls.get("/".join(segments[start:]))
                if url is not None:
                    places[digest] = url
                    break
        claims = Counter(places.values())
        return {digest: url for digest, url in places.items() if claims[url] == 1}


class PutJobs(Struct):
    """What the put jobs of a lineage stored. puts: by step and destination, in the order of the jobs.

    of_step: the digests of the steps that were asked for.
    """

    puts: dict[tuple[int | None, str], Put] = field(default_factory=dict)
    of_step: dict[int, set[str]] = field(default_factory=dict)

    def add(self, job: ServedJob, steps: frozenset[int]) -> None:
        """Add a job, or a part of one. Nothing is kept of jobs that are no put and no step that was asked for."""
        if job.step in steps:
            links = job.outputs if job.put is None else job.inputs
            self.of_step.setdefault(job.step, set()).update(digest for digest, _path in links)
        if job.put is None:
            return
        stated = job.put.get("destination")
        destination = stated if isinstance(stated, str) else ""
        put = self.puts.setdefault((job.step, destination), Put(destination))
        addresses = StatedAddresses(job.put)
        for digest, path in job.inputs:
            if _DIGEST.fullmatch(digest):
                put.paths[digest] = path
                if (address := addresses.of(digest, path)) is not None:
                    put.stated[digest] = address
        for url in as_object(job.put.get("artifacts")).values():
            if isinstance(url, str) and url:
                put.urls[_path_below(url, destination)] = url

    def paths(self) -> dict[str, str]:
        """Return the path of each input by its digest."""
        return {digest: path for put in self.puts.values() for digest, path in put.paths.items()}

    def matched(self) -> list[tuple[Put, dict[str, str]]]:
        """Return each put with the addresses of its digests, as far as the jobs say them."""
        return [(put, put.by_path()) for put in self.puts.values()]


def places_in(matched: Iterable[tuple[Put, Mapping[str, str]]]) -> list[StoredAt]:
    """Return where the digests of `PutJobs.matched` are, in the order of the puts.

    A digest that was put several times is in several places. Where a later put stored another one, it is not.
    """
    found = [StoredAt(digest, url, put.destination) for put, urls in matched for digest, url in urls.items()]
    last = {place.url: place.digest for place in found}
    return [place for place in found if last[place.url] == place.digest]


async def put_jobs(jobs: AsyncGenerator[ServedJob, None], steps: frozenset[int]) -> PutJobs:
    """Return what the put jobs stored, and close `jobs`. steps: those whose digests are needed."""
    found = PutJobs()
    async with aclosing(jobs):
        async for job in jobs:
            found.add(job, steps)
    return found


async def whole_hash(reader: LineageReader, typed: str) -> tuple[str, str]:
    """Return the whole hash of the lineage that `typed` begins, and an empty text.

    If there is none, but an artifact whose digest begins so: its lineage, and its digest.
    Raises Refused, and Rejected if the registry answers with another lineage.
    """
    return await reader.find(partial(_whole_hash, reader, typed))


async def _whole_hash(reader: LineageReader, typed: str) -> tuple[str, str]:
    try:
        lineage = await reader.ask(f"{API_ROOT}/sessions/{typed}?limit=1")
    except Refused as refusal:
        if refusal.status != NOT_FOUND:
            raise
        try:
            artifact = await reader.ask(f"{API_ROOT}/artifacts/{typed}")
        except Refused:
            raise refusal from None
        if not _is_digest(artifact.get("hash"), typed) or not _is_digest(artifact.get("original_session_hash"), ""):
            raise _another() from None
        return artifact["original_session_hash"], artifact["hash"]
    if not _is_digest(lineage.get("hash"), typed):
        raise _another()
    return lineage["hash"], ""


async def locate(
    reader: LineageReader, lineage_hash: str, found: PutJobs, *, ignoring_case: bool
) -> tuple[list[StoredFile], list[Unsafe]]:
    """Return the stored files in the order of their names, and those not to be fetched. Raises Refused."""
    matched = found.matched()
    places = {place.digest: place for place in places_in(matched)}
    placed = {digest for _put, urls in matched for digest in urls}
    unknown = {digest: put for put in found.puts.values() for digest in put.paths if digest not in placed}

    async def ask_label(digest: str) -> None:
        url = await _url_in_label(reader, lineage_hash, digest)
        if url is not None:
            places[digest] = StoredAt(digest, url, unknown[digest].destination)

    await for_each(unknown, ask_label, at_once=LOOKUPS)
    files: list[StoredFile] = []
    unsafe = _left_over(matched, places, frozenset(unknown))
    for digest, url, destination in places.values():
        if is_redacted(url):
            unsafe.append(Unsafe(digest, "", f"redaction has changed its address: {shown(url)}"))
            continue
        try:
            files.append(_checked(digest, url, destination))
        except PublisherError as problem:
            unsafe.append(Unsafe(digest, url, problem.what))
    shared = shared_names((file.name for file in files), ignoring_case=ignoring_case)
    unsafe += (
        Unsafe(file.digest, file.url, f"several files of the lineage have the name {file.name}")
        for file in files
        if file.name in shared
    )
    return sorted((file for file in files if file.name not in shared), key=lambda file: file.name), unsafe


def _left_over(
    matched: Iterable[tuple[Put, Mapping[str, str]]], places: dict[str, StoredAt], unknown: frozenset[str]
) -> list[Unsafe]:
    """Add the place of what is left over alone in its put, and return what was stored somewhere else.

    If each address of a put has its digest, its other inputs were not stored: they are datasets that were read.
    """
    nowhere: dict[str, Unsafe] = {}
    taken = {place.url for place in places.values()}
    for put, urls in matched:
        left = set(put.urls.values()) - set(urls.values()) - taken
        digests = [digest for digest in put.paths if digest in unknown and digest not in places]
        if len(left) == len(digests) == 1:
            places[digests[0]] = StoredAt(digests[0], left.pop(), put.destination)
        elif left:
            nowhere.update(
                (digest, Unsafe(digest, "", f"the lineage does not say where {shown(put.paths[digest])} is stored"))
                for digest in digests
            )
    return [each for digest, each in nowhere.items() if digest not in places]


def _path_below(url: str, destination: str) -> str:
    """Return an object's path below the destination of its put; of what is no address, its last segment."""
    try:
        return name_below(parse_object(url), destination)
    except PublisherError:
        return url.rpartition("/")[2]


def _checked(digest: str, url: str, destination: str) -> StoredFile:
    """Return a file that is fetched safely. Raises UsageProblem, LocalProblem for any other."""
    address = parse_object(url)
    if not address.is_folder:
        check_key(address.path)
    return StoredFile(digest, url, checked_name(name_below(address, destination)))


async def _url_in_label(reader: LineageReader, lineage_hash: str, digest: str) -> str | None:
    """Return where the label of an artifact says that it is stored, or None if it does not say so."""
    query = f"entity_type=artifact&artifact_hash={digest}&session_hash={quote(lineage_hash)}"
    try:
        label: Mapping[str, Any] = await reader.ask(f"{API_ROOT}/labels/current?{query}")
    except Refused as refusal:
        if refusal.status == NOT_FOUND:
            return None
        raise
    own = as_object(as_object(label.get("metadata")).get("roar"))
    url = as_object(own.get("distribution")).get("url")
    return url if isinstance(url, str) and url else None


def _another() -> Rejected:
    return Rejected("the registry answered with a different lineage from the one that was requested")


def _is_digest(value: object, prefix: str) -> bool:
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None and value.startswith(prefix)
