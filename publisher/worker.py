"""One process's work on one owned publish: the connections, the retry state and the clock that the engine runs with."""

import os
import random
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from time import time
from typing import Any

import anyio
import httpx2

from publisher.auth.choice import Choice
from publisher.auth.decide import possible_decisions
from publisher.auth.identity import ANONYMOUS
from publisher.auth.keyring import Keyring
from publisher.auth.scope import Scope
from publisher.auth.sshkey import Ask
from publisher.auth.turned_down import not_accepted
from publisher.engine import publish
from publisher.glaas.caller import Caller, Refused
from publisher.glaas.exchange import Exchange
from publisher.plans import Request
from publisher.report import Reporter
from publisher.run import OnDisk, Run, in_thread
from state.paths import StateFolder
from state.publish import OwnedPublish
from state.record import Progress

MOST_REQUESTS = 64
"""Requests under way at once, at the most; the limit in force adapts below it."""
MOST_UPLOADS = 16
"""Requests to an object store under way at once, unless the person says otherwise (`--jobs`)."""
PATIENCE_SECONDS = 300.0
"""How long a foreground publish waits for a registry that stays away, before it leaves the rest to `--resume`."""


def own_keyring(intent: Mapping[str, Any], *, ask: Ask | None = None, clock: Callable[[], float] = time) -> Keyring:
    """This user's credentials for a publish of that intent.  ask: gets a passphrase from a person, if there is one."""
    return Keyring(os.environ, Path.home(), configured_key=intent.get("ssh_key", ""), ask=ask, clock=clock)


async def candidate_identities(
    request: Request,
    keyring: Keyring,
    *,
    report: Reporter,
    clock: Callable[[], float] = time,
    transport: httpx2.AsyncBaseTransport | None = None,
) -> list[str]:
    """Everybody that `request` may be published as: the lineage hash, and so the plan, depends on it (protocol.md §6).

    Asks the registry only where an SSH key, or a token that names nobody, might sign.  Raises Transient if it is needed
    and can't be reached, NeedsPerson if it accepts none of the credentials and one is needed.
    """
    async with Exchange(request.registry, connections=1, transport=transport) as exchange:
        caller = Caller(
            exchange, most_requests=1, patience=PATIENCE_SECONDS, rng=random.Random(), clock=clock, report=report
        )
        found = await _identities(request, keyring, caller, clock)
    return [ANONYMOUS, *(identity for identity in found if identity != ANONYMOUS)]


async def _identities(
    request: Request, keyring: Keyring, caller: Caller, clock: Callable[[], float], turned_down: Refused | None = None
) -> list[str]:
    """As `candidate_identities`.  turned_down: what the registry said to credentials that died of it."""
    held = await keyring.held()
    identities = []
    for decision in sorted(possible_decisions(request.flag, Scope.from_config(request.project.config.table), held)):
        try:
            identities.append(await keyring.identity(decision, caller))
        except Refused as refusal:  # where something is left to publish with, the table of AUTH_SELECT decides
            turned_down = refusal
    if await keyring.held() != held:
        return await _identities(request, keyring, caller, clock, turned_down)
    if not identities and turned_down is not None:
        problem = not_accepted(turned_down, clock())
        problem.what = f"{problem.what.rstrip('.')}. {keyring.unusable}".strip()
        problem.kept = "Nothing was sent, nothing was kept."
        raise problem
    return identities


async def work(
    owned: OwnedPublish,
    folder: StateFolder,
    *,
    report: Reporter,
    confirm: Callable[[Choice], Awaitable[bool]],
    stop: anyio.Event,
    keyring: Keyring | None = None,
    most_uploads: int = MOST_UPLOADS,
    upload_rate: int | None = None,
    patience: float = PATIENCE_SECONDS,
    clock: Callable[[], float] = time,
    rng: random.Random | None = None,
    transport: httpx2.AsyncBaseTransport | None = None,
    on_disk: OnDisk | None = None,
) -> Progress:
    """Drive an owned publish until it ends or can't go on now; returns where it stands (see `engine.publish`).

    keyring: who signs; the default is this user's own, with nobody to ask for a passphrase.  stop: set it to end early
    and cleanly.  transport, rng, on_disk: for tests on virtual time; the defaults are the real network, an
    unpredictable jitter and a worker thread.
    """
    plan = owned.journal.plan()
    rng = rng or random.Random()
    keyring = keyring or own_keyring(plan.intent, clock=clock)
    async with Exchange(plan.registry, connections=MOST_REQUESTS, transport=transport) as exchange:
        caller = Caller(
            exchange, most_requests=MOST_REQUESTS, patience=patience, rng=rng, clock=clock, report=report, stop=stop
        )
        return await publish(
            Run(
                plan=plan,
                paths=owned.paths,
                journal=owned.journal,
                caller=caller,
                keyring=keyring,
                user_key=folder.user_key(),
                confirm=confirm,
                report=report,
                clock=clock,
                on_disk=on_disk or in_thread(),
                most_requests=MOST_REQUESTS,
                most_uploads=most_uploads,
                upload_rate=upload_rate,
                stop=stop,
            )
        )
