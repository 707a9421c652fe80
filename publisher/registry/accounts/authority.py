"""Who vouches for a bearer, and for where a user belongs.

`OwnAccounts` is the registry itself; `treqs.TreqsService` asks elsewhere.  For the first, what is known of a user is
always current, so an SSH key needs no bearer before it.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from roar_publisher.registry.accounts import grants
from roar_publisher.registry.accounts.context import AccessContext
from roar_publisher.registry.accounts.directory import context_of
from roar_publisher.registry.accounts.signin_file import iso_time
from roar_publisher.registry.accounts.users import Accounts, User
from roar_publisher.registry.http.refusals import unaccepted

T = TypeVar("T")

logger = logging.getLogger(__name__)


class Run(Protocol):
    """Runs a blocking call, one at a time, and returns what it returns."""

    def __call__(self, call: Callable[[], T], /) -> Awaitable[T]: ...


class Authority(Protocol):
    """Raises `Refusal` (503) where it can't be asked; cancelling any of its calls leaves nothing half done."""

    async def user_of(self, access_token: str) -> User | None:
        """Whom the token stands for, as of at most a few seconds ago; None where it stands for nobody."""
        ...

    async def context_of_bearer(self, access_token: str) -> AccessContext | None:
        """Where the token's user belongs, asked for now; None where the token stands for nobody any more."""
        ...

    async def known_context(self, user: User) -> AccessContext | None:
        """Where the user belongs, as far as it is known without a bearer; None where that was never asked."""
        ...

    async def refresh(self, refresh_token: str, client_id: str) -> dict[str, object]:
        """New tokens for a refresh token (`protocol.md §4`).  Raises `Refusal` (401) where it is dead."""
        ...

    async def revoke(self, access_token: str) -> bool:
        """End the sign-in that the token belongs to, its refresh token included; False where it belongs to none."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class OwnAccounts:
    """The accounts beside the lineages: what commands put there.  clock: Unix seconds."""

    def __init__(self, accounts: Accounts, run: Run, clock: Callable[[], float]) -> None:
        self._accounts = accounts
        self._run = run
        self._clock = clock

    async def user_of(self, access_token: str) -> User | None:
        """As `Authority`."""
        now = self._clock()
        return await self._run(lambda: self._accounts.read(grants.bearer, access_token, now))

    async def context_of_bearer(self, access_token: str) -> AccessContext | None:
        """As `Authority`."""
        user = await self.user_of(access_token)
        return None if user is None else await self.known_context(user)

    async def known_context(self, user: User) -> AccessContext | None:
        """As `Authority`; never None."""
        return await self._run(lambda: self._accounts.read(context_of, user))

    async def refresh(self, refresh_token: str, client_id: str) -> dict[str, object]:
        """As `Authority`.  The refresh token is spent; see `grants.refresh` for a repeated request."""
        now = self._clock()
        tokens = await self._run(lambda: self._accounts.write(grants.refresh, refresh_token, now))
        if tokens is grants.NoTokens.REUSED:
            logger.warning("a refresh token was used a second time; the sign-in that it belonged to is revoked")
            raise unaccepted("this refresh token was used before, so its sign-in is revoked now: sign in again")
        if isinstance(tokens, grants.NoTokens):
            raise unaccepted("this refresh token is unknown, revoked or expired: sign in again")
        return {
            "access_token": tokens.access_token,
            "refresh_token": tokens.refresh_token,
            "token_type": "Bearer",
            "expires_in": max(0.0, tokens.expires_at - now),
            "refresh_expires_at": iso_time(tokens.refresh_expires_at),
        }

    async def revoke(self, access_token: str) -> bool:
        """As `Authority`."""
        return await self._run(lambda: self._accounts.write(grants.revoke_bearer, access_token))

    async def close(self) -> None:
        """As `Authority`."""
