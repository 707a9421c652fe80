"""Registries that lack what a signed-in user needs: sessions, an own space, where the owner of a key belongs."""

from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from roar_publisher.auth.choice import Flag
from roar_publisher.auth.identity import identity_of_key
from roar_publisher.publishing.status import next_step
from roar_publisher.state.errors import Conclusion, NeedsUser
from roar_publisher.state.machine import State
from roar_publisher.state.record import Progress
from roar_publisher.state.status import HostStatus
from roar_publisher.state.status_reader import count_status
from tests.support.auth.worlds import ALICE, BOB, BY_BEARER, BY_KEY, World, key_of
from tests.support.faults.simulation import run_virtually
from tests.support.lineages import chain, cut

KEY_ITSELF = identity_of_key(key_of(ALICE).get_fingerprint())
SIGNED_IN: dict[str, tuple[Callable[[World], None], str, str]] = {
    "bearer": (World.sign_in, BY_BEARER, "Bearer"),
    "key": (World.make_key, BY_KEY, "Signature"),
}


def without_sessions(path: str) -> httpx2.Response | None:
    """An older registry: it advertises nothing, and has no such endpoint."""
    if path.endswith("/health"):
        return httpx2.Response(200, json={"status": "ok"})
    return httpx2.Response(404, json={"error": "Endpoint not found"}) if "/registration-sessions" in path else None


@pytest.mark.parametrize("credential", SIGNED_IN)
def test_without_sessions_a_public_publish_goes_the_older_way_and_signs_each_write(
    credential: str, tmp_path: Path
) -> None:
    give, identity, scheme = SIGNED_IN[credential]
    world = World(tmp_path, cut(chain(2)), Flag.PUBLIC)

    async def scenario() -> None:
        give(world)
        world.instead = without_sessions
        end = await world.live()
        assert isinstance(end, Progress), end
        assert (end.state, end.identity, end.remote_session) == (State.DONE, identity, None)
        assert world.events() == ["probed", "selected", "no-staging", "fell-back"]
        assert {sent.scheme for sent in world.sent if sent.method == "POST"} == {scheme}
        world.check_published(identity)

    run_virtually(scenario, 0)


@pytest.mark.parametrize("flag", [Flag.PRIVATE, Flag.NONE])
@pytest.mark.parametrize("credential", SIGNED_IN)
def test_without_sessions_nothing_private_is_sent_and_both_remedies_are_named(
    credential: str, flag: Flag, tmp_path: Path
) -> None:
    give, identity, _ = SIGNED_IN[credential]
    identity = KEY_ITSELF if credential == "key" else identity
    world = World(tmp_path, cut(chain(2)), flag, people=(identity,))

    async def scenario() -> None:
        give(world)
        world.instead = without_sessions
        end = await world.live()
        assert isinstance(end, NeedsUser), end
        assert (end.conclusion, end.reason) == (Conclusion.NEEDS_USER, "no sessions")
        assert f"upgraded, then: roar publish --resume {world.paths.id}" in end.next_step
        assert "roar publish --public" in end.next_step
        standing = count_status(world.paths, HostStatus(world.now()))
        assert (standing.meaning.turn, standing.meaning.conclusion) == ("person", Conclusion.NEEDS_USER)
        assert "--public" in next_step(standing)
        assert [sent.path for sent in world.sent if sent.method == "POST"] == ["/api/v1/registration-sessions"]
        world.instead = lambda path: None
        end = await world.live()
        assert isinstance(end, Progress), end
        assert (end.state, end.identity) == (State.DONE, identity)

    run_virtually(scenario, 0)


@pytest.mark.parametrize("credential", SIGNED_IN)
def test_without_sessions_a_credential_that_fails_half_way_waits_for_the_user(credential: str, tmp_path: Path) -> None:
    give, identity, _ = SIGNED_IN[credential]
    world = World(tmp_path, cut(chain(2)), Flag.PUBLIC)

    async def scenario() -> None:
        give(world)

        def dead(path: str) -> httpx2.Response | None:
            died = path.endswith(("/outputs", "/auth/refresh"))
            return httpx2.Response(401, json={"error": "revoked"}) if died else without_sessions(path)

        world.instead = dead
        end = await world.live()
        assert isinstance(end, NeedsUser), end
        assert (end.conclusion, end.reason) == (Conclusion.NEEDS_USER, "auth")
        assert world.progress().state is State.FALLBACK
        world.instead = without_sessions
        end = await world.live()
        assert isinstance(end, Progress), end
        assert (end.state, end.identity) == (State.DONE, identity)
        world.check_published(identity)

    run_virtually(scenario, 0)


@pytest.mark.parametrize("signs_in", [ALICE, BOB])
def test_where_the_owner_of_a_key_belongs_is_learned_from_the_next_sign_in(signs_in: str, tmp_path: Path) -> None:
    world = World(tmp_path, cut(chain(2)), Flag.PRIVATE, people=(KEY_ITSELF,))
    known = False

    def unknown(path: str) -> httpx2.Response | None:
        nonlocal known
        known = known or (path.endswith("/auth/access-context") and signs_in == ALICE)
        no = httpx2.Response(400, json={"detail": "refresh with bearer auth first"})
        return no if path.endswith("/finalize") and not known else None

    async def scenario() -> None:
        world.make_key()
        world.instead = unknown
        end = await world.live()
        waits_for_sign_in(world, end)
        staged = len(world.calls("/jobs/batch"))
        world.sign_in(signs_in)
        end = await world.live()
        if signs_in == BOB:
            waits_for_sign_in(world, end)
            assert len(world.calls("/auth/access-context")) == 1, "what did not help is not sent again"
            return
        assert isinstance(end, Progress), end
        assert (end.state, end.identity) == (State.DONE, KEY_ITSELF)
        assert len(world.calls("/jobs/batch")) == staged
        world.check_published(BY_KEY)

    run_virtually(scenario, 0)


def waits_for_sign_in(world: World, end: object) -> None:
    assert isinstance(end, NeedsUser), end
    assert (end.conclusion, end.reason) == (Conclusion.NEEDS_USER, "auth")
    assert "refresh with bearer auth first" in end.what
    assert "roar login" in end.next_step
    assert world.progress().state is State.FINALIZE


@pytest.mark.parametrize(
    "complaint",
    [
        "scope_request.owner_resolution: Expected 'literal', received 'string'",
        "scope_request: unexpected field",
    ],
)
def test_its_refusal_is_final_and_the_remedies_are_named(complaint: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        world = World(tmp_path, cut(chain(2)), Flag.PRIVATE)
        world.sign_in()
        world.instead = lambda path: (
            httpx2.Response(400, json={"detail": complaint}) if path.endswith("/finalize") else None
        )
        end = await world.live()
        assert isinstance(end, Progress), end
        assert (end.state, end.reason, end.recounts) == (State.FAILED, "rejected", 0)
        assert complaint in end.detail
        assert "roar scope use" in end.detail
        assert "--public" in end.detail

    run_virtually(scenario, 0)
