"""A registry whose bearers a TReqs service vouches for: three real processes, ours, the registry and the service.

What the registry makes of every answer of the service is in `tests/unit/registry/test_treqs.py`.
"""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from roar_publisher.registry.accounts.treqs import DEFAULT_CONTEXT_AGE
from roar_publisher.registry.store.users import Accounts
from roar_publisher.state.reasons import Reason
from tests.support.auth.desk import BY_BEARER, SUB, Desk, recorded_hash
from tests.support.auth.front import Seen, front
from tests.support.auth.treqs_service import Json, Treqs
from tests.support.cli.program import Program, ended, read_until_it_waits, serving
from tests.support.lineage.captured import captured_project

HERS, HIS, OUTSIDE = "token-of-alice", "token-of-bob", "token-of-eve"
PROJECT = {"id": "proj-1", "name": "models", "visibility": "private", "can_write": True}
ACME = {"id": "org-1", "type": "organization", "username": "acme", "display_name": "Acme", "role": "member"}
BINDING = """
[scope]
mode = "project"

[treqs]
owner_id = "org-1"
owner_type = "organization"
project_id = "proj-1"
visibility = "private"
"""
READ_ONLY = {**PROJECT, "can_write": False}
SERVICE_AWAY = "the identity service does not answer"


def context(name: str, *projects: Json) -> Json:
    """What the service says of a user who sees these projects of acme."""
    user = {"id": f"db-{name}", "sub": f"sub-{name}", "username": name, "email": f"{name}@example.org"}
    owners = [ACME] if projects else []
    return {"user": user, "owners": owners, "projects_by_owner": {"org-1": list(projects)} if projects else {}}


ALICE = context("alice", PROJECT)
ALL_CLIENTS = {HERS: ALICE, HIS: context("bob", READ_ONLY), OUTSIDE: context("eve")}


@dataclass
class World:
    """Alice's desk, whose registry asks `treqs`."""

    desk: Desk
    treqs: Treqs

    def bind(self) -> None:
        """Bind her repo to the project, as `roar scope use` does."""
        with (self.desk.program.cwd / ".roar" / "config.toml").open("a") as config:
            config.write(BINDING)

    def users(self) -> list[Json]:
        """Who the registry knows."""
        found: list[Json] = json.loads(self.desk.admin("user", "list", "--json"))
        return found

    def nothing_is_published(self) -> None:
        assert self.desk.read(recorded_hash("bearer"), HERS)[0] == 404


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """The service runs and knows every user; Alice shows her bearer."""
    treqs = _service(tmp_path)
    with treqs.running(), _world(tmp_path, treqs) as world:
        yield world


@pytest.fixture
def away(tmp_path: Path) -> Iterator[World]:
    """The same, but the service does not run now."""
    treqs = _service(tmp_path)
    with treqs.running():
        pass  # it has a port from now on
    with _world(tmp_path, treqs) as world:
        yield world


def _service(folder: Path) -> Treqs:
    treqs = Treqs(folder / "treqs")
    treqs.folder.mkdir()
    treqs.set_known(ALL_CLIENTS)
    return treqs


@contextmanager
def _world(folder: Path, treqs: Treqs) -> Iterator[World]:
    data = folder / "registry"
    arguments = ("registry", "serve", "--data", str(data), "--treqs-url", treqs.url)
    with serving(*arguments) as line:
        url = line.split()[-1]
        program = Program.within(captured_project("linear", folder), folder, GLAAS_URL=url, ROAR_ACCESS_TOKEN=HERS)
        yield World(Desk(program, folder / "home", data, url), treqs)


def test_a_bearer_of_the_service_publishes_and_its_user_is_made(world: World) -> None:
    assert world.users() == []
    event = world.desk.publish("--private")
    assert event["hash"] == recorded_hash("bearer")
    (user,) = world.users()
    assert (user["name"], user["sub"], user["email"]) == ("alice", SUB, "alice@example.org")
    assert [world.desk.read(event["hash"], token)[0] for token in (HERS, HIS, OUTSIDE, "")] == [200, 404, 404, 404]
    assert world.desk.read(event["hash"], HERS)[1]["creator"] == BY_BEARER


def test_a_publish_of_many_requests_asks_the_service_a_few_times(world: World) -> None:
    with front(world.desk.url) as fore:
        world.desk.with_environment(GLAAS_URL=fore.url).publish("--private")
    signed = [seen for seen in fore.seen if "authorization" in seen.headers]
    assert 0 < len(world.treqs.asked) < len(signed) / 2


def test_a_private_project_takes_the_lineage_and_its_members_read_it(world: World) -> None:
    world.bind()
    event = world.desk.publish()
    assert event["hash"] == recorded_hash("bearer")
    assert [world.desk.read(event["hash"], token)[0] for token in (HERS, HIS, OUTSIDE, "")] == [200, 200, 404, 404]
    assert world.desk.page(event["hash"]) == 404


def test_a_key_publishes_into_the_project_once_the_bearer_has_said_where_its_user_belongs(world: World) -> None:
    """The context is cached on the user; a key alone cannot bring one."""
    world.bind()
    world.desk.admin("user", "add", "carol")
    key = world.desk.home / ".ssh" / "id_ed25519"
    key.parent.mkdir(mode=0o700)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    by_key = world.desk.with_environment(ROAR_ACCESS_TOKEN="")
    world.desk.admin("key", "add", "carol", f"{key}.pub")
    refused = by_key.roar("publish", "-y")
    refused.blames(refused.code, "refresh with bearer auth first")
    assert refused.code in (1, 4)

    world.desk.read("0" * 64, HERS)  # her bearer is seen once, by any request
    fingerprint = json.loads(world.desk.admin("key", "list", "--json"))[0]["fingerprint"]
    world.desk.admin("key", "remove", fingerprint)
    world.desk.admin("key", "add", "alice", f"{key}.pub")
    event = by_key.publish()
    assert [world.desk.read(event["hash"], token)[0] for token in (HERS, HIS, OUTSIDE)] == [200, 200, 404]
    assert world.desk.read(event["hash"], HERS)[1]["creator"].startswith("glaas:user:")

    accounts = Accounts.open(world.desk.data)
    accounts.write(lambda db: db.execute("UPDATE users SET context_at = context_at - ?", (DEFAULT_CONTEXT_AGE,)))
    accounts.close()
    by_key.roar("publish", "-y").blames(4, "were confirmed too long ago: refresh with bearer auth first")


@pytest.mark.parametrize("flag", ["--private", "--public"])
def test_a_token_that_the_service_does_not_know_publishes_nothing(world: World, flag: str) -> None:
    stranger = world.desk.with_environment(ROAR_ACCESS_TOKEN="token-of-no-user")
    stranger.roar("publish", "-y", flag).blames(4, "not known to this registry, revoked or expired")
    assert world.users() == []
    assert world.desk.program.publishes == []


def test_a_returning_service_is_awaited(away: World) -> None:
    with away.desk.program.started("publish", "-y", "--private", "--json") as popen:
        read_until_it_waits(popen, Reason.THROTTLED)
        with away.treqs.running():
            done = ended(popen)
            assert done.code == 0, done.out + done.err
            assert done.last["hash"] == recorded_hash("bearer")
            assert away.desk.read(recorded_hash("bearer"), HERS)[0] == 200


def test_a_publish_that_waits_for_the_service_can_be_stopped_and_stays_signed_in(away: World) -> None:
    with away.desk.program.started("publish", "-y", "--private", "--json") as popen:
        read_until_it_waits(popen, Reason.THROTTLED)
        popen.send_signal(signal.SIGINT)
        done = ended(popen)
    assert done.code == 130, done.out + done.err
    with away.treqs.running():
        assert away.desk.publish("--private")["hash"] == recorded_hash("bearer")


WITHDRAWN: dict[str, tuple[dict[str, Json], str]] = {
    "may only read": ({HERS: context("alice", READ_ONLY)}, "but not write to it"),
    "project is gone": ({HERS: context("alice", {**PROJECT, "id": "proj-2"})}, "no such project"),
    "no member any more": ({HERS: context("alice")}, "not a member of this owner"),
    "token revoked": ({}, "ROAR_ACCESS_TOKEN is not accepted"),
}


@pytest.mark.parametrize("name", WITHDRAWN)
def test_access_withdrawn_during_a_publish_stops_it_and_access_restored_continues_it(world: World, name: str) -> None:
    """It happens right before the finalize, which asks the service again. Nothing acknowledged is sent again."""
    contexts, words = WITHDRAWN[name]
    world.bind()
    with front(world.desk.url) as fore:
        seat = world.desk.with_environment(GLAAS_URL=fore.url)
        fore.rule = once_before("/finalize", lambda: world.treqs.set_known(contexts))
        refused = seat.roar("publish", "-y")
        refused.blames(4, words)
        world.treqs.set_known(ALL_CLIENTS)
        world.nothing_is_published()
        staged = staged_bodies(fore.seen)
        done = seat.roar("publish", "--resume", "-y", "--json")
        assert done.code == 0, done.err
        assert done.last["hash"] == recorded_hash("bearer")
        assert staged_bodies(fore.seen) == staged


def test_a_former_member_cannot_read_the_project(world: World) -> None:
    world.bind()
    lineage_hash = world.desk.publish()["hash"]
    assert world.desk.read(lineage_hash, HIS)[0] == 200
    world.treqs.set_known({**ALL_CLIENTS, "another-token-of-bob": context("bob")})
    assert world.desk.read(lineage_hash, "another-token-of-bob")[0] == 404


def test_a_sign_in_is_renewed_through_the_registry_and_the_new_one_is_kept(world: World) -> None:
    desk = world.desk.with_environment(ROAR_ACCESS_TOKEN="")
    desk.auth_json.parent.mkdir(parents=True)
    desk.auth_json.write_text(json.dumps(sign_in("old-access", "old-refresh")))
    desk.say_signed_in_at(desk.program.env["GLAAS_URL"])
    os.chmod(desk.auth_json, 0o600)
    answer = {"access_token": "new-access", "refresh_token": "new-refresh", "expires_in": 3600}
    world.treqs.set_known({"new-access": ALICE}, {"old-refresh": {"success": True, "data": answer}})
    assert desk.publish("--private")["hash"] == recorded_hash("bearer")
    kept = json.loads(desk.auth_json.read_text())
    assert (kept["access_token"], kept["refresh_token"]) == ("new-access", "new-refresh")
    assert world.treqs.asked.count("POST /api/v1/auth/refresh") == 1


def sign_in(access: str, refresh: str) -> dict[str, Any]:
    """A sign-in of Alice's that is over but for its refresh token."""
    return {
        "version": 1,
        "provider": "treqs-device",
        "issuer": "https://treqs.example",
        "client_id": "roar-cli",
        "access_token": access,
        "refresh_token": refresh,
        "expires_at": "2020-01-01T00:00:00Z",
        "user": {"sub": SUB, "db_user_id": "db-alice", "email": "alice@example.org", "username": "alice"},
    }


def once_before(ending: str, act: Callable[[], None]) -> Callable[[Seen], None]:
    """A rule of a front: acts before the first request whose path ends so, and answers none."""
    acted = False

    def rule(seen: Seen) -> None:
        nonlocal acted
        if seen.path.endswith(ending) and not acted:
            acted = True
            act()

    return rule


def staged_bodies(seen: list[Seen]) -> list[bytes]:
    """The bodies of everything that was staged."""
    return [
        one.body for one in seen if one.path.endswith(("/batch", "/inputs", "/outputs")) and "/labels" not in one.path
    ]
