"""The credentials of this user towards one registry: which are held, whom they name, and how they sign a request.

The choice among them is `decide`'s; this module only answers its questions and carries its answer out.
"""

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from roar_publisher.auth.agent import Agent
from roar_publisher.auth.authorizers import BearerAuthorizer, SignedHost, SignedPath, SshAuthorizer
from roar_publisher.auth.bearer import BearerStore
from roar_publisher.auth.choice import Choice, Credentials, Decision, Flag, Key
from roar_publisher.auth.decide import asks_for_nobody, names_its_owner
from roar_publisher.auth.identity import ANONYMOUS, of_key, of_me, of_sign_in
from roar_publisher.auth.own_bearer import OwnBearer
from roar_publisher.auth.own_key import KeyState, OwnKey
from roar_publisher.auth.reach import Reach
from roar_publisher.auth.scope import Scope
from roar_publisher.auth.secret import Secret
from roar_publisher.auth.signin import LOG_IN, SignIn
from roar_publisher.auth.sshkey import Ask, SshSigner
from roar_publisher.auth.timestamps import Timestamps
from roar_publisher.auth.turned_down import not_accepted
from roar_publisher.glaas.caller import Authorizer, Caller, Refused
from roar_publisher.glaas.replies import AnyReply, MeReply
from roar_publisher.state.errors import LocalProblem, NeedsPerson, Transient

ACCESS_CONTEXT = "/api/v1/auth/access-context"
ME = "/api/v1/auth/me"
UNAUTHORIZED = 401


class Keyring:
    """Made once a run.  Credentials that died during the run stay dead; besides, it is remembered whom they name.

    reach: what of it may be sent to the registry.  ask: how to get a passphrase; None where there is nobody to ask.
    clock: Unix seconds.  tell: hears what a person should do while a request waits to be signed.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        home: Path,
        reach: Reach,
        *,
        configured_key: str = "",
        ask: Ask | None = None,
        clock: Callable[[], float],
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.reach = reach
        self._store = BearerStore.from_environment(environ, home)
        self._bearer = OwnBearer(self._store, reach, clock)
        self._key = OwnKey(environ, configured_key, home, agent=Agent.from_environment(environ, tell=tell), ask=ask)
        self._clock = clock
        self._key_names: str | None = None  # as the registry said; None once it turned the key down
        self._key_accepted = False
        self._token_names: tuple[Secret, str] | None = None  # an access token, as the registry said
        self._timestamps = Timestamps()
        self._signed_path = SignedPath()
        self.signed_host = SignedHost()

    @property
    def unusable(self) -> str:
        """Why credentials that exist can't be used, as sentences; empty if there is nothing to say."""
        key = self._key.problem
        return " ".join(filter(None, [self._bearer.died, key.what if key else ""]))

    def stop(self, choice: Choice) -> NeedsPerson:
        """The error that a STOP is raised as: which credential can't be used, why, and what to do about it."""
        key = self._key.problem
        mend = key.next_step if key else self._bearer.mend
        problem = choice.problem(self.unusable, mend, key.reason if key else "auth")
        if not self._bearer.mend:
            problem.next_step = self._store.mend or problem.next_step
        return problem

    def not_accepted(self, refusal: Refused, decision: Decision) -> NeedsPerson | LocalProblem:
        """The error for a credential that the registry turned down: which, why, and what to do about it."""
        if decision is Decision.SSH:
            mend = f"have the registry accept it, or name another key in ROAR_SSH_KEY, or {LOG_IN}"
            return not_accepted(refusal, self._clock(), str(self._key), mend)
        return not_accepted(refusal, self._clock(), self._store.name, self._store.mend or LOG_IN)

    async def held(self, flag: Flag, scope: Scope, *, asking: bool = True) -> Credentials:
        """Which credentials can sign now what the flag and the scope ask for.

        The key is looked at where no bearer signs, and nothing is where nobody is to be named.  A token of
        `ROAR_ACCESS_TOKEN` is never replaced by a key.  asking: whether the agent, or a person, may be asked; else a
        key that they may unlock counts as usable.  Raises NeedsPerson for a sign-in that can't be understood.
        """
        if asks_for_nobody(flag, scope):
            return Credentials(bearer=False)
        try:
            bearer = self._bearer.usable()
        except NeedsPerson as problem:
            if names_its_owner(flag, scope):
                problem.next_step = f"{problem.next_step}, or rerun with --anonymous"
            raise
        if bearer or self._store.fixed:
            return Credentials(bearer=bearer, lapsed=bool(self._bearer.died))
        state = await self._key.state() if asking else self._key.expected_state()
        usable = Key.NAMED if self._key.named else Key.USUAL
        key = {KeyState.NONE: Key.NONE, KeyState.UNUSABLE: Key.UNUSABLE, KeyState.USABLE: usable}[state]
        return Credentials(bearer=False, key=key, lapsed=bool(self._bearer.died))

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
        sign_in = self._store.current()
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
            self.reach.check()
            return SshAuthorizer(
                self.signer,
                partial(self.signed_host.of, caller),
                caller.registry,
                self._signed_path,
                self._timestamps,
                self._clock,
                self.turned_down,
            )
        return BearerAuthorizer(self._bearer, caller, identity)

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
        due = self._bearer.due()
        if due is None or not await self._key.signer():
            return
        with suppress(Transient):
            if await self._bearer.renewed(due, caller) is None:
                raise Refused(self._bearer.died, status=UNAUTHORIZED)

    async def show_bearer(self, caller: Caller) -> bool:
        """Have the registry learn where the bearer's user belongs (protocol.md §5); False where it accepts none."""
        if not self._bearer.usable():
            return False
        bearer = self.authorizer(Decision.BEARER, caller)
        try:
            await caller.call("GET", ACCESS_CONTEXT, expect=AnyReply, authorize=bearer)
        except Refused:
            return False
        return True
