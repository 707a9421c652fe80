"""A proxy that wants a sign-in, whichever request it interrupts: a person's matter, and no defect."""

import httpx2
import pytest

from roar_publisher.state.errors import NeedsUser
from roar_publisher.state.paths import StateFolder
from tests.support import virtual
from tests.support.engine.publishing import Publishing, instead
from tests.support.lineages import chain, cut


@pytest.mark.parametrize("call", ["health", "registration-sessions", "jobs/batch", "inputs", "finalize"])
def test_a_407_in_the_place_of_any_answer_waits_for_a_person(call: str, folder: StateFolder) -> None:
    async def scenario() -> None:
        publishing = Publishing(folder, cut(chain(3)))
        publishing.intercept = instead(call, lambda: httpx2.Response(407))
        with pytest.raises(NeedsUser, match="407") as caught:
            await publishing.run()
        assert caught.value.reason == "proxy"

    virtual.run(scenario)
