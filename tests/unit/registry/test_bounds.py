"""The largest answers that there are, and readers that do not read them."""

import asyncio
import re
import socket
from urllib.parse import quote_plus

import httpx2
import pytest
import uvicorn
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from roar_publisher.registry.data import Store
from roar_publisher.registry.http.bounds import PIECE_BYTES, REPLY_BYTES, ChunkedReplies, up_to_size
from roar_publisher.registry.lineages.job_views import BYTES_SORTED, LINK_BYTES_SHOWN, LINKS_SORTED
from tests.support.registry.harness import Registry, digest, job, link, make_registry, succeeded, uid, uids_of
from tests.support.registry.people import Bearer

pytestmark = pytest.mark.anyio

LONG = 90_000
"""Characters of the longest texts that fit into a request."""
PAGE_BYTES = 3 * REPLY_BYTES
"""What no page exceeds: one character may take six bytes of HTML."""


async def of_large_jobs(registry: Registry, jobs: int, text: str = "x") -> str:
    """The hash of a lineage with jobs of `LONG` characters each."""
    session = await registry.open()
    for number in range(jobs):
        await session.add_jobs(job(number, command=text * LONG))
    return str((await session.finalize())["hash"])


async def test_a_page_of_large_jobs_ends_early_and_names_the_next_offset(registry: Registry) -> None:
    lineage_hash = await of_large_jobs(registry, 30)
    seen: list[str] = []
    offset: int | None = 0
    while offset is not None:
        response = await registry.client.get(f"/api/v1/sessions/{lineage_hash}?limit=1000&offset={offset}")
        assert len(response.content) < REPLY_BYTES + 2 * LONG
        page = succeeded(response)
        seen += uids_of(page)
        offset = page["next_offset"]
    assert seen == [uid(number) for number in range(30)]
    assert page["jobs_count"] == 30


async def test_a_page_of_small_jobs_is_complete(registry: Registry) -> None:
    session = await registry.open()
    await session.add_jobs(*(job(number) for number in range(150)))
    lineage_hash = (await session.finalize())["hash"]
    page = succeeded(await registry.client.get(f"/api/v1/sessions/{lineage_hash}?limit=1000"))
    assert (len(page["jobs"]), page["next_offset"]) == (150, None)
    first = succeeded(await registry.client.get(f"/api/v1/sessions/{lineage_hash}"))
    assert (len(first["jobs"]), first["next_offset"]) == (100, 100)


async def test_links_with_long_paths_are_few(registry: Registry) -> None:
    session = await registry.open()
    await session.add_jobs(job(1))
    for number in range(20):
        await session.add_links(1, "inputs", link(number, "/" + "y" * 60_000))
    lineage_hash = (await session.finalize())["hash"]
    response = await registry.client.get(f"/api/v1/sessions/{lineage_hash}")
    assert len(response.content) < LINK_BYTES_SHOWN + 2 * LONG
    (published,) = succeeded(response)["jobs"]
    assert (len(published["inputs"]), published["inputs_count"]) == (1, 20)


async def test_of_very_many_links_the_first_are_found_without_sorting_all(registry: Registry, store: Store) -> None:
    session = await registry.open()
    await session.add_jobs(job(1))
    for first in range(0, LINKS_SORTED + 300, 300):
        await session.add_links(1, "inputs", *(link(n, f"/{9999 - n}") for n in range(first, first + 300)))
    lineage_hash = (await session.finalize())["hash"]
    (published,) = (await registry.lineage(lineage_hash))["jobs"]
    assert published["inputs_count"] > LINKS_SORTED
    assert published["inputs"][0]["path"] == "/9999"  # the smallest digest; the smallest path is the last one's


async def test_of_very_long_paths_the_first_are_found_without_sorting_all(registry: Registry) -> None:
    """A job may have gigabytes of paths. Sorting them for a page would delay all clients, at no cost to the reader."""
    session = await registry.open()
    await session.add_jobs(job(1))
    links = BYTES_SORTED // LONG + 1
    for number in range(links):
        await session.add_links(1, "inputs", link(number, f"/{links - number:05}{'y' * LONG}"))
    lineage_hash = (await session.finalize())["hash"]
    (published,) = (await registry.lineage(lineage_hash))["jobs"]
    assert published["inputs_count"] < LINKS_SORTED
    assert published["inputs"][0]["hash"] == digest(0)  # the smallest digest; the smallest path is the last one's


@pytest.mark.parametrize("text", ["x", "'"])
async def test_html_pages_are_bounded_and_lead_to_every_job(registry: Registry, text: str) -> None:
    lineage_hash = await of_large_jobs(registry, 70, text)
    seen: list[str] = []
    path: str | None = f"/dag/{lineage_hash}"
    while path is not None:
        page = await registry.client.get(path)
        assert page.status_code == 200
        assert len(page.content) < PAGE_BYTES
        assert "more characters" in page.text
        seen += re.findall(r'<article id="job-([0-9a-f]+)"', page.text)
        following = re.search(r'href="(\?[^"]*)">Next', page.text)
        path = f"/dag/{lineage_hash}{following[1]}" if following else None
    assert seen == [uid(number) for number in range(70)]


async def test_labels_on_a_page_are_few(registry: Registry) -> None:
    session = await registry.open()
    await session.add_jobs(job(1))
    receipt = await session.finalize()
    label = {"entity_type": "dag", "session_hash": receipt["hash"], "metadata": {f"k{n}": "'" for n in range(5000)}}
    succeeded(await session.post("/labels/batch", {"labels": [label]}))
    page = await registry.client.get(f"/dag/{receipt['hash']}")
    assert len(page.content) < 100_000
    assert "5,000 labels" in page.text
    assert "and 4,900 more" in page.text


async def test_a_repository_is_listed_in_a_bounded_space(registry: Registry) -> None:
    """Each character of its address would take twelve in that of its list."""
    short = "https://github.com/acme/linear.git"
    for number, repository in enumerate((short, *("https://x/" + "\U0001f600" * 600 for _ in range(15)))):
        session = await registry.open()
        await session.add_jobs(job(number))
        await session.finalize(git_repo=repository)
    page = await registry.client.get("/")
    assert len(page.content) < 70_000
    assert re.findall(r'href="/repository\?name=([^"]*)"', page.text) == [quote_plus(short)]


async def test_lists_of_lineages_are_bounded(registry: Registry) -> None:
    alice = registry.person("alice")
    scope = {"owner_resolution": "current_user", "owner_type": "user", "visibility": "public"}
    for number in range(15):
        session = await registry.open(auth=Bearer(alice))
        await session.add_jobs(job(number))
        await session.finalize(git_branch="'" * LONG, scope_request=scope)
    response = await registry.client.get("/api/v1/sessions?limit=1000", auth=Bearer(alice))
    assert len(response.content) < REPLY_BYTES + 2 * LONG
    assert 10 <= len(succeeded(response)["sessions"]) < 15
    page = await registry.client.get("/")
    assert 10 <= page.text.count("more characters")
    assert len(page.content) < 100_000


@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 35])
async def test_an_answer_leaves_in_pieces(size: int) -> None:
    body = bytes(range(size))
    sent: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError("nothing is read")

    await ChunkedReplies(app, 10)({"type": "http"}, receive, send)
    pieces = sent[1:]
    assert b"".join(piece["body"] for piece in pieces) == body
    assert all(len(piece["body"]) <= 10 for piece in pieces)
    assert [bool(piece.get("more_body")) for piece in pieces] == [True] * (len(pieces) - 1) + [False]


def test_items_past_the_bound_are_not_generated() -> None:
    made: list[int] = []

    def items() -> "list[int]":
        return up_to_size((made.append(n) or n for n in range(100)), 10, lambda n: n)  # type: ignore[func-returns-value]

    assert items() == [0, 1, 2, 3, 4]
    assert made == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_client_that_reads_nothing_holds_a_few_pieces(anyio_backend: str, store: Store) -> None:
    """A real connection whose client asks for a large page and does not take it; others are answered meanwhile."""
    registry = make_registry(store)
    async with registry.client:
        lineage_hash = await of_large_jobs(registry, 14)
    paused: asyncio.Queue[H11Protocol] = asyncio.Queue()

    class Watched(H11Protocol):
        def pause_writing(self) -> None:
            super().pause_writing()
            paused.put_nowait(self)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        server = uvicorn.Server(uvicorn.Config(registry.app, log_config=None, lifespan="off", http=Watched))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        with socket.socket() as silent:
            silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            silent.setblocking(False)
            await asyncio.get_running_loop().sock_connect(silent, listener.getsockname())
            ask = f"GET /api/v1/sessions/{lineage_hash}?limit=1000 HTTP/1.1\r\nHost: x\r\n\r\n".encode()
            await asyncio.get_running_loop().sock_sendall(silent, ask)
            held = await paused.get()
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            async with httpx2.AsyncClient(base_url=url) as other:
                assert (await other.get("/api/v1/health")).status_code == 200
            assert held.transport.get_write_buffer_size() < 4 * PIECE_BYTES
        server.should_exit = True
        await serving
