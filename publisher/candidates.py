"""Everybody that a publish may name: the lineage hash, and so the plan, depends on it (protocol.md §6)."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from time import time

import httpx2

from roar_publisher.auth.choice import Decision
from roar_publisher.auth.decide import possible_decisions
from roar_publisher.auth.identity import ANONYMOUS
from roar_publisher.auth.keyring import Keyring
from roar_publisher.auth.known import KnownKeys
from roar_publisher.auth.scope import Scope
from roar_publisher.auth.turned_down import not_accepted
from roar_publisher.glaas.caller import Caller, Refused
from roar_publisher.glaas.line import Line
from roar_publisher.plans import Request
from roar_publisher.report import Reporter
from roar_publisher.state.errors import Transient

PATIENCE_SECONDS = 300.0
"""How long a registry that stays away is waited for; one that never answered gets less (`glaas.gate`)."""


async def candidate_identities(
    request: Request,
    keyring: Keyring,
    *,
    report: Reporter,
    known: KnownKeys,
    ask_if_known: bool = True,
    clock: Callable[[], float] = time,
    transport: httpx2.AsyncBaseTransport | None = None,
) -> list[str]:
    """Everybody that `request` may be published as.

    Asks the registry only where an SSH key, or a token that names nobody, might sign.  known: whom the keys of this
    user named before; that is good enough where the registry can't be reached, and without `ask_if_known` always:
    AUTH_SELECT asks again, and stops where it was wrong.  Raises Transient if the registry is needed and can't be
    reached, NeedsPerson if it accepts none of the credentials and one is needed.
    """
    async with Line(request.registry, most_requests=1, transport=transport) as line:
        caller = Caller(line, patience=PATIENCE_SECONDS, rng=random.Random(), clock=clock, report=report)
        async with caller.reporting_silence():
            found = await _Asking(request, keyring, caller, known, ask_if_known, clock).identities()
    return [ANONYMOUS, *(identity for identity in found if identity != ANONYMOUS)]


@dataclass(frozen=True, slots=True)
class _Asking:
    request: Request
    keyring: Keyring
    caller: Caller
    known: KnownKeys
    ask_if_known: bool
    clock: Callable[[], float]

    async def identities(self, turned_down: Refused | None = None) -> list[str]:
        """turned_down: what the registry said to credentials that died of it."""
        held = await self.keyring.held()
        scope = Scope.from_config(self.request.project.config.table)
        identities = []
        for decision in sorted(possible_decisions(self.request.flag, scope, held)):
            try:
                identities.append(await self._identity(decision))
            except Refused as refusal:  # where something is left to publish with, the table of AUTH_SELECT decides
                turned_down = refusal
        if await self.keyring.held() != held:
            return await self.identities(turned_down)
        if not identities and turned_down is not None:
            problem = not_accepted(turned_down, self.clock(), self.keyring.mend)
            problem.what = f"{problem.what.rstrip('.')}. {self.keyring.unusable}".strip()
            problem.kept = "Nothing was sent, nothing was kept."
            raise problem
        return identities

    async def _identity(self, decision: Decision) -> str:
        if decision is not Decision.SSH:
            return await self.keyring.identity(decision, self.caller)
        key = (await self.keyring.signer()).keyid
        before = self.known.identity(self.request.registry, key)
        if before is not None and not self.ask_if_known:
            return before
        try:
            identity = await self.keyring.identity(decision, self.caller)
        except Transient:
            if before is None:
                raise
            return before
        if identity != before:
            self.known.note(self.request.registry, key, identity)
        return identity
