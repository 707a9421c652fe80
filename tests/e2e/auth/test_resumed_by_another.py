"""A publish is killed, and the next process has another user's credential in the same place, or none.

Neither `ROAR_ACCESS_TOKEN` nor a key names its owner, so the registry is asked before anything else is sent.
"""

from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from roar_publisher.auth.choice import Flag
from roar_publisher.auth.identity_cache import IdentityCache
from roar_publisher.glaas.protocol import ANONYMOUS_IDENTITY
from roar_publisher.state.errors import Conclusion, NeedsUser
from roar_publisher.state.machine import State
from roar_publisher.state.record import Progress
from tests.support.auth.worlds import ALICE, BOB, BY_BEARER, BY_KEY, LAST_LINKS, World, key_of
from tests.support.faults.mortal import Crash, Life
from tests.support.faults.simulation import run_virtually
from tests.support.lineages import chain, cut

LINEAGE = cut(chain(4), batch=lambda: 2)
CREDENTIALS: dict[str, tuple[Callable[[World, str], None], str]] = {
    "token": (World.export_token, BY_BEARER),
    "key": (World.make_key, BY_KEY),
}
MOMENTS = {
    "before /registration-sessions": State.OPEN,
    f"before {LAST_LINKS}": State.STAGE,
    "before /finalize": State.FINALIZE,
    "before /labels/batch": State.FINALIZE,
}


async def killed(root: Path, flag: Flag, give: Callable[[World, str], None], moment: str) -> World:
    """Alice's publish after its process died before the first request of a kind."""
    reference, life = World(root / "reference", LINEAGE, flag), Life()
    give(reference, ALICE)
    await reference.live(life)
    what, ending = moment.split()
    dies_at = next(n for n, m in enumerate(life.moments, 1) if m.startswith(what) and m.endswith(ending))
    world = World(root / "world", LINEAGE, flag)
    give(world, ALICE)
    assert isinstance(await world.live(Life(dies_at)), Crash)
    return world


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("flag", [Flag.PRIVATE, Flag.PUBLIC])
@pytest.mark.parametrize("credential", CREDENTIALS)
def test_another_users_credential_does_not_continue_it(
    credential: str, flag: Flag, moment: str, tmp_path: Path
) -> None:
    give, identity = CREDENTIALS[credential]

    async def scenario() -> None:
        world = await killed(tmp_path, flag, give, moment)
        before, sent = world.progress(), len(world.sent)
        assert (before.state, before.identity) == (MOMENTS[moment], identity)
        give(world, BOB)
        end = await world.live()
        assert isinstance(end, NeedsUser), end
        assert (end.conclusion, end.reason) == (Conclusion.NEEDS_USER, "auth")
        assert f"started as {identity} and would continue as " in end.what
        assert ("The lineage is published" in end.kept) == (before.hash is not None)
        assert [sent.path for sent in world.sent[sent:]] == ["/api/v1/auth/me"]
        assert world.progress().state is before.state
        give(world, ALICE)
        end = await world.live()
        assert isinstance(end, Progress), end
        assert (end.state, end.identity) == (State.DONE, identity)
        assert "credential-rejected" not in world.events()
        world.check_published(identity)

    run_virtually(scenario, 0)


@pytest.mark.parametrize("status", [401, 404])
def test_a_registry_that_does_not_name_the_owner_gets_nothing_else(status: int, tmp_path: Path) -> None:
    async def scenario() -> None:
        world = await killed(tmp_path, Flag.PRIVATE, World.make_key, f"before {LAST_LINKS}")
        sent = len(world.sent)
        answer = {"detail": "no"}
        world.instead = lambda path: httpx2.Response(status, json=answer) if path.endswith("/auth/me") else None
        end = await world.live()
        assert isinstance(end, NeedsUser), end
        questions = {"/api/v1/auth/me", "/api/v1/sessions", "/api/v1/health"}
        assert {sent.path for sent in world.sent[sent:]} <= questions

    run_virtually(scenario, 0)


@pytest.mark.parametrize("credential", CREDENTIALS)
def test_a_process_asks_once_for_the_owner_of_the_credential(credential: str, tmp_path: Path) -> None:
    give, identity = CREDENTIALS[credential]

    async def scenario() -> None:
        world = World(tmp_path, LINEAGE, Flag.PRIVATE)
        give(world, ALICE)
        assert isinstance(await world.live(), Progress)
        assert len(world.calls("/auth/me")) == 1
        world.check_published(identity)

    run_virtually(scenario, 0)


def no_credential(world: World) -> None:
    pass


def an_unknown_key(world: World) -> None:
    world.make_key()
    world.lock_key_out()


def an_older_registry(path: str) -> httpx2.Response | None:
    return httpx2.Response(404, json={"detail": "no such route"}) if path.endswith("/health") else None


@pytest.mark.parametrize("older", [False, True], ids=["stages", "older"])
@pytest.mark.parametrize(
    ("person", "here", "give"),
    [
        (BY_BEARER, no_credential, World.export_token),
        (BY_BEARER, an_unknown_key, World.sign_in),
        (BY_KEY, no_credential, World.make_key),
    ],
    ids=["token, gone", "token, gone, and an unknown key", "key, gone"],
)
def test_a_publish_with_an_identity_does_not_become_anonymous(
    person: str, here: Callable[[World], None], give: Callable[[World], None], older: bool, tmp_path: Path
) -> None:
    """A daemon without the environment of who planned it; no registry knows of the publish yet."""

    async def scenario() -> None:
        world = World(tmp_path, LINEAGE, Flag.PUBLIC, people=(person,))
        here(world)
        world.instead = an_older_registry if older else lambda path: None
        end = await world.live()
        assert isinstance(end, NeedsUser), end
        assert (end.conclusion, end.reason) == (Conclusion.NEEDS_USER, "auth")
        assert f"was planned to name {person}" in end.what
        for way_out in ("roar login", "ROAR_ACCESS_TOKEN", f"--resume {world.paths.id}", "--anonymous"):
            assert way_out in end.next_step
        assert {sent.method for sent in world.sent} == {"GET"}
        assert (world.progress().state, world.progress().identity) == (State.AUTH_SELECT, None)
        give(world)
        assert isinstance(await world.live(), Progress)
        world.check_published(person)

    run_virtually(scenario, 0)


@pytest.mark.parametrize(
    ("flag", "people", "here"),
    [
        (Flag.ANONYMOUS, (BY_BEARER,), no_credential),
        (Flag.PUBLIC, (), no_credential),
        (Flag.PUBLIC, (), an_unknown_key),
        (Flag.PUBLIC, (BY_KEY,), an_unknown_key),
    ],
    ids=["asked for", "no credential", "unknown credential", "the key is rejected"],
)
def test_a_publish_that_may_be_anonymous_is_published_so(
    flag: Flag, people: tuple[str, ...], here: Callable[[World], None], tmp_path: Path
) -> None:
    async def scenario() -> None:
        world = World(tmp_path, LINEAGE, flag, people=people)
        here(world)
        end = await world.live()
        assert isinstance(end, Progress), end
        world.check_published(ANONYMOUS_IDENTITY)

    run_virtually(scenario, 0)


def test_a_key_with_another_owner_is_planned_for_that_one_from_then_on(tmp_path: Path) -> None:
    """`--detach` plans for the owner that is known, without asking. So what the publish learned replaces it."""
    fingerprint = key_of(ALICE).get_fingerprint()

    async def scenario() -> None:
        world = World(tmp_path, LINEAGE, Flag.PUBLIC, people=("glaas:user:u-before",))
        world.make_key()
        known = IdentityCache(world.folder.identities)
        known.store(world.registry, fingerprint, "glaas:user:u-before")
        end = await world.live()
        assert isinstance(end, NeedsUser), end
        assert "glaas:user:u-before and would continue as glaas:user:u-alice" in end.what
        assert known.get(world.registry, fingerprint) == BY_KEY

    run_virtually(scenario, 0)
