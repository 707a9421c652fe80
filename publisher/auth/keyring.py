"""This user's credentials for one registry: which exist, whose they are, and how they sign a request.

`decide` makes the choice. This module supplies its inputs and carries out its result.
"""

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path

from roar_publisher.auth.agent import Agent
from roar_publisher.auth.authorizers import BearerAuthorizer, SignedForm, SshAuthorizer
from roar_publisher.auth.bearer_store import BearerStore
from roar_publisher.auth.choice import Choice, Decision, Flag, HeldCredentials
from roar_publisher.auth.decide import lineage_names_owner, requests_anonymity
from roar_publisher.auth.identity import identity_of_key, identity_of_me, identity_of_sign_in
from roar_publisher.auth.receipt_keys import KnownReceiptKeys
from roar_publisher.auth.rejection import rejection_error
from roar_publisher.auth.scope import RepoScope
from roar_publisher.auth.secret import Secret
from roar_publisher.auth.send_policy import SendPolicy
from roar_publisher.auth.signin import LOG_IN, SignIn
from roar_publisher.auth.sshkey import AskPassphrase, SshSigner
from roar_publisher.auth.timestamps import Timestamps
from roar_publisher.auth.user_bearer import UserBearer
from roar_publisher.auth.user_key import UserKey
from roar_publisher.blocking import RunBlocking, in_thread
from roar_publisher.glaas.client import Authorizer, Refused, RegistryClient
from roar_publisher.glaas.protocol import ACCESS_CONTEXT, ANONYMOUS_IDENTITY, API_ROOT
from roar_publisher.glaas.replies import AnyReply, MeReply
from roar_publisher.state.errors import LocalProblem, NeedsUser, Transient, sentence
from roar_publisher.state.reasons import Reason

ME = f"{API_ROOT}/auth/me"
UNAUTHORIZED = 401


class Keyring:
    """One run's credentials. Credentials that were rejected during the run stay rejected; their identities are cached.

    policy: what may be sent to the registry.
    ask: asks the user for a passphrase; None if no user is present.
    clock: Unix seconds.
    notify: receives what the user should do while a request waits for its signature.
    run_blocking: reads the files.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        home: Path,
        policy: SendPolicy,
        *,
        configured_key: str = "",
        ask: AskPassphrase | None = None,
        clock: Callable[[], float],
        notify: Callable[[str], None] = lambda text: None,
        run_blocking: RunBlocking = in_thread,
    ) -> None:
        self.policy = policy
        self._store = BearerStore.from_environment(environ, home)
        self._bearer = UserBearer(self._store, policy, clock, run_blocking)
        agent = Agent.from_environment(environ, notify=notify)
        self._key = UserKey(environ, configured_key, home, agent=agent, ask=ask, run_blocking=run_blocking)
        self._clock = clock
        self._run_blocking = run_blocking
        self._key_owner: str | None = None  # as reported by the registry; None once it has rejected the key
        self._key_accepted = False
        self._token_owner: tuple[Secret, str] | None = None  # an access token, and whose it is by the registry
        self._timestamps = Timestamps()
        self.signed_form = SignedForm()
        self.receipt_keys = KnownReceiptKeys.from_environment(environ, home)

    @property
    def why_unusable(self) -> str:
        """Why existing credentials cannot be used, as sentences; empty if there is nothing to say."""
        key = self._key.problem
        return " ".join(filter(None, [self._bearer.why_unusable, sentence(key.what) if key else ""]))

    def stop_error(self, choice: Choice) -> NeedsUser:
        """Return the error for a STOP: which credential cannot be used, why, and what to do about it."""
        key = self._key.problem
        remedy = key.next_step if key else self._bearer.remedy
        problem = choice.problem(self.why_unusable, remedy, key.reason if key else Reason.AUTH)
        if not self._bearer.remedy:
            problem.next_step = self._store.remedy or problem.next_step
        return problem

    def rejection_error(self, refusal: Refused, decision: Decision) -> NeedsUser | LocalProblem:
        """Return the error for a credential that the registry rejected: which one, why, and what to do about it."""
        if decision is Decision.SSH:
            remedy = f"have the registry accept it, or name another key in ROAR_SSH_KEY, or {LOG_IN}"
            return rejection_error(refusal, self._clock(), str(self._key), remedy)
        return rejection_error(refusal, self._clock(), self._store.name, self._store.remedy or LOG_IN)

    async def available(self, flag: Flag, scope: RepoScope, *, may_ask: bool = True) -> HeldCredentials:
        """Return the credentials that can sign now for the flag and the scope.

        The key is checked only if no bearer signs. Nothing is checked for an anonymous publish. A token of
        `ROAR_ACCESS_TOKEN` is never replaced by a key.

        may_ask: whether the agent and the user may be asked; otherwise a key that they may unlock counts as usable.
        Raises NeedsUser if the sign-in is invalid.
        """
        if requests_anonymity(flag, scope):
            return HeldCredentials(bearer=False)
        try:
            bearer = await self._bearer.usable()
        except NeedsUser as problem:
            if lineage_names_owner(flag, scope):
                problem.next_step = f"{problem.next_step}, or rerun with --anonymous"
            raise
        if bearer or self._store.fixed:
            return HeldCredentials(bearer=bearer, bearer_unusable=bool(self._bearer.why_unusable))
        key = await (self._key.state() if may_ask else self._key.expected_state())
        return HeldCredentials(bearer=False, key=key, bearer_unusable=bool(self._bearer.why_unusable))

    async def identity(self, decision: Decision, client: RegistryClient, planned: Collection[str]) -> str:
        """Return the identity that a decision publishes as (protocol.md §6).

        planned: the identities that the plan was made for. If the key itself is one, its owner is not requested.
        Otherwise `/auth/me` is asked if this machine does not know the identity. A registry without that endpoint does
        not stop a key, which is then its own identity.

        Raises Refused (401) if the registry rejects the credential, and if a due sign-in is not renewed and therefore
        gives way to the available key.
        """
        if decision is Decision.SSH:
            by_key = identity_of_key((await self.signer()).keyid)
            return by_key if by_key in planned else await self._owner_of_key(client, by_key)
        if decision is not Decision.BEARER:
            return ANONYMOUS_IDENTITY
        await self._renew_if_replaceable(client)
        sign_in = await self._run_blocking(self._store.current)
        known = self._known_identity(sign_in)
        if known is None:
            known = await self._request_identity(decision, client)
        if known is None:
            raise Refused("the registry does not say who this credential belongs to", status=UNAUTHORIZED)
        if sign_in is not None:
            self._token_owner = (sign_in.access_token, known)
        return known

    async def _owner_of_key(self, client: RegistryClient, by_key: str) -> str:
        if self._key_owner is None:
            try:
                owner = await self._request_identity(Decision.SSH, client)
            except Refused as refusal:
                if refusal.status == UNAUTHORIZED:
                    raise
                owner = None
            if owner is not None:
                self.record_acceptance()
            self._key_owner = owner or by_key
        return self._key_owner

    async def _request_identity(self, decision: Decision, client: RegistryClient) -> str | None:
        me = await client.call("GET", ME, expect=MeReply, authorize=await self.authorizer(decision, client))
        return identity_of_me(me.document)

    def _known_identity(self, sign_in: SignIn | None) -> str | None:
        """Return the identity of a sign-in, from its fields or from the registry's reply for its token, or None."""
        if sign_in is None:
            return None
        token, name = self._token_owner or (None, None)
        return identity_of_sign_in(sign_in) or (name if sign_in.access_token == token else None)

    async def authorizer(self, decision: Decision, client: RegistryClient, identity: str | None = None) -> Authorizer:
        """Return the authorizer of an authenticated publish.

        identity: the one that the publish began with; a bearer that now belongs to another user is not used.
        """
        if decision is Decision.SSH:
            await self._run_blocking(self.policy.check)
            return SshAuthorizer(
                self.signer,
                self.signed_form,
                client,
                self._timestamps,
                self._clock,
                self.record_rejection,
            )
        return BearerAuthorizer(self._bearer, client, identity)

    async def signer(self) -> SshSigner:
        """Return the key's signer, also in a process that continues another one's publish.

        Raises NeedsUser if the key cannot sign, and Refused (401) if there is no longer a key.
        """
        signer = await self._key.signer()
        if signer is None:
            raise self._key.problem or Refused("there is no longer an SSH key", status=UNAUTHORIZED)
        return signer

    @property
    def key_accepted(self) -> bool:
        """Whether the registry has accepted the key and has not rejected it since, so that no probe is needed."""
        return self._key_accepted

    def record_acceptance(self) -> None:
        """Record that the registry accepts the key."""
        self._key_accepted = True
        self.signed_form.confirm()

    def record_rejection(self) -> None:
        """Record that the registry rejects the key, so that its owner is requested again."""
        self._key_owner = None
        self._key_accepted = False

    async def _renew_if_replaceable(self, client: RegistryClient) -> None:
        """Renew a due sign-in while a key could still replace it. Once a publish has an identity, it is too late.

        A registry that is unreachable now is asked again with the first request, because a plan can be made without a
        network. Raises Refused if the registry does not renew the sign-in.
        """
        due = await self._bearer.due()
        if due is None or not await self._key.signer():
            return
        with suppress(Transient):
            if await self._bearer.renew_due(due, client) is None:
                raise Refused(self._bearer.why_unusable, status=UNAUTHORIZED)

    async def send_access_context(self, client: RegistryClient) -> bool:
        """Let the registry learn the access context of the bearer's user (protocol.md §5). Return whether it did."""
        if not await self._bearer.usable():
            return False
        bearer = await self.authorizer(Decision.BEARER, client)
        try:
            await client.call("GET", ACCESS_CONTEXT, expect=AnyReply, authorize=bearer)
        except Refused:
            return False
        return True
