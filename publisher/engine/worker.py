"""One process's work on one owned publish: sets up the connections, retry state and clock for the engine."""

import os
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from time import time
from typing import Any

import anyio
import httpx2

from roar_publisher.auth.choice import Choice
from roar_publisher.auth.keyring import Keyring
from roar_publisher.auth.send_policy import SendPolicy
from roar_publisher.auth.sshkey import AskPassphrase
from roar_publisher.auth.trust import TrustStore
from roar_publisher.blocking import RunBlocking, in_thread
from roar_publisher.engine.journal import AsyncFiles, AsyncJournal
from roar_publisher.engine.loop import publish
from roar_publisher.engine.run import SIGNATURE_HOST, Run
from roar_publisher.engine.waits import Waits
from roar_publisher.glaas.caller import Caller
from roar_publisher.lineage.project import DEFAULT_REGISTRY, user_registry
from roar_publisher.net.address import origin, origin_of
from roar_publisher.net.budget import UploadBudget
from roar_publisher.net.connection import RegistryConnection
from roar_publisher.report import Noted, Reporter
from roar_publisher.state.home import home_to_read
from roar_publisher.state.machine import State
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.publish import OwnedPublish
from roar_publisher.state.record import NAMED_BY, NAMED_BY_USER, Progress

PATIENCE_SECONDS = 300.0
"""How long a foreground publish waits for an unreachable registry before it stops and leaves the rest to `--resume`."""


def own_reach(registry: str, named_by: object) -> SendPolicy:
    """Return which of this user's credentials may be sent to a registry.

    named_by: a `NamedBy`, or the value that a journal holds in its place.
    Raises LocalProblem if the user's configuration cannot be read.
    """
    return SendPolicy(
        registry,
        named_by_user=named_by in NAMED_BY_USER or origin_of(os.environ.get("GLAAS_URL", "")) == origin(registry),
        configured=origin_of(user_registry(os.environ).url) or DEFAULT_REGISTRY,
        default=DEFAULT_REGISTRY,
        trust=TrustStore.from_environment(os.environ, home_to_read()),
    )


def own_keyring(
    registry: str,
    intent: Mapping[str, Any],
    *,
    ask: AskPassphrase | None = None,
    report: Reporter = lambda report: None,
    clock: Callable[[], float] = time,
) -> Keyring:
    """Return this user's credentials for a publish with that intent to a registry.

    ask: asks the user for a passphrase; None if no user is present.
    """
    return Keyring(
        os.environ,
        home_to_read(),
        own_reach(registry, intent.get(NAMED_BY, "")),
        configured_key=intent.get("ssh_key", ""),
        ask=ask,
        clock=clock,
        notify=lambda text: report(Noted(text)),
    )


async def work(
    owned: OwnedPublish,
    folder: StateFolder,
    *,
    report: Reporter,
    confirm: Callable[[Choice], Awaitable[bool]],
    stop: anyio.Event,
    line: RegistryConnection | None = None,
    keyring: Keyring | None = None,
    share: UploadBudget | None = None,
    patience: float = PATIENCE_SECONDS,
    clock: Callable[[], float] = time,
    rng: random.Random | None = None,
    transport: httpx2.AsyncBaseTransport | None = None,
    run_blocking: RunBlocking | None = None,
    attended: bool = False,
) -> Progress:
    """Drive an owned publish until it ends or cannot continue now, and return its progress (see `engine.loop.publish`).

    Its transfer limits are those that the journal's queue row holds.

    line, share: the registry connection and the upload limits, if this process's publishes share them; by default the
    publish gets its own.
    keyring: holds the credentials; the default is this user's, without a passphrase prompt.
    stop: set it to end early and cleanly.
    attended: as in `Run`.
    transport, rng, run_blocking: for tests on virtual time; the defaults are the real network, unpredictable jitter and
    a worker thread.

    Raises NeedsUser before anything is sent if this user has not accepted the registry (`auth.send_policy`).
    """
    run_blocking = run_blocking or in_thread()
    journal = AsyncJournal(owned.journal, run_blocking)
    waits = Waits(journal, report)
    plan, limits = await journal.plan(), (await journal.queue.read()).limits
    if keyring is None:
        keyring = await run_blocking(own_keyring, plan.registry, plan.intent, report=waits.report, clock=clock)
    await run_blocking(keyring.policy.check, plan.id)
    async with (
        nullcontext(line)
        if line
        else RegistryConnection(plan.registry, most_requests=limits.requests, transport=transport) as to_registry,
        waits.noted(),
    ):
        await journal.queue.begun()
        progress = await journal.progress()
        caller = Caller(
            to_registry,
            patience=patience,
            rng=rng or random.Random(),  # nosec B311  # jitter of waits, not a secret
            clock=clock,
            report=waits.report,
            stop=stop,
            recognised=progress.state is not State.PROBE,
        )
        if progress.state is not State.PROBE:
            keyring.signed_host.learn(progress.capabilities.get(SIGNATURE_HOST, False))
        async with caller.reporting_silence():
            return await publish(
                Run(
                    plan=plan,
                    journal=journal,
                    files=AsyncFiles(owned.paths, run_blocking),
                    caller=caller,
                    keyring=keyring,
                    user_key=await run_blocking(folder.user_key),
                    confirm=confirm,
                    report=waits.report,
                    clock=clock,
                    limits=limits,
                    share=share,
                    patience=patience,
                    stop=stop,
                    attended=attended,
                ),
                progress,
            )
