"""Find every identity that a publish may name; the lineage hash, and so the plan, depends on it (protocol.md §6)."""

import random
from contextlib import suppress
from time import time

from msgspec import Struct

from roar_publisher.auth.choice import Decision
from roar_publisher.auth.decide import lineage_names_owner, possible_decisions
from roar_publisher.auth.identity import identity_of_key
from roar_publisher.auth.identity_cache import IdentityCache
from roar_publisher.auth.keyring import Keyring
from roar_publisher.glaas.client import Refused, RegistryClient
from roar_publisher.glaas.protocol import ANONYMOUS_IDENTITY
from roar_publisher.lineage.targets import may_be_hash
from roar_publisher.net.connection import RegistryConnection
from roar_publisher.planning.plans import PublishRequest
from roar_publisher.report import Reporter
from roar_publisher.state.errors import Conclusion, LocalProblem, NeedsUser, Transient, sentence

PATIENCE_SECONDS = 300.0
"""Seconds to wait for a registry that is unreachable; one that never answered gets less (`net.gate`)."""


async def candidate_identities(
    request: PublishRequest,
    keyring: Keyring,
    *,
    report: Reporter,
    known: IdentityCache,
    ask_if_known: bool = True,
) -> list[str]:
    """Return every identity that `request` may be published as.

    Asks the registry only if the signer may be an SSH key whose owner the lineage names, or a token that does not name
    its user.

    known: the owners that this user's keys had before. They are used if the registry cannot be reached, and always
    without `ask_if_known`; AUTH_SELECT asks again, and stops if the owner was wrong.

    Raises Transient if the registry is needed and cannot be reached. Raises NeedsUser if it accepts none of the
    credentials and one is needed, or if this user has not accepted the registry.
    """
    keyring.policy.check()
    async with RegistryConnection(request.registry, most_requests=1) as connection:
        rng = random.Random()  # nosec B311  # jitter of waits, not a secret
        client = RegistryClient(connection, patience=PATIENCE_SECONDS, rng=rng, clock=time, report=report)
        async with client.reporting_silence():
            found = await _IdentityLookup(request, keyring, client, known, ask_if_known).identities()
    return list(dict.fromkeys([ANONYMOUS_IDENTITY, *found]))


class _IdentityLookup(Struct, frozen=True):
    request: PublishRequest
    keyring: Keyring
    client: RegistryClient
    known: IdentityCache
    ask_if_known: bool

    async def identities(self, rejection: NeedsUser | LocalProblem | None = None) -> list[str]:
        """Return the identities; `rejection` is the registry's answer about credentials that are no longer held."""
        flag, scope = self.request.flag, self.request.scope
        held = await self.keyring.available(flag, scope)
        identities = []
        for decision in sorted(possible_decisions(flag, scope, held)):
            try:
                identities += await self._identities(decision)
            except Refused as refusal:  # if other credentials are left, the table of AUTH_SELECT decides
                rejection = self.keyring.rejection_error(refusal, decision)
        if await self.keyring.available(flag, scope) != held:
            return await self.identities(rejection)
        if not identities and rejection is not None:
            problem = rejection
            problem.what = f"{sentence(problem.what)} {self.keyring.why_unusable}".strip()
            problem.kept = "Nothing was sent or kept."
            if isinstance(problem, LocalProblem):
                problem.conclusion = Conclusion.FAILED  # there is nothing to resume
            raise problem
        return identities

    async def _identities(self, decision: Decision) -> list[str]:
        if decision is not Decision.SSH:
            return [await self.keyring.identity(decision, self.client, ())]
        key = (await self.keyring.signer()).keyid
        if lineage_names_owner(self.request.flag, self.request.scope):
            return [await self._owner(key)]
        owners: list[str] = []
        if may_be_hash(self.request.target):  # such a hash always names the key's owner
            with suppress(Refused, Transient):
                owners.append(await self._owner(key))
        return [*owners, identity_of_key(key)]

    async def _owner(self, key: str) -> str:
        """Return the identity of the key's owner, from the registry or `known`.

        Returns the key's own identity if the registry names no owner. Raises Transient if the registry cannot be
        reached and the owner is not in `known`.
        """
        known = self.known.get(self.request.registry, key)
        if known is not None and not self.ask_if_known:
            return known
        try:
            identity = await self.keyring.identity(Decision.SSH, self.client, ())
        except Transient:
            if known is None:
                raise
            return known
        if identity not in (known, identity_of_key(key)):
            self.known.store(self.request.registry, key, identity)
        return identity
