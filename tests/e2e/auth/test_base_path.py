"""A registry below a path of its own, `https://host/base`: the signature speaks of the path that the server sees."""

from pathlib import Path
from typing import Any

import pytest
from starlette.types import ASGIApp, Receive, Send

from roar_publisher.auth.choice import Flag
from roar_publisher.auth.identity import identity_of_key
from roar_publisher.state.errors import Conclusion, NeedsUser
from roar_publisher.state.machine import State
from roar_publisher.state.record import Progress
from tests.support.auth.worlds import ALICE, BY_KEY, World, key_of
from tests.support.faults.simulation import run_virtually
from tests.support.lineages import REGISTRY, chain, cut

LINEAGE = cut(chain(1))
BASE = "/glaas"


def below(app: ASGIApp, shown: str) -> ASGIApp:
    """The registry below `BASE`, which checks signatures against a path that begins with `shown`."""

    async def mounted(scope: Any, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix(BASE)
        await app(dict(scope, path=path, raw_path=(shown + path).encode()), receive, send)

    return mounted


def world_below(folder: Path, flag: Flag, shown: str) -> World:
    key = identity_of_key(key_of(ALICE).get_fingerprint())
    people = (BY_KEY,) if flag is Flag.PUBLIC else (key,)
    return World(folder, LINEAGE, flag, registry=REGISTRY + BASE, people=people, mount=lambda app: below(app, shown))


@pytest.mark.parametrize("flag", [Flag.PUBLIC, Flag.PRIVATE])
@pytest.mark.parametrize("shown", ["", BASE])
def test_a_key_publishes_whatever_the_proxy_does_with_the_base(shown: str, flag: Flag, tmp_path: Path) -> None:
    world = world_below(tmp_path, flag, shown)

    async def scenario() -> None:
        world.make_key()
        end = await world.live()
        assert isinstance(end, Progress), end
        assert end.state is State.DONE
        rejected = [sent for sent in world.sent if sent.status == 401]
        assert len(rejected) == (1 if shown else 0), "it is learned once"
        world.check_published(BY_KEY)

    run_virtually(scenario, 0)


@pytest.mark.parametrize("flag", [Flag.PUBLIC, Flag.PRIVATE])
def test_a_base_that_breaks_signatures_stops_instead_of_publishing_anonymously(flag: Flag, tmp_path: Path) -> None:
    world = world_below(tmp_path, flag, "/elsewhere")

    async def scenario() -> None:
        world.make_key()
        end = await world.live()
        assert isinstance(end, NeedsUser), end
        assert end.conclusion is Conclusion.NEEDS_USER
        assert f"A proxy may change the path {BASE}" in end.what
        assert "the registry's own address" in end.next_step
        assert ("--anonymous" in end.next_step) == (flag is Flag.PUBLIC)
        assert not world.calls("/registration-sessions")

    run_virtually(scenario, 0)


@pytest.mark.parametrize("flag", [Flag.PUBLIC, Flag.PRIVATE])
def test_an_intermediary_that_changes_requests_stops_a_key_that_may_be_valid(flag: Flag, tmp_path: Path) -> None:
    """A 401 about the signature is not a clear rejection of the key, which would make a public publish anonymous."""
    world = World(tmp_path, LINEAGE, flag, mount=lambda app: below(app, "/elsewhere"))

    async def scenario() -> None:
        world.make_key()
        end = await world.live()
        assert isinstance(end, NeedsUser), end
        assert "A proxy may change the request" in end.what
        assert ("--anonymous" in end.next_step) == (flag is Flag.PUBLIC)
        assert not world.calls("/registration-sessions")

    run_virtually(scenario, 0)
