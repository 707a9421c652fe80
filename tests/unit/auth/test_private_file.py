"""The lock of a credential file, and processes that are forked while it is held."""

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from roar_publisher.auth import private_file
from roar_publisher.auth.private_file import locked
from roar_publisher.state.lock import is_held
from tests.support.forked_child import forked_child

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private_file, "LOCK_ATTEMPTS", 1)


async def test_a_child_that_is_forked_meanwhile_does_not_keep_it(tmp_path: Path) -> None:
    async with AsyncExitStack() as held:
        await held.enter_async_context(locked(tmp_path / "auth.json"))
        with forked_child():
            await held.aclose()
            async with locked(tmp_path / "auth.json"):
                pass


async def test_a_child_that_leaves_the_block_does_not_drop_it(tmp_path: Path) -> None:
    lock = locked(tmp_path / "auth.json")
    await lock.__aenter__()

    def leave() -> None:
        with pytest.raises(StopIteration):
            lock.__aexit__(None, None, None).send(None)  # its end needs no event loop

    with forked_child(leave):
        assert is_held(tmp_path / "auth.json.lock")
    await lock.__aexit__(None, None, None)
