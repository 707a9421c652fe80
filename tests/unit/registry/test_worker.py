"""One thread works on the store, and no client can fill its queue."""

import threading
from collections.abc import Awaitable, Callable
from functools import partial

import anyio
import pytest
from starlette.types import Message, Receive, Scope, Send

from roar_publisher.glaas.signature import signing_payload
from roar_publisher.registry.accounts.signatures import Signature, Signatures, Signed
from roar_publisher.registry.data import Store
from roar_publisher.registry.store.worker import CALLS_OF_CLIENT, ForClient, Worker
from tests.support.registry.harness import Clock
from tests.support.registry.people import add_person

pytestmark = pytest.mark.anyio


async def as_client(host: str, work: Callable[[], Awaitable[None]]) -> None:
    """Do the work as in a request from this address."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await work()

    async def receive() -> Message:
        raise AssertionError("there is no body")

    async def send(message: Message) -> None:
        raise AssertionError("there is no answer")

    await ForClient(app)({"type": "http", "client": (host, 1)}, receive, send)


async def test_a_client_with_many_calls_does_not_block_another(anyio_backend: str) -> None:
    worker = Worker()
    order: list[str] = []
    released = threading.Event()

    async def call(name: str) -> None:
        def work() -> None:
            assert released.wait(120)
            order.append(name)

        await worker.run(work)

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(as_client, "192.0.2.1", partial(call, "many"))
        await anyio.wait_all_tasks_blocked()
        group.start_soon(as_client, "192.0.2.2", partial(call, "one"))
        await anyio.wait_all_tasks_blocked()
        released.set()
    assert order.index("one") <= CALLS_OF_CLIENT
    assert len(order) == 21


async def test_a_client_with_many_calls_does_not_delay_a_shared_signature_check(
    anyio_backend: str, store: Store
) -> None:
    """Signatures are checked together, and the first of them may be that of a client whose line is long."""
    worker, clock = Worker(), Clock()
    alice = add_person(store.accounts, "alice", clock)
    signatures = Signatures(store.accounts, worker.run, clock)
    order: list[str] = []
    released = threading.Event()

    async def read() -> None:
        def work() -> None:
            assert released.wait(120)
            order.append("read")

        await worker.run(work)

    async def sign(name: str) -> None:
        signature = Signature.parse(alice.signed("GET", "/").partition(" ")[2])
        assert signature is not None
        await signatures.signer(Signed(signature, signing_payload(signature.ts, "GET", "/", b"")))
        order.append(name)

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(as_client, "192.0.2.1", read)
        await anyio.wait_all_tasks_blocked()
        for host, name in (("192.0.2.1", "many"), ("192.0.2.2", "one")):
            group.start_soon(as_client, host, partial(sign, name))
            await anyio.wait_all_tasks_blocked()
        released.set()
    assert order.index("one") <= 2 * CALLS_OF_CLIENT + 1
    assert len(order) == 22


async def test_calls_never_overlap(anyio_backend: str) -> None:
    worker = Worker()
    running: list[int] = []
    most: list[int] = []

    def work() -> None:
        running.append(1)
        most.append(len(running))
        running.pop()

    async with anyio.create_task_group() as group:
        for number in range(30):
            group.start_soon(as_client, f"192.0.2.{number % 3}", partial(worker.run, work))
    assert set(most) == {1}
    assert len(most) == 30


async def test_the_error_of_a_call_is_raised_and_the_next_one_runs(anyio_backend: str) -> None:
    worker = Worker()
    with pytest.raises(ZeroDivisionError):
        await worker.run(lambda: 1 // 0)
    assert await worker.run(lambda: 7) == 7
