"""The bearer store: what it reads, that a refresh happens once, and that no refresh token is ever lost."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from roar_publisher.auth import bearer_store as bearer_module
from roar_publisher.auth import private_file
from roar_publisher.auth.bearer_store import BearerStore, Post, RefreshRefused
from roar_publisher.auth.secret import Secret
from roar_publisher.auth.signin import Document, SignIn
from roar_publisher.state.errors import Conclusion, LocalProblem, NeedsUser, Rejected, Transient
from roar_publisher.state.reasons import Reason
from tests.support.auth.signed_in import ACCESS, NOW, REFRESH, STATE, Renewing, auth_json, saved, store
from tests.support.checkout import CHECKOUT

FIRST = Secret(ACCESS)


@pytest.fixture(autouse=True)
def _nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal is final at once, but where a test is about roar-cli beside us."""
    monkeypatch.setattr(bearer_module, "OTHER_REFRESH_READS", 0)


def environment_store(folder: Path, **environ: str) -> BearerStore:
    return BearerStore.from_environment({"XDG_CONFIG_HOME": str(folder), **environ}, Path("/nowhere"))


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("roar/*"))


async def refresh_at_once(tasks: int, stores: list[BearerStore], post: Post) -> list[SignIn | RefreshRefused]:
    """The outcomes of many tasks that all had the first token rejected."""
    outcomes: list[SignIn | RefreshRefused] = []

    async def one(which: BearerStore) -> None:
        outcomes.append(await which.refresh(post, FIRST, NOW))

    async with anyio.create_task_group() as group:
        for number in range(tasks):
            group.start_soon(one, stores[number % len(stores)])
    return outcomes


def test_the_state_is_found_where_roar_keeps_it(tmp_path: Path) -> None:
    auth_json(tmp_path)
    found = environment_store(tmp_path).current()
    assert found is not None
    assert (found.access_token, found.sub, found.db_user_id) == (FIRST, "user-1", "db-1")
    (tmp_path / "roar").rename(tmp_path / ".config")
    assert BearerStore.from_environment({}, tmp_path).current() is None
    (tmp_path / ".config").rename(tmp_path / "roar")
    (tmp_path / ".config").mkdir()
    (tmp_path / "roar").rename(tmp_path / ".config" / "roar")
    assert BearerStore.from_environment({"XDG_CONFIG_HOME": ""}, tmp_path).current() == found


@pytest.mark.anyio
async def test_the_token_of_the_environment_goes_before_the_file_and_is_not_refreshed(tmp_path: Path) -> None:
    auth_json(tmp_path)
    bearer, server = environment_store(tmp_path, ROAR_ACCESS_TOKEN=" ci-token\n"), Renewing()
    assert bearer.current() == SignIn(Secret("ci-token"))
    assert isinstance(await bearer.refresh(server, Secret("ci-token"), NOW), RefreshRefused)
    assert server.asked == []


def test_an_invalid_token_of_the_environment_is_a_clear_problem(tmp_path: Path) -> None:
    with pytest.raises(NeedsUser, match="ROAR_ACCESS_TOKEN is not a token"):
        environment_store(tmp_path, ROAR_ACCESS_TOKEN="two words").current()


@pytest.mark.anyio
async def test_many_tasks_refresh_once_and_wait_for_it_without_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(private_file, "LOCK_ATTEMPTS", 1)  # the patience with other processes is not theirs
    bearer, server = store(tmp_path), Renewing()
    outcomes = await refresh_at_once(40, [bearer], server)
    assert server.asked == [{"refresh_token": REFRESH, "client_id": "roar-cli"}]
    assert outcomes == [bearer.current()] * 40
    assert outcomes[0] == SignIn(
        Secret("canary-access-1"),
        Secret("canary-refresh-1"),
        NOW + 3600,
        "treqs-device",
        "user-1",
        "db-1",
        "https://treqs.example",
    )


@pytest.mark.anyio
async def test_many_stores_on_one_file_refresh_once(tmp_path: Path) -> None:
    bearers, server = [store(tmp_path) for _ in range(4)], Renewing()
    outcomes = await refresh_at_once(12, bearers, server)
    assert len(server.asked) == 1
    assert outcomes == [bearers[0].current()] * 12


@pytest.mark.anyio
async def test_each_rotated_token_serves_the_next_refresh(tmp_path: Path) -> None:
    bearer, server = store(tmp_path), Renewing()
    rejected = FIRST
    for _ in range(3):
        outcome = await bearer.refresh(server, rejected, NOW)
        assert isinstance(outcome, SignIn)
        rejected = outcome.access_token
    assert [body["refresh_token"] for body in server.asked] == [REFRESH, "canary-refresh-1", "canary-refresh-2"]


@pytest.mark.anyio
async def test_the_file_is_private_whole_and_alone_afterwards(tmp_path: Path) -> None:
    bearer = store(tmp_path)
    (tmp_path / "roar" / "auth.json").chmod(0o644)
    left_behind = tmp_path / "roar" / "auth.json.new"
    left_behind.write_text("x" * 100_000)
    left_behind.chmod(0o644)
    await bearer.refresh(Renewing(), FIRST, NOW)
    assert (tmp_path / "roar" / "auth.json").read_text() == json.dumps(saved(tmp_path), indent=2) + "\n"
    assert (tmp_path / "roar" / "auth.json").stat().st_mode & 0o777 == 0o600
    assert files(tmp_path) == ["auth.json", "auth.json.lock"]
    changed = {"access_token", "refresh_token", "expires_at"}
    assert {field for field in STATE if saved(tmp_path)[field] != STATE[field]} == changed


@pytest.mark.anyio
async def test_a_linked_file_stays_a_link(tmp_path: Path) -> None:
    real, link = auth_json(tmp_path), tmp_path / "link.json"
    link.symlink_to(real)
    await BearerStore(link).refresh(Renewing(), FIRST, NOW)
    assert link.is_symlink()
    assert saved(tmp_path)["access_token"] == "canary-access-1"


@pytest.mark.anyio
async def test_a_refusal_is_asked_for_once_and_forgotten_with_a_new_sign_in(tmp_path: Path) -> None:
    bearer, server = store(tmp_path, refresh_token="dead"), Renewing()
    outcomes = await refresh_at_once(20, [bearer], server)
    assert len(server.asked) == 1
    assert RefreshRefused("the server does not renew the sign-in: invalid_grant") in outcomes
    assert all(isinstance(outcome, RefreshRefused) for outcome in outcomes)
    auth_json(tmp_path)
    assert isinstance(await bearer.refresh(server, FIRST, NOW), SignIn)


@pytest.mark.parametrize("answer", [{}, {"access_token": None}, {"access_token": 5}, {"access_token": ACCESS}])
@pytest.mark.anyio
async def test_an_answer_without_a_new_token_is_a_refusal(answer: dict[str, object], tmp_path: Path) -> None:
    async def post(_body: Document) -> dict[str, object]:
        return answer

    assert await store(tmp_path).refresh(post, FIRST, NOW) == RefreshRefused(
        "the server's answer contains no new access token"
    )


@pytest.mark.parametrize("signed_out", [True, False])
@pytest.mark.anyio
async def test_without_a_refresh_token_nothing_is_asked_and_nothing_written(signed_out: bool, tmp_path: Path) -> None:
    bearer, server = store(tmp_path, refresh_token=None), Renewing()
    if signed_out:
        (tmp_path / "roar" / "auth.json").unlink()
        (tmp_path / "roar").rmdir()
    assert isinstance(await bearer.refresh(server, FIRST, NOW), RefreshRefused)
    assert server.asked == []
    assert files(tmp_path) == ([] if signed_out else ["auth.json"])


@pytest.mark.anyio
async def test_a_lost_race_with_roar_cli_is_not_a_refusal(tmp_path: Path) -> None:
    bearer = store(tmp_path)

    async def post(_body: Document) -> dict[str, object]:
        auth_json(tmp_path, access_token="theirs", refresh_token="their-next")  # roar-cli, which takes no lock
        raise Rejected("this refresh token has been used")

    outcome = await bearer.refresh(post, FIRST, NOW)
    assert isinstance(outcome, SignIn)
    assert outcome.access_token == Secret("theirs")


@pytest.mark.anyio
async def test_roar_cli_may_write_down_its_answer_after_our_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bearer_module, "OTHER_REFRESH_READS", 1000)
    bearer = store(tmp_path)

    async def write_down() -> None:
        await anyio.lowlevel.checkpoint()
        auth_json(tmp_path, access_token="theirs", refresh_token="their-next")

    async with anyio.create_task_group() as roar_cli:

        async def post(_body: Document) -> dict[str, object]:
            roar_cli.start_soon(write_down)
            raise Rejected("this refresh token has been used")

        outcome = await bearer.refresh(post, FIRST, NOW)
    assert isinstance(outcome, SignIn)
    assert outcome.access_token == Secret("theirs")


@pytest.mark.anyio
async def test_what_others_write_while_the_server_is_asked_is_kept(tmp_path: Path) -> None:
    async def post(_body: Document) -> dict[str, object]:
        auth_json(tmp_path, another_field="new")
        return {"access_token": "a1", "refresh_token": "r1"}

    await store(tmp_path).refresh(post, FIRST, NOW)
    assert (saved(tmp_path)["another_field"], saved(tmp_path)["refresh_token"]) == ("new", "r1")


@pytest.mark.anyio
async def test_an_answer_is_kept_even_when_the_file_became_unreadable_meanwhile(tmp_path: Path) -> None:
    async def post(_body: Document) -> dict[str, object]:
        (tmp_path / "roar" / "auth.json").write_text("{")
        return {"access_token": "a1", "refresh_token": "r1"}

    assert isinstance(await store(tmp_path).refresh(post, FIRST, NOW), SignIn)
    assert saved(tmp_path) == {**STATE, "access_token": "a1", "refresh_token": "r1", "expires_at": None}


@pytest.mark.anyio
async def test_an_unreachable_server_leaves_everything_for_the_next_try(tmp_path: Path) -> None:
    bearer, server = store(tmp_path), Renewing()

    async def away(_body: Document) -> dict[str, object]:
        raise Transient("no connection")

    with pytest.raises(Transient, match="no connection"):
        await bearer.refresh(away, FIRST, NOW)
    assert saved(tmp_path) == STATE
    assert isinstance(await bearer.refresh(server, FIRST, NOW), SignIn)


@pytest.mark.anyio
async def test_a_refresh_that_is_cancelled_while_the_server_answers_keeps_the_answer(tmp_path: Path) -> None:
    bearer, server = store(tmp_path), Renewing()
    asked, may_answer = anyio.Event(), anyio.Event()

    async def post(body: Document) -> dict[str, object]:
        asked.set()
        await may_answer.wait()
        return await server(body)

    returned = False
    async with anyio.create_task_group() as group:
        with anyio.CancelScope() as scope:

            async def cancel_then_answer() -> None:
                await asked.wait()
                scope.cancel()
                await anyio.lowlevel.checkpoint()
                may_answer.set()

            group.start_soon(cancel_then_answer)
            await bearer.refresh(post, FIRST, NOW)
            returned = True
    assert scope.cancelled_caught
    assert not returned
    assert saved(tmp_path)["refresh_token"] == "canary-refresh-1"
    assert await bearer.refresh(server, FIRST, NOW) == bearer.current()
    assert len(server.asked) == 1


@pytest.mark.anyio
async def test_a_cancelled_refresh_that_hangs_ends_after_its_grace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bearer_module, "CANCELLED_GRACE_S", 0.01)
    bearer = store(tmp_path)
    ended = False

    async def hang(_body: Document) -> dict[str, object]:
        nonlocal ended
        try:
            scope.cancel()
            await anyio.sleep_forever()
        finally:
            ended = True
        return {}

    with anyio.fail_after(120), anyio.CancelScope() as scope:
        await bearer.refresh(hang, FIRST, NOW)
    assert ended
    assert isinstance(await bearer.refresh(Renewing(), FIRST, NOW), SignIn)


@pytest.mark.anyio
async def test_a_full_disk_shows_before_the_server_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bearer, server = store(tmp_path), Renewing()

    def full(_descriptor: int, _data: bytes, _offset: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(LocalProblem, match="the disk is full") as caught:
            await bearer.refresh(server, FIRST, NOW)
    assert caught.value.conclusion is Conclusion.INTERRUPTED
    assert server.asked == []
    assert saved(tmp_path) == STATE
    assert files(tmp_path) == ["auth.json", "auth.json.lock"]
    assert isinstance(await bearer.refresh(server, FIRST, NOW), SignIn)


@pytest.mark.anyio
async def test_a_folder_that_takes_no_file_is_a_clear_problem(tmp_path: Path) -> None:
    bearer, server = store(tmp_path), Renewing()
    (tmp_path / "roar" / "auth.json.new").mkdir()
    with pytest.raises(LocalProblem, match="cannot be replaced"):
        await bearer.refresh(server, FIRST, NOW)
    assert server.asked == []


@pytest.mark.anyio
async def test_a_lock_that_is_held_for_too_long_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private_file, "LOCK_ATTEMPTS", 3)
    monkeypatch.setattr(private_file, "LOCK_POLL_S", 0)
    bearer, server = store(tmp_path), Renewing()
    async with private_file.locked(tmp_path / "roar" / "auth.json"):
        with pytest.raises(Transient, match="another process") as problem:
            await bearer.refresh(server, FIRST, NOW)
    assert problem.value.reason is Reason.LOCAL, "and not that the registry is away"
    assert server.asked == []
    assert isinstance(await bearer.refresh(server, FIRST, NOW), SignIn)


KILLED_WHILE_ASKING = f"""
import os, signal, sys
from pathlib import Path
import anyio
from roar_publisher.auth.bearer_store import BearerStore
from roar_publisher.auth.secret import Secret

async def post(body):
    os.kill(os.getpid(), signal.SIGKILL)

anyio.run(BearerStore(Path(sys.argv[1])).refresh, post, Secret("{ACCESS}"), 0.0)
"""


def refresh_and_be_killed(path: Path) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", KILLED_WHILE_ASKING, str(path)]
    return subprocess.run(command, env={**os.environ, "PYTHONPATH": str(CHECKOUT)}, capture_output=True)


@pytest.mark.anyio
async def test_a_process_that_is_killed_while_it_asks_leaves_the_old_state_and_no_lock(tmp_path: Path) -> None:
    path = auth_json(tmp_path)
    ended = refresh_and_be_killed(path)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    assert saved(tmp_path) == STATE
    assert isinstance(await BearerStore(path).refresh(Renewing(), FIRST, NOW), SignIn)
    assert not path.with_name("auth.json.new").exists()


def test_a_file_that_roar_cli_is_just_writing_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = auth_json(tmp_path)
    path.write_text("")
    monkeypatch.setattr(time, "sleep", lambda _seconds: path.write_text(json.dumps(STATE)))
    sign_in = BearerStore(path).current()
    assert sign_in is not None
    assert sign_in.access_token == FIRST


def test_a_file_that_stays_broken_is_a_clear_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bearer_module, "HALF_WRITTEN_WAIT_S", 0)
    path = auth_json(tmp_path)
    path.write_text('{"access_token": "tok')
    with pytest.raises(NeedsUser, match="does not contain a JSON object") as caught:
        BearerStore(path).current()
    assert caught.value.next_step == "run `roar login`"


def test_a_file_that_cannot_be_read_is_a_clear_problem(tmp_path: Path) -> None:
    with pytest.raises(NeedsUser, match="cannot be read: it is not a regular file"):
        BearerStore(tmp_path).current()
