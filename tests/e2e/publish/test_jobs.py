"""`--jobs N`: how many concurrent requests the registry gets, here and from the daemon that continues."""

import json

import anyio
import pytest

from roar_publisher.__main__ import run
from roar_publisher.engine.steps import unit_groups
from roar_publisher.net.exchange import Exchange, Reply
from tests.support.cli.program import Program

PAUSE_SECONDS = 0.02


class Crowd:
    """Counts the requests under way, each of which takes a moment."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = self.most = 0
        send = Exchange.send

        async def counted(exchange: Exchange, *request: object, **limits: object) -> Reply:
            self.now += 1
            self.most = max(self.most, self.now)
            try:
                await anyio.sleep(PAUSE_SECONDS)
                return await send(exchange, *request, **limits)  # type: ignore[arg-type]
            finally:
                self.now -= 1

        monkeypatch.setattr(Exchange, "send", counted)


# A slow registry gets fewer requests at once, but always two.
@pytest.mark.parametrize(("given", "least", "most"), [((), 2, 64), (("--jobs", "2"), 2, 2), (("--jobs", "1"), 1, 1)])
def test_jobs_bounds_a_publish_of_lineage(
    given: tuple[str, ...],
    least: int,
    most: int,
    program: Program,
    registry: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(program.cwd)
    monkeypatch.setenv("ROAR_STATE_DIR", str(program.state))
    monkeypatch.setenv("HOME", str(program.state))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setattr(unit_groups, "GROUP_BYTES", 0)  # in bulk, the few links of this project are one request
    crowd = Crowd(monkeypatch)
    assert run(["publish", "--anonymous", "-y", "--json", "--registry", registry, *given]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["event"] == "published"
    assert least <= crowd.most <= most
