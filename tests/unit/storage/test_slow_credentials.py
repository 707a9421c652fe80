"""A source of store credentials that hangs, as a program that asks for a second factor: nobody else waits for it."""

import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import anyio
import pytest
from anyio import from_thread
from anyio.lowlevel import current_token

from roar_publisher.net.budget import UploadBudget
from roar_publisher.net.gate import GateState
from roar_publisher.storage.gcs_account import GoogleAccount, open_account
from roar_publisher.storage.http import StoreConnection, StoreRequest
from roar_publisher.storage.s3_account import AwsAccount
from roar_publisher.storage.s3_account import open_account as open_aws

pytestmark = pytest.mark.anyio
Ask = Callable[[], Awaitable[object]]


class Hanging:
    """A source that hangs until the test ends.  asked: set once it has been."""

    def __init__(self) -> None:
        self.asked = anyio.Event()
        self.ended = threading.Event()
        self._token = current_token()

    def __call__(self, *_: object) -> None:
        from_thread.run_sync(self.asked.set, token=self._token)
        self.ended.wait()


@pytest.fixture
async def source() -> AsyncIterator[Hanging]:
    found = Hanging()
    yield found
    found.ended.set()


@pytest.fixture(params=["s3", "gs"])
async def ask(request: pytest.FixtureRequest, source: Hanging, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """What asks for credentials."""
    if request.param == "s3":
        monkeypatch.setattr(AwsAccount, "_freeze", source)
        return (await open_aws("bucket", {})).current
    monkeypatch.setattr(GoogleAccount, "_token", source)
    return open_account({}).headers


async def prepared() -> StoreRequest:
    raise AssertionError("there are no credentials")


async def test_a_source_that_hangs_holds_up_nobody_else_and_no_stop(source: Hanging, ask: Ask) -> None:
    budget = UploadBudget.of(1, None)
    store = StoreConnection(connections=2, report=lambda report: None, patience=5, budget=budget)

    async with anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(partial(store.call, prepared, authorize=ask))
        await source.asked.wait()
        assert budget.slots.borrowed_tokens == 0, "the uploads of other publishes have it"
        tasks.cancel_scope.cancel()
    assert not source.ended.is_set()


async def test_while_the_store_is_away_no_credentials_are_asked_for() -> None:
    """Their source is away, too, and its error would need the user."""
    away, asked = GateState(reopened=anyio.Event()), list[str]()
    store = StoreConnection(connections=2, report=lambda report: None, patience=5, gate_state=away)

    async def ask() -> None:
        asked.append("credentials")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(store.call, prepared, authorize=ask))
        await anyio.wait_all_tasks_blocked()
        assert not asked
        tasks.cancel_scope.cancel()
