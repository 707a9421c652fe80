"""The authorities that validate bearers and know the owners and projects of a user.

`LocalAuthority` uses the registry's own accounts; `treqs.TreqsService` asks a TReqs service. In the registry's own
accounts, a user's access context is always current, so an SSH key works without an earlier bearer.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from roar_publisher.registry.accounts import device_flow, grants
from roar_publisher.registry.accounts.context import AccessContext, context_of
from roar_publisher.registry.accounts.device_flow import DeviceClient
from roar_publisher.registry.accounts.signin_file import PROVIDER, iso_time
from roar_publisher.registry.http.refusals import unauthorized
from roar_publisher.registry.store.users import Accounts, User

T = TypeVar("T")

logger = logging.getLogger(__name__)


class CallRunner(Protocol):
    """Runs a blocking call, one at a time, and returns its result."""

    def __call__(self, call: Callable[[], T], /) -> Awaitable[T]: ...


class Authority(Protocol):
    """Validates bearers.

    Methods raise `Refusal` (503) if the authority is unavailable. Cancelling a method leaves nothing half done.
    """

    async def user_of(self, access_token: str) -> User | None:
        """Return the token's user, as of at most a few seconds ago; None if the token is not valid."""
        ...

    async def holder_of(self, access_token: str) -> grants.TokenHolder | None:
        """Return whose the token is. Returns None as `user_of`."""
        ...

    async def context_of_bearer(self, access_token: str) -> AccessContext | None:
        """Return the live access context of the token's user; None if the token is not valid any more."""
        ...

    async def known_context(self, user: User) -> AccessContext | None:
        """Return the access context that is known without a bearer; None if it is unknown or too old."""
        ...

    async def refresh(self, refresh_token: str, client_id: str) -> dict[str, object]:
        """Exchange a refresh token for new tokens (`protocol.md §4`). Raises `Refusal` (401) if it is not valid."""
        ...

    async def begin_device(self, client: DeviceClient, page: str) -> dict[str, object]:
        """Begin a device flow (RFC 8628 §3.2). `page` is this registry's page that takes the code.

        Raises `Refusal` (429) if too many wait.
        """
        ...

    async def poll_device(self, device_code: str, client_id: str, issuer: str) -> dict[str, object]:
        """Return the tokens of a device flow that a user has confirmed. `issuer` is this registry's address.

        Raises `Refusal` as `device_flow.poll_refusal`.
        """
        ...

    async def revoke(self, access_token: str) -> bool:
        """End the token's sign-in, including its refresh token. Return False if the token belongs to no sign-in."""
        ...

    async def close(self) -> None:
        """Close connections."""
        ...


class LocalAuthority:
    """The registry's own accounts, which commands manage. `clock` returns Unix seconds."""

    def __init__(self, accounts: Accounts, run: CallRunner, clock: Callable[[], float]) -> None:
        self._accounts = accounts
        self._run = run
        self._clock = clock

    async def user_of(self, access_token: str) -> User | None:
        """See `Authority`."""
        now = self._clock()
        return await self._run(lambda: self._accounts.read(grants.bearer, access_token, now))

    async def holder_of(self, access_token: str) -> grants.TokenHolder | None:
        """See `Authority`."""
        now = self._clock()
        return await self._run(lambda: self._accounts.read(grants.holder, access_token, now))

    async def context_of_bearer(self, access_token: str) -> AccessContext | None:
        """See `Authority`."""
        user = await self.user_of(access_token)
        return None if user is None else await self.known_context(user)

    async def known_context(self, user: User) -> AccessContext | None:
        """See `Authority`. Never returns None."""
        return await self._run(lambda: self._accounts.read(context_of, user))

    async def refresh(self, refresh_token: str, client_id: str) -> dict[str, object]:
        """See `Authority`. The refresh token is spent; `grants.refresh` handles repeated requests."""
        now = self._clock()
        tokens = await self._run(lambda: self._accounts.write(grants.refresh, refresh_token, now))
        if tokens is grants.NoTokens.REUSED:
            logger.warning("a refresh token was used a second time; the sign-in that it belonged to is revoked")
            raise unauthorized("this refresh token was used before, so its sign-in is revoked now: sign in again")
        if isinstance(tokens, grants.NoTokens):
            raise unauthorized("this refresh token is unknown, revoked or expired: sign in again")
        return _token_reply(tokens, now)

    async def begin_device(self, client: DeviceClient, page: str) -> dict[str, object]:
        """See `Authority`."""
        now = self._clock()
        codes = await self._run(lambda: self._accounts.write(device_flow.begin, client, now))
        return {
            "device_code": codes.device_code,
            "user_code": codes.user_code,
            "verification_uri": page,
            "expires_in": device_flow.CODE_SECONDS,
            "interval": device_flow.POLL_SECONDS,
        }

    async def poll_device(self, device_code: str, client_id: str, issuer: str) -> dict[str, object]:
        """See `Authority`."""
        now = self._clock()
        tokens = await self._run(lambda: self._accounts.write(device_flow.poll, device_code, now))
        if isinstance(tokens, device_flow.PollError):
            raise device_flow.poll_refusal(tokens)
        return {**_token_reply(tokens, now), "provider": PROVIDER, "issuer": issuer, "client_id": client_id}

    async def revoke(self, access_token: str) -> bool:
        """See `Authority`."""
        return await self._run(lambda: self._accounts.write(grants.revoke_bearer, access_token))

    async def close(self) -> None:
        """See `Authority`."""


def _token_reply(tokens: grants.Tokens, now: float) -> dict[str, object]:
    return {
        "access_token": tokens.access_token,
        "refresh_token": tokens.refresh_token,
        "token_type": "Bearer",
        "expires_in": max(0.0, tokens.expires_at - now),
        "refresh_expires_at": iso_time(tokens.refresh_expires_at),
    }
