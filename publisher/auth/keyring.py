"""The credentials of this user towards one registry: which are held, whom they name, and how they sign a request.

The choice among them is `decide`'s; this module only answers its questions and carries its answer out.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import anyio

from roar_publisher.auth.agent import Agent
from roar_publisher.auth.bearer import BearerStore, RefreshRefused
from roar_publisher.auth.choice import Credentials, Decision
from roar_publisher.auth.identity import ANONYMOUS, of_me, of_sign_in
from roar_publisher.auth.secret import Secret
from roar_publisher.auth.signin import Document, SignIn, Standing
from roar_publisher.auth.sshkey import Ask, SshSigner, find_key, load_signer
from roar_publisher.auth.timestamps import Timestamps
from roar_publisher.glaas.caller import Authorizer, Caller, Refused
from roar_publisher.glaas.policy import dump
from roar_publisher.glaas.wire import MeReply, RefreshReply
from roar_publisher.state.errors import NeedsPerson, Transient

ME = "/api/v1/auth/me"
REFRESH = "/api/v1/auth/refresh"
UNAUTHORIZED = 401
RENEWAL_SECONDS = 30.0
"""How long a token that is due but still works may be kept waiting for its renewal."""
RENEW_AGAIN_SECONDS = 60.0
"""How long it is used as it is where that came to nothing."""


class Keyring:
    """Made once a run.  Credentials that died during the run stay dead; besides, it is remembered whom they name.

    ask: how to get a passphrase; None where there is nobody to ask.  clock: Unix seconds.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        home: Path,
        *,
        configured_key: str = "",
        ask: Ask | None = None,
        clock: Callable[[], float],
    ) -> None:
        self._bearer = BearerStore.from_environment(environ, home)
        self._places = (environ, configured_key, home)
        self._agent = Agent.from_environment(environ)
        self._ask = ask
        self._clock = clock
        self._bearer_died = ""  # why, once it did
        self._signer: SshSigner | None = None
        self._key_names: str | None = None  # as the registry said; None once it turned the key down
        self._token_names: tuple[Secret, str] | None = None  # an access token, as the registry said
        self._timestamps = Timestamps()
        self._one_at_a_time = anyio.Lock()
        self._renewing = anyio.Lock()
        self._renew_again_at = 0.0  # Unix seconds
        self._no_signer = ""  # why an SSH key that exists can't sign

    @property
    def unusable(self) -> str:
        """Why credentials that exist can't be used, as sentences; empty if there is nothing to say."""
        return " ".join(filter(None, [self._bearer_died, self._no_signer]))

    @property
    def mend(self) -> str:
        """What a person does about a bearer that is not accepted, where `roar login` does not help; else empty."""
        return self._bearer.mend

    async def held(self) -> Credentials:
        """Which credentials can sign now.  A key that is locked, with nobody to unlock it, cannot."""
        bearer, ssh = self._has_bearer(), await self._has_signer()
        return Credentials(bearer=bearer, ssh=ssh, lapsed=bool(self._bearer_died))

    def _has_bearer(self) -> bool:
        sign_in = self._bearer.current()
        if sign_in is not None and sign_in.standing(self._clock()) is Standing.EXPIRED:
            self._bearer_died = "The sign-in has expired and can't be renewed."
        return sign_in is not None and not self._bearer_died

    async def _has_signer(self) -> bool:
        if self._signer is None and not self._no_signer and (path := find_key(*self._places)):
            try:
                self._signer = await load_signer(path, agent=self._agent, ask=self._ask)
            except NeedsPerson as problem:
                self._no_signer = problem.what
        return self._signer is not None

    async def identity(self, decision: Decision, caller: Caller) -> str:
        """Whom a decision publishes as (protocol.md §6).

        Asks `/auth/me` where this machine does not know.  Raises Refused (401) where the registry does not know either,
        and for a sign-in that is due, is not renewed, and so gives way to the key at hand.
        """
        if decision not in (Decision.BEARER, Decision.SSH):
            return ANONYMOUS
        if decision is Decision.BEARER:
            await self._renew_while_there_is_a_choice(caller)
        sign_in = self._bearer.current() if decision is Decision.BEARER else None
        known = self._key_names if decision is Decision.SSH else self._names(sign_in)
        if known is None:
            me = await caller.call("GET", ME, expect=MeReply, authorize=self.authorizer(decision, caller))
            known = of_me(me.model_dump())
        if known is None:
            raise Refused("the registry does not say who this credential belongs to", status=UNAUTHORIZED)
        if decision is Decision.SSH:
            self._key_names = known
        elif sign_in is not None:
            self._token_names = (sign_in.access_token, known)
        return known

    def _names(self, sign_in: SignIn | None) -> str | None:
        """Whom a sign-in names, by what it says itself or the registry said of its token; None: not known."""
        if sign_in is None:
            return None
        token, name = self._token_names or (None, None)
        return of_sign_in(sign_in) or (name if sign_in.access_token == token else None)

    def authorizer(self, decision: Decision, caller: Caller, identity: str | None = None) -> Authorizer:
        """What signs the requests of an authenticated publish.

        identity: whom the publish began as; a bearer that names somebody else by now is not used.
        """
        if decision is Decision.SSH:
            return _SshAuthorizer(self, self._timestamps, self._clock)
        return _BearerAuthorizer(self, caller, identity)

    async def signer(self) -> SshSigner:
        """The key, also in a process that goes on with what another one began.

        Raises Refused (401) where there is none that can sign.
        """
        if self._signer is None:
            async with self._one_at_a_time:  # a passphrase is asked for once
                await self._has_signer()
        if self._signer is None:
            raise Refused(self._no_signer or "there is no SSH key any more", status=UNAUTHORIZED)
        return self._signer

    @property
    def key_accepted(self) -> bool:
        """Whether the registry has told whose the key is, and has not turned it down since: no need to probe it."""
        return self._key_names is not None

    def turned_down(self) -> None:
        """The registry does not accept the key: whom it names is asked for again."""
        self._key_names = None

    async def _renew_while_there_is_a_choice(self, caller: Caller) -> None:
        """Renew a sign-in that is due where a key could take its place: once a publish names somebody, it is too late.

        A registry that can't be asked now is asked again with the first request: a plan is made without a network, too.
        Raises Refused where the registry does not renew it.
        """
        sign_in = self._bearer.current()
        if sign_in is None or sign_in.standing(self._clock()) is not Standing.DUE or not await self._has_signer():
            return
        with suppress(Transient):
            if await self._renewed(sign_in, caller) is None:
                raise Refused(self._bearer_died, status=UNAUTHORIZED)

    # ---------------------------------------------------------------- the bearer, for its authorizer

    async def bearer_header(self, caller: Caller, identity: str | None) -> str:
        """The header of a request sent now, refreshed first where it is due.

        Raises Refused (401) when there is no bearer any more, NeedsPerson when somebody else has signed in.
        """
        sign_in = self._bearer.current()
        if sign_in is not None and sign_in.standing(self._clock()) is Standing.DUE:
            sign_in = await self._renewed(sign_in, caller) or sign_in
        if sign_in is None or sign_in.standing(self._clock()) is Standing.EXPIRED:
            raise Refused(self._bearer_died or "nobody is signed in any more", status=UNAUTHORIZED)
        if identity is not None and of_sign_in(sign_in) not in (None, identity):
            raise NeedsPerson(
                "somebody else has signed in on this machine meanwhile",
                next_step="sign in as before (`roar login`), then resume",
                reason="auth",
            )
        return f"Bearer {sign_in.access_token.reveal()}"

    async def _renewed(self, due: SignIn, caller: Caller) -> SignIn | None:
        """A sign-in for one that is due: the same where the registry can't renew it now and it still works.

        None where the registry does not renew it.  Raises Transient where it can't, and the old one works no more.
        """
        async with self._renewing:
            now = self._clock()
            left = due.expires_at - now if due.expires_at is not None else 0.0
            if left <= 0:
                return await self._refresh(due.access_token, caller)
            if now < self._renew_again_at:
                return due
            with suppress(Transient), anyio.move_on_after(min(left, RENEWAL_SECONDS)):
                return await self._refresh(due.access_token, caller)
            self._renew_again_at = self._clock() + RENEW_AGAIN_SECONDS
            return due

    async def renew_bearer(self, rejected: Secret, caller: Caller) -> bool:
        """Whether there is another bearer than `rejected`, asking the registry for one if need be."""
        return await self._refresh(rejected, caller) is not None

    async def _refresh(self, rejected: Secret, caller: Caller) -> SignIn | None:
        async def post(document: Document) -> Document:
            token = str(document["refresh_token"])
            body = dump(document)
            reply = await caller.call("POST", REFRESH, body, expect=RefreshReply, beside_limit=True, secret=token)
            return Document(reply.model_dump())

        outcome = await self._bearer.refresh(post, rejected, self._clock())
        if isinstance(outcome, RefreshRefused):
            self._bearer_died = f"{outcome.why[:1].upper()}{outcome.why[1:]}."
            return None
        return outcome


class _BearerAuthorizer:
    def __init__(self, keyring: Keyring, caller: Caller, identity: str | None) -> None:
        self._keyring = keyring
        self._caller = caller
        self._identity = identity

    async def header(self, method: str, path: str, body: bytes | None) -> str:
        return await self._keyring.bearer_header(self._caller, self._identity)

    async def renew(self, rejected: str) -> bool:
        return await self._keyring.renew_bearer(Secret(rejected.removeprefix("Bearer ")), self._caller)


class _SshAuthorizer:
    def __init__(self, keyring: Keyring, timestamps: Timestamps, clock: Callable[[], float]) -> None:
        self._keyring = keyring
        self._timestamps = timestamps
        self._clock = clock

    async def header(self, method: str, path: str, body: bytes | None) -> str:
        signer = await self._keyring.signer()
        second = self._timestamps.for_request(method, path, body, int(self._clock()))
        return await signer.sign(method, path, body, second)

    async def renew(self, rejected: str) -> bool:
        self._keyring.turned_down()
        return False
