"""A due token is renewed once, not before each request, however short it lives and whatever the clock says."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest

from roar_publisher.auth.authorizers import BearerAuthorizer
from roar_publisher.auth.bearer_store import BearerStore
from roar_publisher.auth.user_bearer import RENEW_AGAIN_SECONDS, UserBearer
from roar_publisher.blocking import in_thread
from roar_publisher.glaas.client import RegistryClient
from roar_publisher.glaas.replies import AnyReply
from roar_publisher.net.connection import RegistryConnection
from roar_publisher.state.errors import Transient
from roar_publisher.state.lock import is_held
from roar_publisher.state.reasons import Reason
from roar_publisher.tasks import task_group
from tests.support.auth.signed_in import STATE
from tests.support.engine.publishing import NoJitter
from tests.support.send_policies import policy_for

REGISTRY = "https://treqs.example"
"""What `STATE` says of its registry."""


class Registry(httpx2.AsyncBaseTransport):
    """Issues tokens that live `lifetime` seconds by its own clock, and accepts the last one for as long.

    says: how a reply tells the lifetime: "expires_in" or "expires_at".
    ahead: how many seconds the user's clock is ahead of this one's.
    """

    def __init__(self, home: Path, lifetime: float, says: str = "expires_in", ahead: float = 0.0) -> None:
        self.now = 1_700_000_000.0
        self.issued = 0
        self.renewing_fails = False
        self.away = False
        self.locked: list[bool] = []  # whether the sign-in was, when a request was sent while it was away
        self.statuses: list[int] = []
        self._lifetime, self._says, self._ahead = lifetime, says, ahead
        self._ends = self.now - 10
        self.path = home / "auth.json"
        self.path.write_text(json.dumps(STATE | {"access_token": "first", "expires_at": _iso(self._ends)}))
        self._bearer = UserBearer(BearerStore(self.path), policy_for(REGISTRY, home=home), self.users_clock, in_thread)

    def users_clock(self) -> float:
        return self.now + self._ahead

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if self.away:
            self.locked.append(is_held(self.path.with_name("auth.json.lock")))
            raise httpx2.ConnectError("no route")
        if request.url.path.endswith("/auth/refresh"):
            return self._refreshed()
        if request.url.path.endswith("/health"):
            return httpx2.Response(200, json={})
        known = request.headers["authorization"] == f"Bearer access-{self.issued}" and self.now < self._ends
        self.statuses.append(200 if known else 401)
        return httpx2.Response(self.statuses[-1], json={"detail": "x"})

    def _refreshed(self) -> httpx2.Response:
        if self.renewing_fails:
            return httpx2.Response(500)
        self.issued += 1
        self._ends = self.now + self._lifetime
        lifetime: Mapping[str, object] = {"expires_in": self._lifetime, "expires_at": _iso(self._ends)}
        tokens = {"access_token": f"access-{self.issued}", "refresh_token": f"refresh-{self.issued}"}
        return httpx2.Response(200, json=tokens | {self._says: lifetime[self._says]})

    async def asked(self, times: int, *, each: float = 0.0, at_once: bool = False) -> None:
        """Send so many requests, `each` seconds apart or all at once."""
        async with RegistryConnection(REGISTRY, transport=self) as connection:
            client = RegistryClient(
                connection, patience=0, rng=NoJitter(), clock=self.users_clock, report=lambda report: None
            )
            authorizer = BearerAuthorizer(self._bearer, client, None)

            async def ask() -> None:
                await client.call("GET", "/api/v1/x", expect=AnyReply, authorize=authorizer)

            async with task_group() as tasks:
                for _ in range(times):
                    if at_once:
                        tasks.start_soon(ask)
                    else:
                        await ask()
                        self.now += each


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("lifetime", [3600.0, 301.0, 300.0, 60.0, 10.0])
@pytest.mark.anyio
async def test_a_token_is_renewed_once_however_short_it_lives(lifetime: float, at_once: bool, tmp_path: Path) -> None:
    registry = Registry(tmp_path, lifetime)
    await registry.asked(20, at_once=at_once)
    assert (registry.issued, registry.statuses) == (1, [200] * 20)


@pytest.mark.parametrize("lifetime", [300.0, 60.0, 10.0])
@pytest.mark.anyio
async def test_a_short_lived_token_is_renewed_before_it_ends(lifetime: float, tmp_path: Path) -> None:
    registry = Registry(tmp_path, lifetime)
    await registry.asked(200, each=1.0)
    assert set(registry.statuses) == {200}
    assert registry.issued == pytest.approx(200 / min(RENEW_AGAIN_SECONDS, lifetime / 2), abs=1)


@pytest.mark.parametrize("says", ["expires_in", "expires_at"])
@pytest.mark.parametrize("ahead", [7200.0, -7200.0])
@pytest.mark.anyio
async def test_a_wrong_clock_does_not_renew_before_each_request(ahead: float, says: str, tmp_path: Path) -> None:
    registry = Registry(tmp_path, 3600.0, says, ahead)
    await registry.asked(20)
    assert registry.issued == 1
    assert [status for status in registry.statuses if status != 401] == [200] * 20


@pytest.mark.anyio
async def test_two_processes_do_not_renew_each_others_tokens(tmp_path: Path) -> None:
    """They share `auth.json`: what the other one has renewed is used as it is, too."""
    registry = Registry(tmp_path, 300.0)
    other = UserBearer(BearerStore(registry.path), policy_for(REGISTRY, home=tmp_path), registry.users_clock, in_thread)
    first = registry._bearer
    for _ in range(10):
        for registry._bearer in (first, other):
            await registry.asked(1)
    assert (registry.issued, registry.statuses) == (2, [200] * 20)


@pytest.mark.anyio
async def test_a_token_that_cannot_be_renewed_is_used_until_it_ends(tmp_path: Path) -> None:
    registry = Registry(tmp_path, 300.0)
    await registry.asked(1)
    registry.renewing_fails = True
    registry.now += 260.0
    await registry.asked(30, each=1.0)
    registry.renewing_fails = False
    registry.now += 20.0
    await registry.asked(1)
    assert (registry.issued, set(registry.statuses)) == (2, {200})


@pytest.mark.anyio
async def test_while_the_registry_is_away_nobody_is_kept_from_signing_in(tmp_path: Path) -> None:
    registry = Registry(tmp_path, 3600.0)
    registry.away = True
    with pytest.raises(Transient) as caught:
        await registry.asked(1)
    assert caught.value.reason is Reason.OFFLINE
    assert registry.locked
    assert not any(registry.locked)
    registry.away = False
    await registry.asked(1)
    assert (registry.issued, registry.statuses) == (1, [200])
