"""A TReqs service that is slow, hangs or sends endless replies delays only the requests that need it."""

import json
from collections.abc import AsyncIterator

import anyio
import httpx2
import pytest

from roar_publisher.registry.accounts.treqs import MAX_REMEMBERED, REFUSED_SECONDS, TRUST_SECONDS, TreqsService
from roar_publisher.registry.accounts.treqs_client import MAX_CONCURRENT, MAX_REPLY_BYTES, Timeouts
from roar_publisher.registry.data import Store
from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.store.documents import DEEPEST
from tests.support.registry.harness import Clock, Json, run_inline

pytestmark = pytest.mark.anyio

CONTEXT: Json = {"user": {"id": "db-1", "sub": "sub-alice"}, "owners": [], "projects_by_owner": {}}
FOR_EVER = Timeouts(reply=1e9, slot=1e9)


class Held:
    """A service that answers on demand and counts its requests."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.hangs: set[str] = set()
        self.open = anyio.Event()

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        """Answer as `httpx2.MockTransport` asks."""
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        self.asked.append(token)
        if token in self.hangs or "*" in self.hangs:
            await self.open.wait()
        return httpx2.Response(200, json=CONTEXT) if "good" in token else httpx2.Response(401)


class Endless(httpx2.AsyncByteStream):
    """An endless body. `sent` counts the bytes that were read."""

    def __init__(self, chunk: bytes) -> None:
        self.chunk = chunk
        self.sent = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            await anyio.lowlevel.checkpoint()
            self.sent += len(self.chunk)
            yield self.chunk


def service(store: Store, answer: object, *, clock: Clock | None = None, timeouts: Timeouts = FOR_EVER) -> TreqsService:
    """The authority over a service that always gives this response, or what this handler makes."""

    async def respond(request: httpx2.Request) -> httpx2.Response:
        assert isinstance(answer, httpx2.Response)
        return answer

    handler = answer if isinstance(answer, Held) else respond
    transport = httpx2.MockTransport(handler)
    return TreqsService("https://treqs.example", store.accounts, run_inline, clock or Clock(), transport, timeouts)


async def error_detail(authority: TreqsService, token: str = "good") -> str:
    with pytest.raises(Refusal) as refusal:
        await authority.user_of(token)
    assert refusal.value.status == 503
    assert token not in refusal.value.detail
    return refusal.value.detail


async def test_an_answer_without_end_is_cut_off(store: Store) -> None:
    body = Endless(b" " * 4096)
    assert "too large" in await error_detail(service(store, httpx2.Response(200, stream=body)))
    assert body.sent <= MAX_REPLY_BYTES + 4096


async def test_an_endless_slow_reply_ends_at_the_timeout(store: Store) -> None:
    body = Endless(b"")
    authority = service(store, httpx2.Response(200, stream=body), timeouts=Timeouts(reply=0, slot=0))
    assert "does not answer" in await error_detail(authority)


async def test_a_hanging_service_ends_at_the_timeout(store: Store) -> None:
    held = Held()
    held.hangs = {"*"}
    assert "does not answer" in await error_detail(service(store, held, timeouts=Timeouts(reply=0, slot=0)))


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        json.dumps({**CONTEXT, "more": json.loads("[" * DEEPEST + "]" * DEEPEST)}).encode(),
        json.dumps({**CONTEXT, "more": "half a character: \ud800"}).encode(),
        b'{"a": ' + b"9" * 5000 + b"}",
        b"\xff\xfe",
        b"[1]",
    ],
    ids=["arrays", "objects", "a little too deep", "half a character", "a huge number", "no text", "no object"],
)
async def test_an_unreadable_reply_is_an_error(store: Store, body: bytes) -> None:
    await error_detail(service(store, httpx2.Response(200, content=body)))


async def test_numbers_that_json_does_not_have_are_not_passed_on(store: Store) -> None:
    body = b'{"access_token": "new", "expires_in": NaN, "more": [1e999]}'
    answer = await service(store, httpx2.Response(200, content=body)).refresh("spent", "roar-cli")
    assert answer == {"access_token": "new", "expires_in": None, "more": [None]}


async def test_a_compressed_answer_is_not_unpacked(store: Store) -> None:
    """A few kilobytes would become gigabytes before they could be counted."""
    body = Endless(b"x")
    packed = httpx2.Response(200, stream=body, headers={"Content-Encoding": "gzip"})
    assert "encoding" in await error_detail(service(store, packed))
    assert body.sent == 0


async def test_requests_with_one_bearer_ask_once(store: Store) -> None:
    held = Held()
    held.hangs = {"good"}
    authority = service(store, held)
    found = []

    async def request() -> None:
        found.append(await authority.user_of("good"))

    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(request)
        await anyio.wait_all_tasks_blocked()
        held.open.set()
    assert held.asked == ["good"]
    assert {user.sub for user in found if user is not None} == {"sub-alice"}
    assert len(found) == 50


async def test_another_asks_where_the_first_was_cancelled(store: Store) -> None:
    held = Held()
    held.hangs = {"good"}
    authority = service(store, held)
    found = []

    async def request(scope: anyio.CancelScope) -> None:
        with scope:
            found.append(await authority.user_of("good"))

    scopes = [anyio.CancelScope() for _ in range(3)]
    async with anyio.create_task_group() as group:
        for scope in scopes:
            group.start_soon(request, scope)
            await anyio.wait_all_tasks_blocked()
        scopes[0].cancel()
        await anyio.wait_all_tasks_blocked()
        held.open.set()
    assert len(held.asked) == 2
    assert len(found) == 2


async def test_a_no_is_remembered_shortly(store: Store) -> None:
    held, clock = Held(), Clock()
    authority = service(store, held, clock=clock)
    for _ in range(20):
        assert await authority.user_of("bad") is None
    assert held.asked == ["bad"]
    clock.now += REFUSED_SECONDS
    assert await authority.user_of("bad") is None
    assert held.asked == ["bad", "bad"]


async def test_invented_bearers_do_not_evict_accepted_ones(store: Store) -> None:
    held = Held()
    authority = service(store, held)
    await authority.user_of("good")
    for number in range(MAX_REMEMBERED + 10):
        await authority.user_of(f"bad {number}")
    held.asked.clear()
    await authority.user_of("good")
    assert held.asked == []


async def test_hanging_requests_are_bounded_and_do_not_delay_known_bearers(store: Store) -> None:
    """Invented bearers fill their slots. Known bearers still pass, and others soon get a 503."""
    held, clock = Held(), Clock()
    authority = service(store, held, clock=clock, timeouts=Timeouts(reply=1e9, slot=0))
    await authority.user_of("good")
    clock.now += TRUST_SECONDS
    invented = [f"invented {number}" for number in range(MAX_CONCURRENT)]
    held.hangs = set(invented)
    async with anyio.create_task_group() as group:
        for token in invented:
            group.start_soon(authority.user_of, token)
        await anyio.wait_all_tasks_blocked()
        assert "is busy" in await error_detail(authority, "another")
        user = await authority.user_of("good")
        assert user is not None
        assert user.sub == "sub-alice"
        assert await authority.context_of_bearer("good") is not None
        assert await authority.known_context(user) is not None
        held.open.set()
    assert len(held.asked) == MAX_CONCURRENT + 3
    assert await authority.user_of("another") is None, "the places are free again"


async def test_a_redirect_takes_the_bearer_nowhere(store: Store) -> None:
    seen = []

    async def redirect(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.url.host)
        return httpx2.Response(307, headers={"Location": "https://elsewhere.example/"})

    transport = httpx2.MockTransport(redirect)
    authority = TreqsService("https://treqs.example", store.accounts, run_inline, Clock(), transport)
    await error_detail(authority)
    with pytest.raises(Refusal):
        await authority.refresh("r", "roar-cli")
    assert seen == ["treqs.example", "treqs.example"]
