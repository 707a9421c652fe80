"""The credentials of this user towards one registry: which are held, whom they name, and how they sign a request.

The choice among them is `decide`'s; this module only answers its questions and carries its answer out.
"""

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path

import anyio

from roar_publisher.auth.agent import Agent
from roar_publisher.auth.authorizers import BearerAuthorizer, SignedPath, SshAuthorizer
from roar_publisher.auth.bearer import BearerStore, RefreshRefused
from roar_publisher.auth.choice import Choice, Credentials, Decision, Flag, Key
from roar_publisher.auth.decide import asks_for_nobody, names_its_owner
from roar_publisher.auth.identity import ANONYMOUS, of_key, of_me, of_sign_in
from roar_publisher.auth.own_key import KeyState, OwnKey
from roar_publisher.auth.scope import Scope
from roar_publisher.auth.secret import Secret
from roar_publisher.auth.signin import LOG_IN, Document, SignIn, Standing
from roar_publisher.auth.sshkey import Ask, SshSigner
from roar_publisher.auth.timestamps import Timestamps
from roar_publisher.auth.turned_down import not_accepted
from roar_publisher.glaas.caller import Authorizer, Caller, Refused
from roar_publisher.glaas.policy import dump
from roar_publisher.glaas.wire import AnyReply, MeReply, RefreshReply
from roar_publisher.state.errors import LocalProblem, NeedsPerson, Transient

ACCESS_CONTEXT = "/api/v1/auth/access-context"
ME = "/api/v1/auth/me"
REFRESH = "/api/v1/auth/refresh"
UNAUTHORIZED = 401
RENEWAL_SECONDS = 30.0
"""How long a token that is due but still works may be kept waiting for its renewal."""
RENEW_AGAIN_SECONDS = 60.0
"""How long it is used as it is where that came to nothing."""


class Keyring:
    """Made once a run.  Credentials that died during the run stay dead; besides, it is remembered whom they name.

    ask: how to get a passphrase; None where there is nobody to ask.  clock: Unix seconds.  tell: hears what a person
    should do while a request waits to be signed.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        home: Path,
        *,
        configured_key: str = "",
        ask: Ask | None = None,
        clock: Callable[[], float],
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._bearer = BearerStore.from_environment(environ, home)
        self._key = OwnKey(environ, configured_key, home, agent=Agent.from_environment(environ, tell=tell), ask=ask)
        self._clock = clock
        self._bearer_died = ""  # why, once it did
        self._key_names: str | None = None  # as the registry said; None once it turned the key down
        self._key_accepted = False
        self._token_names: tuple[Secret, str] | None = None  # an access token, as the registry said
        self._timestamps = Timestamps()
        self._signed_path = SignedPath()
        self._renewing = anyio.Lock()
        self._renew_again_at = 0.0  # Unix seconds

    @property
    def unusable(self) -> str:
        """Why credentials that exist can't be used, as sentences; empty if there is nothing to say."""
        key = self._key.problem
        return " ".join(filter(None, [self._bearer_died, key.what if key else ""]))

    def stop(self, choice: Choice) -> NeedsPerson:
        """The error that a STOP is raised as: which credential can't be used, why, and what to do about it."""
        key = self._key.problem
        problem = choice.problem(self.unusable, key.next_step if key else "", key.reason if key else "auth")
        problem.next_step = self._bearer.mend or problem.next_step
        return problem

    def not_accepted(self, refusal: Refused, decision: Decision) -> NeedsPerson | LocalProblem:
        """The error for a credential that the registry turned down: which, why, and what to do about it."""
        if decision is Decision.SSH:
            mend = f"have the registry accept it, or name another key in ROAR_SSH_KEY, or {LOG_IN}"
            return not_accepted(refusal, self._clock(), str(self._key), mend)
        return not_accepted(refusal, self._clock(), self._bearer.name, self._bearer.mend or LOG_IN)

    async def held(self, flag: Flag, scope: Scope, *, asking: bool = True) -> Credentials:
        """Which credentials can sign now what the flag and the scope ask for.

        The key is looked at where no bearer signs, and nothing is where nobody is to be named.  A token of
        `ROAR_ACCESS_TOKEN` is never replaced by a key.  asking: whether the agent, or a person, may be asked; else a
        key that they may unlock counts as usable.  Raises NeedsPerson for a sign-in that can't be understood.
        """
        if asks_for_nobody(flag, scope):
            return Credentials(bearer=False)
        try:
            bearer = self._has_bearer()
        except NeedsPerson as problem:
            if names_its_owner(flag, scope):
                problem.next_step = f"{problem.next_step}, or rerun with --anonymous"
            raise
        if bearer or self._bearer.fixed:
            return Credentials(bearer=bearer, lapsed=bool(self._bearer_died))
        state = await self._key.state() if asking else self._key.expected_state()
        usable = Key.NAMED if self._key.named else Key.USUAL
        key = {KeyState.NONE: Key.NONE, KeyState.UNUSABLE: Key.UNUSABLE, KeyState.USABLE: usable}[state]
        return Credentials(bearer=False, key=key, lapsed=bool(self._bearer_died))

    def _has_bearer(self) -> bool:
        sign_in = self._bearer.current()
        if sign_in is not None and sign_in.standing(self._clock()) is Standing.EXPIRED:
            self._bearer_died = "The sign-in has expired and can't be renewed."
        return sign_in is not None and not self._bearer_died

    async def identity(self, decision: Decision, caller: Caller, planned: Collection[str]) -> str:
        """Whom a decision publishes as (protocol.md §6).

        planned: whom the plan was made for.  Where that is the key itself, its owner is not asked for.  Else `/auth/me`
        is asked where this machine does not know; a registry without it does not stop a key, which then goes by itself.
        Raises Refused (401) where the registry turns the credential down, and for a sign-in that is due, is not
        renewed, and so gives way to the key at hand.
        """
        if decision is Decision.SSH:
            by_key = of_key((await self.signer()).keyid)
            return by_key if by_key in planned else await self._owner_of_key(caller, by_key)
        if decision is not Decision.BEARER:
            return ANONYMOUS
        await self._renew_while_there_is_a_choice(caller)
        sign_in = self._bearer.current()
        known = self._names(sign_in)
        if known is None:
            known = await self._ask_me(decision, caller)
        if known is None:
            raise Refused("the registry does not say who this credential belongs to", status=UNAUTHORIZED)
        if sign_in is not None:
            self._token_names = (sign_in.access_token, known)
        return known

    async def _owner_of_key(self, caller: Caller, by_key: str) -> str:
        if self._key_names is None:
            try:
                owner = await self._ask_me(Decision.SSH, caller)
            except Refused as refusal:
                if refusal.status == UNAUTHORIZED:
                    raise
                owner = None
            if owner is not None:
                self.accepted()
            self._key_names = owner or by_key
        return self._key_names

    async def _ask_me(self, decision: Decision, caller: Caller) -> str | None:
        me = await caller.call("GET", ME, expect=MeReply, authorize=self.authorizer(decision, caller))
        return of_me(me.model_dump())

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
            return SshAuthorizer(
                self.signer, caller.registry, self._signed_path, self._timestamps, self._clock, self.turned_down
            )
        return BearerAuthorizer(self, caller, identity)

    async def signer(self) -> SshSigner:
        """The key, also in a process that goes on with what another one began.

        Raises NeedsPerson where there is one that cannot sign, Refused (401) where there is none any more.
        """
        signer = await self._key.signer()
        if signer is None:
            raise self._key.problem or Refused("there is no SSH key any more", status=UNAUTHORIZED)
        return signer

    @property
    def key_accepted(self) -> bool:
        """Whether the registry has accepted the key, and has not turned it down since: no need to probe it."""
        return self._key_accepted

    def accepted(self) -> None:
        """The registry accepts the key."""
        self._key_accepted = True
        self._signed_path.settle()

    def turned_down(self) -> None:
        """The registry does not accept the key: whom it names is asked for again."""
        self._key_names = None
        self._key_accepted = False

    async def _renew_while_there_is_a_choice(self, caller: Caller) -> None:
        """Renew a sign-in that is due where a key could take its place: once a publish names somebody, it is too late.

        A registry that can't be asked now is asked again with the first request: a plan is made without a network, too.
        Raises Refused where the registry does not renew it.
        """
        sign_in = self._bearer.current()
        if sign_in is None or sign_in.standing(self._clock()) is not Standing.DUE or not await self._key.signer():
            return
        with suppress(Transient):
            if await self._renewed(sign_in, caller) is None:
                raise Refused(self._bearer_died, status=UNAUTHORIZED)

    async def show_bearer(self, caller: Caller) -> bool:
        """Have the registry learn where the bearer's user belongs (protocol.md §5); False where it accepts none."""
        if not self._has_bearer():
            return False
        try:
            await caller.call(
                "GET", ACCESS_CONTEXT, expect=AnyReply, authorize=self.authorizer(Decision.BEARER, caller)
            )
        except Refused:
            return False
        return True

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
