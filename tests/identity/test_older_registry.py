"""A registry that can stage, but does not know the signed-in user's own space (`owner_resolution`)."""

from pathlib import Path

import httpx2
import pytest

from roar_publisher.auth.choice import Flag
from roar_publisher.state.machine import State
from roar_publisher.state.record import Progress
from tests.faults.simulation import run_virtually
from tests.identity.worlds import World
from tests.lineages import chain, cut


@pytest.mark.parametrize(
    "complaint",
    [
        "scope_request.owner_resolution: Expected 'literal', received 'string'",
        "scope_request: unexpected field",
    ],
)
def test_its_complaint_is_final_and_the_ways_out_are_named(complaint: str, tmp_path: Path) -> None:
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
