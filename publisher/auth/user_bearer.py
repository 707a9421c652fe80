"""The user's bearer during one run: whether it is usable, and its renewal, which any number of requests share."""

from collections.abc import Callable
from contextlib import suppress

import anyio

from roar_publisher.auth.bearer_store import BearerStore, RefreshRefused
from roar_publisher.auth.identity import identity_of_sign_in
from roar_publisher.auth.secret import Secret
from roar_publisher.auth.send_policy import Denied, SendPolicy
from roar_publisher.auth.signin import Document, SignIn, TokenState
from roar_publisher.blocking import RunBlocking
from roar_publisher.glaas.client import Refused, RegistryClient
from roar_publisher.glaas.protocol import API_ROOT
from roar_publisher.glaas.replies import RefreshReply
from roar_publisher.net.documents import dump
from roar_publisher.state.errors import LocalProblem, NeedsUser, Transient
from roar_publisher.state.reasons import Reason

REFRESH = f"{API_ROOT}/auth/refresh"
UNAUTHORIZED = 401
RENEWAL_SECONDS = 30.0
"""How long a request with a due but valid token may wait for its renewal."""
RENEW_AGAIN_SECONDS = 60.0
"""How long the token is used as it is after a renewal. One that failed is then tried again; one that succeeded may have
given a token that is due from the start, because it lives no longer than the leeway, or because this machine's clock is
ahead."""


class UserBearer:
    """One run's bearer. A bearer that was rejected during the run stays rejected.

    policy: what may be sent to the registry.
    clock: Unix seconds.
    run_blocking: reads the files.
    why_unusable: why it is not or no longer used, as a sentence; empty while it may be used.
    remedy: what the user can do about that, unless it is to sign in again.
    """

    def __init__(
        self, store: BearerStore, policy: SendPolicy, clock: Callable[[], float], run_blocking: RunBlocking
    ) -> None:
        self.why_unusable = ""
        self.remedy = ""
        self._store = store
        self._policy = policy
        self._clock = clock
        self._run_blocking = run_blocking
        self._renewing = anyio.Lock()
        self._renew_again_at = 0.0  # Unix seconds

    async def usable(self) -> bool:
        """Return whether this registry issued the bearer, and it is valid or can be refreshed.

        Raises NeedsUser if the sign-in is unreadable.
        """
        sign_in = await self._sign_in()
        if sign_in is not None and sign_in.token_state(self._clock()) is TokenState.EXPIRED:
            self.why_unusable = "The sign-in has expired and cannot be renewed."
        return sign_in is not None and not self.why_unusable

    async def due(self) -> SignIn | None:
        """Return the sign-in if it must be refreshed before use, otherwise None."""
        sign_in = await self._sign_in()
        return sign_in if sign_in is not None and sign_in.token_state(self._clock()) is TokenState.DUE else None

    async def header(self, client: RegistryClient, identity: str | None) -> str:
        """Return the header of a request sent now. Refreshes the bearer first if it is due.

        identity: the one that the publish began with.
        Raises Refused (401) if there is no longer a bearer, NeedsUser if another user has signed in.
        """
        self._check_origin(client)
        sign_in = await self._sign_in()
        if sign_in is not None and sign_in.token_state(self._clock()) is TokenState.DUE:
            sign_in = await self.renew_due(sign_in, client) or sign_in
        if sign_in is None or sign_in.token_state(self._clock()) is TokenState.EXPIRED:
            raise Refused(self.why_unusable or "you are no longer signed in", status=UNAUTHORIZED)
        if identity is not None and identity_of_sign_in(sign_in) not in (None, identity):
            raise NeedsUser(
                "a different user has signed in on this machine in the meantime",
                next_step="sign in as before (`roar login`)",
                reason=Reason.AUTH,
            )
        return f"Bearer {sign_in.access_token.reveal()}"

    async def renew_due(self, due: SignIn, client: RegistryClient) -> SignIn | None:
        """Return a renewed sign-in for a due one; the present one if it was renewed just now, or if the registry cannot
        renew it now and it still works.

        Returns None if the registry does not renew it. Raises Transient if it cannot now and the old one has expired.
        """
        async with self._renewing:
            if self._clock() < self._renew_again_at:
                return await self._sign_in()
            left = self._lifetime(due)
            if left <= 0:
                return await self._renew_due(due, client)
            with suppress(Transient), anyio.move_on_after(min(left, RENEWAL_SECONDS)):
                return await self._renew_due(due, client)
            self._renew_again_at = self._clock() + min(RENEW_AGAIN_SECONDS, self._lifetime(due))
            return due

    async def _renew_due(self, due: SignIn, client: RegistryClient) -> SignIn | None:
        """Renew a due sign-in, and use the new one for up to half of its lifetime before it can be due, too."""
        renewed = await self._refresh(due.access_token, client)
        if renewed is not None:
            half = self._lifetime(renewed) / 2
            self._renew_again_at = self._clock() + (min(RENEW_AGAIN_SECONDS, half) if half > 0 else RENEW_AGAIN_SECONDS)
        return renewed

    def _lifetime(self, sign_in: SignIn) -> float:
        """Return for how many more seconds a sign-in is valid by this machine's clock; 0 if that is not known."""
        return sign_in.expires_at - self._clock() if sign_in.expires_at is not None else 0.0

    async def renew(self, rejected: Secret, client: RegistryClient) -> bool:
        """Return whether there is a bearer other than `rejected`. Asks the registry for one if needed."""
        return await self._refresh(rejected, client) is not None

    async def _sign_in(self) -> SignIn | None:
        """Return the sign-in if it may be sent to this registry. Otherwise set `why_unusable` and return None."""
        sign_in, denied = await self._run_blocking(self._read)
        if denied is not None:
            self.why_unusable, self.remedy = denied.why, denied.remedy
            return None
        return sign_in

    def _read(self) -> tuple[SignIn | None, Denied | None]:
        """Return the sign-in and why it must not be sent; record who issued it if it may be. Blocking."""
        sign_in = self._store.current()
        if sign_in is None:
            return None, None
        if self._store.fixed:
            return sign_in, self._policy.why_token_denied()
        denied = self._policy.why_sign_in_denied(sign_in)
        if denied is None:
            self._policy.record_issuer(sign_in)
        return sign_in, denied

    def _check_origin(self, client: RegistryClient) -> None:
        """Raise LocalProblem if a bearer that was checked for one registry would be sent to another."""
        if not self._policy.applies_to(client.registry):
            raise LocalProblem(
                "a credential was about to be sent to a registry that it is not for", reason=Reason.DEFECT
            )

    async def _refresh(self, rejected: Secret, client: RegistryClient) -> SignIn | None:
        self._check_origin(client)
        if await self._sign_in() is None:
            return None
        answered = Secret("")

        async def post(document: Document) -> Document:
            nonlocal answered
            token = str(document["refresh_token"])
            body = dump(document)
            reply = await client.call("POST", REFRESH, body, expect=RefreshReply, without_slot=True, secret=token)
            answer = Document(reply.document)
            answered = Secret(str(answer.get("access_token", "")))
            return answer

        if not self._store.fixed:
            await client.wait_until_there()  # before the lock of `auth.json` is taken, for which `roar login` waits
        outcome = await self._store.refresh(post, rejected, self._clock())
        if isinstance(outcome, RefreshRefused):
            self.why_unusable = f"{outcome.why[:1].upper()}{outcome.why[1:]}."
            return None
        if outcome.access_token == answered:  # without a user, a sign-in is identified by its token, which is new
            await self._run_blocking(self._policy.record_issuer, outcome)
        return await self._sign_in()
