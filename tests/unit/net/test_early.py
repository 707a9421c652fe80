"""A request that is sent early: what becomes of its reply, and that a block that ends waits for nothing."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import pytest

from roar_publisher.net.early import FRESH_SECONDS, LONGEST_WAIT_SECONDS, EarlyRequest, sent_early
from roar_publisher.net.exchange import Reply
from tests.support.net.servers import Asked, Server, serving

PATIENCE = 60


class Clock:
    """Monotonic seconds that a test advances."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reply that is under way is waited for however busy the machine is."""
    monkeypatch.setattr("roar_publisher.net.early.LONGEST_WAIT_SECONDS", PATIENCE)


def reply_of(early: EarlyRequest) -> Reply | None:
    return anyio.run(early.reply)


@contextmanager
def silent() -> Iterator[tuple[socket.socket, str]]:
    """A server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener, f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.usefixtures("patient")
def test_the_reply_is_there_before_it_is_asked_for(server: Server, clock: Clock) -> None:
    answered = threading.Event()
    server.answer = lambda asked: answered.set() or (200, {}, b'{"a": 1}')  # type: ignore[func-returns-value]
    with sent_early(server.url, "/health", clock=clock) as early:
        assert answered.wait(PATIENCE)
        for _ in range(2):
            reply = reply_of(early)
            assert reply is not None
            assert (reply.status, reply.body) == (200, b'{"a": 1}')
        assert early.route is not None
    (asked,) = server.asked
    assert (asked.method, asked.target) == ("GET", "/health")
    assert "authorization" not in asked.headers


@pytest.mark.usefixtures("patient")
def test_a_reply_that_is_under_way_is_waited_for(server: Server, clock: Clock) -> None:
    waiting = threading.Event()

    def answer(asked: Asked) -> tuple[int, dict[str, str], bytes]:
        assert waiting.wait(PATIENCE)
        return 200, {}, b"{}"

    server.answer = answer

    async def ask(early: EarlyRequest) -> Reply | None:
        found: list[Reply | None] = []

        async def take() -> None:
            found.append(await early.reply())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(take)
            await anyio.wait_all_tasks_blocked()
            waiting.set()
        return found[0]

    with sent_early(server.url, "/health", clock=clock) as early:
        assert anyio.run(ask, early) is not None


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize(("age", "used"), [(FRESH_SECONDS, True), (FRESH_SECONDS + 0.1, False)])
def test_an_old_reply_is_not_used(server: Server, clock: Clock, age: float, used: bool) -> None:
    with sent_early(server.url, "/health", clock=clock) as early:
        assert reply_of(early) is not None
        clock.now += age
        assert (reply_of(early) is not None) is used


def test_nobody_there_is_no_error() -> None:
    with silent() as (listener, url):
        listener.close()
        with sent_early(url, "/health") as early:
            assert reply_of(early) is None


def test_settings_that_prevent_a_request_are_left_to_the_one_that_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
    with sent_early("https://registry.example", "/health") as early:
        assert reply_of(early) is None
        assert early.route is None


def test_silence_is_waited_for_in_bounds_and_left_behind(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The block ends although the request would not: its connection is closed."""
    monkeypatch.setattr("roar_publisher.net.early.PROBE_SECONDS", 1e6)
    replies: list[Reply | None] = []
    with silent() as (listener, url):

        def wait_in_vain() -> None:
            with sent_early(url, "/health", clock=clock) as early:
                accepted.wait(PATIENCE)
                clock.now += LONGEST_WAIT_SECONDS
                replies.append(reply_of(early))

        accepted = threading.Event()
        thread = threading.Thread(target=wait_in_vain, daemon=True)
        thread.start()
        connection, _ = listener.accept()
        accepted.set()
        thread.join(PATIENCE)
        assert replies == [None]
        assert not thread.is_alive()
        with connection:
            connection.settimeout(PATIENCE)
            while connection.recv(65536):
                pass  # the request itself, then the end


def test_a_cancelled_wait_ends(clock: Clock) -> None:
    async def cancelled(early: EarlyRequest) -> bool:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await early.reply()
        return scope.cancelled_caught

    with silent() as (_, url), sent_early(url, "/health", clock=clock) as early:
        assert anyio.run(cancelled, early)


def test_a_resolver_that_hangs_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, release = threading.Event(), threading.Event()

    def hang(*_: object, **__: object) -> list[object]:
        asked.set()
        assert release.wait(PATIENCE)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    with sent_early("http://registry.example", "/health"):
        assert asked.wait(PATIENCE)
    names = [thread.name for thread in threading.enumerate()]
    assert names.count("roar_publisher resolver") == 1, "it hangs still, and the block has ended"
    release.set()


def test_an_error_in_the_block_is_raised_as_it_is(server: Server) -> None:
    with pytest.raises(KeyboardInterrupt), sent_early(server.url, "/health"):
        raise KeyboardInterrupt
