"""The check against a registry behind a proxy that alters what it serves."""

import json
import random
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import anyio
import httpx2
import pytest

from roar_publisher.exit_codes import ExitCode, exit_code_of
from roar_publisher.glaas.client import Authorizer
from roar_publisher.lineage import sorting
from roar_publisher.registry.lineages import readback
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.reasons import Reason
from roar_publisher.verification.check import Verification, verify_lineage
from roar_publisher.verification.differences import LINEAGE
from roar_publisher.verification.errors import CannotCheck
from roar_publisher.verification.labels import LabelCheck
from roar_publisher.verification.planned import PlannedLineage
from tests.support.glaas.scripted import Calls, Script
from tests.support.lineages import chain, cut, frozen
from tests.support.registry.harness import Registry, job, link, uid
from tests.support.registry.people import Bearer, Person
from tests.support.sampling import sample

pytestmark = pytest.mark.anyio

JOBS = 12
Alter = Callable[[bytes], bytes]


class Proxy(httpx2.AsyncBaseTransport):
    """Passes requests on to a registry, and alters the pages of lineages."""

    def __init__(self, registry: Registry, alter: Alter = lambda body: body) -> None:
        self._inner = httpx2.ASGITransport(registry.app)
        self.alter = alter
        self.authorizations: list[str | None] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._inner.handle_async_request(request)
        body = await response.aread()
        if "readback" in request.url.path and response.status_code == 200:
            self.authorizations.append(request.headers.get("authorization"))
            body = self.alter(body)
        return httpx2.Response(response.status_code, content=body)


async def published(registry: Registry, person: Person | None = None) -> str:
    """Publish a lineage with several jobs in a step, and return its hash."""
    session = await (registry.open() if person is None else registry.open(auth=Bearer(person)))
    await session.add_jobs(*(job(n, step_number=n // 3, parent_job_uid=uid(max(n - 1, 0))) for n in range(JOBS)))
    for number in range(JOBS):
        await session.add_links(number, "inputs", *(link(n) for n in range(number, number + 5)))
        await session.add_links(number, "outputs", link(number + 100))
    if person is None:
        return str((await session.finalize())["hash"])
    scope = {"owner_resolution": "current_user", "owner_type": "user", "visibility": "private"}
    return str((await session.finalize(scope_request=scope))["hash"])


class _Bearer:
    """A person's bearer, for a client."""

    def __init__(self, person: Person) -> None:
        self._person = person

    async def header(self, method: str, path: str, body: bytes | None) -> str:
        return self._person.bearer

    async def renew(self, rejected: str) -> bool:
        return False


async def checked(
    proxy: httpx2.AsyncBaseTransport,
    lineage_hash: str,
    person: Person | None = None,
    planned: PlannedLineage | None = None,
) -> Verification:
    async def sign_in() -> Authorizer | None:
        return None if person is None else _Bearer(person)

    calls = Calls(Script([]), transport=proxy, registry="http://registry", patience=0)
    return await verify_lineage(calls.client, lineage_hash, sign_in, planned)


async def test_what_is_served_unchanged_is_proven(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    lineage_hash = await published(registry)
    for size in (500, 3000, 1024 * 1024):
        monkeypatch.setattr(readback, "REPLY_BYTES", size)
        verdict = await checked(Proxy(registry), lineage_hash)
        assert verdict.proven
        assert (verdict.served.jobs, verdict.served.inputs, verdict.served.outputs) == (JOBS, 5 * JOBS, JOBS)


def counted_keys(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that gets the number of texts in memory whenever one is sorted, in runs of 1,000 characters."""
    monkeypatch.setattr(sorting, "RUN_CHARACTERS", 1000)
    kept: list[int] = []
    original = sorting.ExternalSort.add

    def add(self: sorting.ExternalSort, key: sorting.Key) -> None:
        original(self, key)
        kept.append(len(self._keys))

    monkeypatch.setattr(sorting.ExternalSort, "add", add)
    return kept


async def test_no_job_is_kept_beyond_its_page(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    lineage_hash = await published(registry)
    monkeypatch.setattr(readback, "REPLY_BYTES", 1000)
    kept = counted_keys(monkeypatch)
    pages: list[int] = []

    def count(body: bytes) -> bytes:
        pages.append(len(json.loads(body)["jobs"]))
        return body

    assert (await checked(Proxy(registry, count), lineage_hash)).proven
    assert len(kept) == JOBS
    assert max(kept) <= 2
    assert max(pages) <= 2


async def _flipped(registry: Registry, lineage_hash: str, rng: random.Random) -> bool:
    """Flip one bit of a served value that the hash covers. Return whether the check notices."""
    proxy = Proxy(registry)
    changed: list[bool] = []

    def alter(body: bytes) -> bytes:
        page = json.loads(body)
        entry = rng.choice(page["jobs"])
        target, name = rng.choice(
            [
                (page["git"], rng.choice(["repo", "commit", "branch"])),
                (page, "creator_identity"),
                (entry, rng.choice(["command", "job_type", "metadata"])),
                (rng.choice(entry["inputs"]), rng.choice(["hash", "path"])),
                (rng.choice(entry["outputs"]), rng.choice(["hash", "path"])),
                (entry, "step_number"),
            ]
        )
        before = target[name]
        if isinstance(before, int):
            target[name] = before ^ (1 << rng.randrange(8))
        else:
            place = rng.randrange(len(before))
            target[name] = f"{before[:place]}{chr(ord(before[place]) ^ (1 << rng.randrange(7)))}{before[place + 1 :]}"
        strip = name not in ("metadata", "command")
        changed.append(before != (target[name].strip() if isinstance(before, str) and strip else target[name]))
        if name == "metadata":
            changed[-1] = _parsed(before) != _parsed(target[name])
        return json.dumps(page).encode()

    proxy.alter = alter
    try:
        verdict = await checked(proxy, lineage_hash)
    except CannotCheck:
        return True
    return not verdict.proven if changed == [True] else verdict.proven


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return {}


@pytest.mark.parametrize("seed", sample("flipped bits", range(1000), 60))
async def test_a_flipped_bit_of_what_the_hash_covers_is_found(registry: Registry, seed: int) -> None:
    lineage_hash = await published(registry)
    assert (await checked(Proxy(registry), lineage_hash)).proven, "no false alarm"
    assert await _flipped(registry, lineage_hash, random.Random(seed))


@pytest.mark.parametrize("what", ["drop", "repeat", "truncate", "swap hash"])
async def test_a_page_that_lacks_or_repeats_jobs_is_found(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    lineage_hash = await published(registry)

    def alter(body: bytes) -> bytes:
        page = json.loads(body)
        if what == "drop":
            del page["jobs"][3]
        elif what == "repeat":
            page["jobs"].append({**page["jobs"][0], "job_uid": "f" * 32})
        elif what == "swap hash":
            page["hash"] = "a" * 64
        else:
            page["next"] = None
        return json.dumps(page).encode()

    if what == "truncate":
        monkeypatch.setattr(readback, "REPLY_BYTES", 3000)
    verdict = await checked(Proxy(registry, alter), lineage_hash)
    assert not verdict.proven
    assert verdict.differences[0].ours == lineage_hash


async def test_a_credential_is_sent_for_a_private_lineage_only(registry: Registry) -> None:
    alice = registry.person("alice")
    public, private = await published(registry), await published(registry, alice)
    proxy = Proxy(registry)
    assert (await checked(proxy, public, alice)).proven
    assert proxy.authorizations == [None]
    assert (await checked(proxy, private, alice)).proven
    assert proxy.authorizations == [None, alice.bearer]


async def test_what_cannot_be_checked_says_why(registry: Registry) -> None:
    alice, bob = registry.person("alice"), registry.person("bob")
    private = await published(registry, alice)
    for person, words in ((None, "you are not signed in"), (bob, "you cannot read it")):
        with pytest.raises(CannotCheck, match=words) as caught:
            await checked(Proxy(registry), private, person)
        assert caught.value.reason is Reason.AUTH
        assert exit_code_of(caught.value.conclusion) is ExitCode.UNCHECKED


async def test_a_registry_without_the_endpoint_cannot_be_checked(anyio_backend: str) -> None:
    with pytest.raises(CannotCheck, match="lineage_readback"):
        await checked(Script([]), "a" * 64)


async def test_an_unreachable_registry_cannot_be_checked(registry: Registry) -> None:
    away = Script([], health=lambda: httpx2.ConnectError("away"), default=lambda: httpx2.ConnectError("away"))
    with anyio.fail_after(60), pytest.raises(CannotCheck) as caught:
        await checked(away, "a" * 64)
    assert caught.value.reason is Reason.OFFLINE


class FirstPage(Proxy):
    """Serves the first page whatever is asked for."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        plain = httpx2.Request(request.method, str(request.url).partition("?")[0], headers=request.headers)
        return await super().handle_async_request(plain)


@pytest.mark.parametrize("places", [["one"], ["one", "two"], ["one", "two", "three"]])
async def test_pages_that_lead_to_each_other_cannot_be_checked(registry: Registry, places: list[str]) -> None:
    lineage_hash = await published(registry)
    following = cycle(places)
    proxy = FirstPage(registry, lambda body: json.dumps(json.loads(body) | {"next": next(following)}).encode())
    with anyio.fail_after(60), pytest.raises(CannotCheck, match="again and again"):
        await checked(proxy, lineage_hash)
    assert len(proxy.authorizations) == len(places) + 1


async def test_a_newer_lineage_cannot_be_checked(registry: Registry) -> None:
    lineage_hash = await published(registry)
    proxy = Proxy(registry, lambda body: json.dumps(json.loads(body) | {"canonical_version": 2}).encode())
    with pytest.raises(CannotCheck, match="version 2"):
        await checked(proxy, lineage_hash)


async def test_what_was_published_with_other_redactions_is_not_compared_with_the_plan(
    registry: Registry, tmp_path: Path
) -> None:
    """A registry may report the jobs of a plan as published with other texts. That lineage is proven by its own hash.

    A legacy one has no such hash: it is compared whatever its name.
    """
    lineage_hash = await published(registry)
    with frozen(StateFolder(tmp_path), cut(chain(3), labels=False)) as publish:
        planned = PlannedLineage(publish.journal, publish.journal.plan(), publish.journal.progress())
        assert lineage_hash not in planned.hashes
        verdict = await checked(Proxy(registry), lineage_hash, planned=planned)
        assert verdict.proven
        assert (verdict.labels, verdict.omitted) == (LabelCheck(), 0)

        def legacy(body: bytes) -> bytes:
            page = json.loads(body)
            for served in page.get("jobs", ()):
                served["command"] = "redacted"
            return json.dumps(page | {"finalized": False}).encode()

        verdict = await checked(Proxy(registry, legacy), lineage_hash, planned=planned)
    assert {difference.job for difference in verdict.differences} > {LINEAGE}
