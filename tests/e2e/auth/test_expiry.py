"""Every credential dies before every request of a publish, and heals in every way there is.

Whatever the moment: nothing acknowledged is sent again, the identity stays, one lineage is published, and where a
person is needed the publish says so and waits.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest

from roar_publisher.auth.choice import Flag
from roar_publisher.glaas.protocol import ANONYMOUS_IDENTITY
from roar_publisher.publishing.status import next_step
from roar_publisher.state.errors import Conclusion, LocalProblem, NeedsUser
from roar_publisher.state.limits import MOST_REQUESTS
from roar_publisher.state.machine import State
from roar_publisher.state.record import Progress
from roar_publisher.state.status import HostStatus
from roar_publisher.state.status_reader import count_status
from tests.support.auth.worlds import ALICE, BOB, BY_BEARER, BY_KEY, FEATURES, World
from tests.support.faults.mortal import Crash, Life
from tests.support.faults.simulation import run_virtually
from tests.support.lineages import chain, cut
from tests.support.registry.features import BULK, PLAIN
from tests.support.sampling import chosen, sample

LINEAGE = cut(chain(4), batch=lambda: 2)
HOUR = 3600.0
BEYOND = 1
"""Requests past the last one of a reference run: nothing dies then, and the sweep has swept everything."""

SOME = 3
"""How many of the requests a credential dies before by default."""

Act = Callable[[World], None]


@dataclass(frozen=True)
class Death:
    """How a credential dies, and who must do what about it.

    begin: gives Alice her credentials.  dies: what happens.  heals: what a person does about it; None where the publish
    continues by itself.  first: the first request that it can die before without another identity being the right one.
    """

    begin: Act
    flag: Flag
    identity: str
    dies: Act
    heals: Act | None = None
    first: int = 1


def with_bearer(world: World) -> None:
    world.sign_in()


def with_key(world: World) -> None:
    world.make_key()


def with_both(world: World) -> None:
    world.sign_in()
    world.make_key()


def no_credential(world: World) -> None:
    pass


def an_hour_passes(world: World) -> None:
    world.let_time_pass(2 * HOUR)


DEATHS = {
    "access token revoked early": Death(with_bearer, Flag.PRIVATE, BY_BEARER, World.end_access_tokens),
    "access token over": Death(with_bearer, Flag.PRIVATE, BY_BEARER, an_hour_passes),
    "access token revoked early, public": Death(with_bearer, Flag.PUBLIC, BY_BEARER, World.end_access_tokens),
    "access token revoked early, a key at hand": Death(with_both, Flag.PRIVATE, BY_BEARER, World.end_access_tokens),
    "sign-in over": Death(with_bearer, Flag.PRIVATE, BY_BEARER, World.end_sign_in, World.sign_in),
    "sign-in over, public": Death(with_bearer, Flag.PUBLIC, BY_BEARER, World.end_sign_in, World.sign_in),
    "sign-in over, a key at hand": Death(with_both, Flag.PRIVATE, BY_BEARER, World.end_sign_in, World.sign_in),
    "sign-in over, a key at hand, public": Death(with_both, Flag.PUBLIC, BY_BEARER, World.end_sign_in, World.sign_in),
    "token of the environment over": Death(
        World.export_token, Flag.PRIVATE, BY_BEARER, World.end_sign_in, World.export_token
    ),
    "token of the environment over, public": Death(
        World.export_token, Flag.PUBLIC, BY_BEARER, World.end_sign_in, World.export_token
    ),
    "key locked out": Death(with_key, Flag.PRIVATE, BY_KEY, World.lock_key_out, World.let_key_in),
    "key locked out, public": Death(with_key, Flag.PUBLIC, BY_KEY, World.lock_key_out, World.let_key_in, 3),
    "session token void": Death(no_credential, Flag.ANONYMOUS, ANONYMOUS_IDENTITY, World.void_session_tokens),
    "session token lost": Death(no_credential, Flag.ANONYMOUS, ANONYMOUS_IDENTITY, World.lose_session_token),
}


async def undisturbed(root: Path, death: Death) -> int:
    """How many requests the publish takes if nothing dies."""
    world = World(root, LINEAGE, death.flag)
    death.begin(world)
    end = await world.live()
    assert isinstance(end, Progress)
    assert (end.state, end.identity) == (State.DONE, death.identity)
    world.check_published(death.identity)
    return len(world.sent)


async def disturbed(root: Path, death: Death, number: int) -> None:
    """The credential dies right before the request `number`, from 1."""
    world = World(root, LINEAGE, death.flag)
    death.begin(world)
    died = False

    def before(sent: int) -> None:
        nonlocal died
        if sent >= number and not died:
            died = True
            death.dies(world)

    world.before = before
    end = await world.live()
    if not (isinstance(end, Progress) and end.state is State.DONE):
        assert died
        assert death.heals is not None, end
        needs_a_person(world, end)
        death.heals(world)
        end = await world.live()
    assert isinstance(end, Progress), end
    assert (end.state, end.reason, end.identity) == (State.DONE, "", death.identity)
    world.check_published(death.identity)


def needs_a_person(world: World, end: object) -> None:
    """Assert that a publish waits for its credential, and that its journal knows why."""
    assert isinstance(end, NeedsUser), end
    assert (end.conclusion, end.reason) == (Conclusion.NEEDS_USER, "auth")
    assert end.next_step
    progress = world.progress()
    assert (progress.state, progress.reason, progress.detail) == (State.AUTH_SELECT, "auth", end.what)


@pytest.mark.parametrize("name", DEATHS)
def test_a_credential_that_dies_before_any_request(name: str, memory: Path) -> None:
    death = DEATHS[name]
    requests = 0

    async def reference() -> None:
        nonlocal requests
        requests = await undisturbed(memory / "reference", death)

    run_virtually(reference, 0)
    assert requests > (8 if FEATURES is BULK else 15)
    for number in sample(f"expiry {name}", range(death.first, requests + BEYOND + 1), SOME):
        try:
            run_virtually(lambda number=number: disturbed(memory / str(number), death, number), 0)  # type: ignore[misc]
        except BaseException as error:
            error.add_note(f"{name}, before request {number} of {requests}")
            raise


@pytest.mark.parametrize("flag", [Flag.PRIVATE, Flag.PUBLIC])
@pytest.mark.parametrize("number", [2, 6])
def test_an_expired_token_of_the_environment_is_not_replaced_by_a_sign_in(
    number: int, flag: Flag, memory: Path
) -> None:
    """The variable goes before the file, so the variable is named: before the identity is known, and after."""

    async def scenario() -> None:
        world = World(memory, LINEAGE, flag)
        world.export_token()
        world.before = lambda sent: world.end_sign_in() if sent == number else None
        end = await world.live()
        needs_a_person(world, end)
        assert isinstance(end, NeedsUser)
        assert "ROAR_ACCESS_TOKEN" in end.next_step
        assert "roar login" not in end.next_step

    run_virtually(scenario, 0)


def test_another_users_sign_in_does_not_continue_it(memory: Path) -> None:
    """Bob signs in where Alice's publish waits; it waits on, and is hers when she is back."""
    requests = 0

    async def reference() -> None:
        nonlocal requests
        requests = await undisturbed(memory / "reference", DEATHS["sign-in over"])

    async def scenario(number: int) -> None:
        world = World(memory / str(number), LINEAGE, Flag.PRIVATE)
        world.sign_in()

        def before(sent: int) -> None:
            if sent == number:
                world.end_sign_in()
                world.sign_in(BOB)

        world.before = before
        end = await world.live()
        if not isinstance(end, Progress):
            assert isinstance(end, NeedsUser), end
            assert (end.conclusion, end.reason) == (Conclusion.NEEDS_USER, "auth")
            world.sign_in(ALICE)
            end = await world.live()
        assert isinstance(end, Progress), end
        assert (end.state, end.identity) == (State.DONE, BY_BEARER)
        world.check_published(BY_BEARER)

    run_virtually(reference, 0)
    for number in sample("expiry Bob", range(3, requests + 1), 4):
        try:
            run_virtually(lambda number=number: scenario(number), 0)  # type: ignore[misc]
        except BaseException as error:
            error.add_note(f"Bob signs in before request {number} of {requests}")
            raise


CREDENTIALS: dict[str, tuple[Act, Flag, str]] = {
    "bearer": (with_bearer, Flag.PRIVATE, BY_BEARER),
    "token of the environment": (World.export_token, Flag.PRIVATE, BY_BEARER),
    "key": (with_key, Flag.PRIVATE, BY_KEY),
    "nothing": (no_credential, Flag.ANONYMOUS, ANONYMOUS_IDENTITY),
}


EACH_KIND = chosen("expiry killed", list(CREDENTIALS))
"""The credential whose publish is killed at a moment of each kind; with the others it passes the same ones."""


@pytest.mark.parametrize("name", CREDENTIALS)
def test_killed_at_every_moment_it_continues_with_the_same_identity(name: str, memory: Path) -> None:
    """The next process shows the same credential at once: it does not begin by being turned away."""
    begin, flag, identity = CREDENTIALS[name]
    reference = Life()

    async def scenario(root: Path, life: Life) -> None:
        world = World(root, LINEAGE, flag)
        begin(world)
        if isinstance(await world.live(life), Crash):
            end = await world.live()
            assert isinstance(end, Progress), end
            assert end.identity == identity
        world.check_published(identity)
        assert "credential-rejected" not in world.events()

    run_virtually(lambda: scenario(memory / "reference", reference), 0)
    assert len(reference.moments) > (30 if FEATURES is BULK else 40)
    for moment in reference.sample(f"expiry killed {name}", 4, each_kind=name == EACH_KIND):
        root = memory / str(moment)
        try:
            run_virtually(lambda root=root, moment=moment: scenario(root, Life(moment)), 0)  # type: ignore[misc]
        except BaseException as error:
            error.add_note(f"{name}, killed at moment {moment}: {reference.moments[moment - 1]}")
            raise


@pytest.mark.parametrize("appears", [World.sign_in, World.export_token], ids=["auth.json", "ROAR_ACCESS_TOKEN"])
def test_a_later_bearer_does_not_replace_the_key(appears: Act, memory: Path) -> None:
    """The key began the publish, so the key continues it wherever it was interrupted."""
    reference = Life()

    async def scenario(root: Path, life: Life) -> None:
        world = World(root, LINEAGE, Flag.PRIVATE)
        world.make_key()
        if isinstance(await world.live(life), Crash) and world.progress().identity == BY_KEY:
            appears(world)
            end = await world.live()
            assert isinstance(end, Progress), end
            world.check_published(BY_KEY)
            assert not [sent for sent in world.sent if sent.scheme == "Bearer"]

    run_virtually(lambda: scenario(memory / "reference", reference), 0)
    for moment in reference.sample("expiry appears", 6, each_kind=False):
        root = memory / str(moment)
        try:
            run_virtually(lambda root=root, moment=moment: scenario(root, Life(moment)), 0)  # type: ignore[misc]
        except BaseException as error:
            error.add_note(f"killed at moment {moment}: {reference.moments[moment - 1]}")
            raise


def test_sixty_four_requests_rejected_together_refresh_once(memory: Path) -> None:
    world = World(memory, cut(chain(150), batch=lambda: 1), Flag.PRIVATE, features=PLAIN)
    crowd = 0

    def before(number: int) -> None:
        nonlocal crowd
        if world.under_way == MOST_REQUESTS - 1 and not crowd:
            crowd = world.under_way + 1
            world.end_access_tokens()

    async def scenario() -> None:
        world.sign_in()
        world.before = before
        first = world.saved_sign_in()
        end = await world.live()
        assert isinstance(end, Progress)
        assert end.state is State.DONE
        second = world.saved_sign_in()
        assert first["refresh_token"] != second["refresh_token"]
        assert first["access_token"] != second["access_token"]

    run_virtually(scenario, 0)
    assert crowd == MOST_REQUESTS
    assert len([sent for sent in world.sent if sent.status == 401]) == MOST_REQUESTS
    assert [sent.status for sent in world.calls("/auth/refresh")] == [200]
    world.check_published(BY_BEARER)


CLOCKS = sample(
    "clocks",
    list(
        product([1, 3, 4, 7, 9] if FEATURES is BULK else [1, 3, 4, 10, 19], [Flag.PRIVATE, Flag.PUBLIC], [HOUR, -HOUR])
    ),
    0,
    lambda case: case[0],
    lambda case: case[1:],
)


@pytest.mark.parametrize(("number", "flag", "ahead"), CLOCKS)
def test_a_clock_that_is_off_is_reported_with_the_difference(
    number: int, flag: Flag, ahead: float, memory: Path
) -> None:
    """From the request `number` on, this machine's clock and the registry's are an hour apart; then it is fixed."""
    world = World(memory, LINEAGE, flag)

    def before(sent: int) -> None:
        world.clock_ahead = ahead if sent >= number else 0.0

    async def scenario() -> None:
        world.make_key()
        world.before = before
        end = await world.live()
        report = end.what if isinstance(end, LocalProblem) else repr(world.reports)
        assert f"1 h {'behind' if ahead > 0 else 'ahead of'} the server's" in report
        world.before = lambda sent: None
        world.clock_ahead = 0.0
        if isinstance(end, LocalProblem):
            advice = f"set this machine's clock {'forward' if ahead > 0 else 'back'} by 1 h"
            assert (end.conclusion, end.reason, end.next_step) == (Conclusion.INTERRUPTED, "clock", advice)
            standing = count_status(world.paths, HostStatus(world.now()))
            assert (standing.reason, next_step(standing)) == (
                "clock",
                f"{advice}; then: roar publish --resume {world.paths.id}",
            )
            end = await world.live()
        assert isinstance(end, Progress), end
        assert end.state is State.DONE

    run_virtually(scenario, 0)


@pytest.mark.parametrize("agrees", [True, False])
def test_a_key_that_the_registry_never_knew_publishes_anonymously_only_with_consent(agrees: bool, memory: Path) -> None:
    world = World(memory, LINEAGE, Flag.PUBLIC)
    world.agrees = agrees

    async def scenario() -> None:
        world.make_key()
        world.lock_key_out()
        end = await world.live()
        if agrees:
            assert isinstance(end, Progress)
            world.check_published(ANONYMOUS_IDENTITY)
        else:
            assert isinstance(end, NeedsUser)
            assert end.reason == "needs confirmation"
            assert not world.calls("/registration-sessions")

    run_virtually(scenario, 0)
