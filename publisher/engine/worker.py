"""One process's work on one owned publish: sets up what the engine needs, and drives the publish."""

from contextlib import nullcontext

import anyio
from msgspec.structs import replace

from roar_publisher.auth.identity_cache import IdentityCache
from roar_publisher.auth.keyring import Keyring
from roar_publisher.engine.credentials import user_keyring
from roar_publisher.engine.journal import AsyncFiles, AsyncJournal
from roar_publisher.engine.loop import publish
from roar_publisher.engine.run import GZIP_BODIES, SIGNATURE_HOST, Frontend, Resources, Run
from roar_publisher.engine.waits import WaitRecorder
from roar_publisher.glaas.client import RegistryClient
from roar_publisher.net.connection import RegistryConnection
from roar_publisher.report import Reporter
from roar_publisher.state.limits import TransferLimits
from roar_publisher.state.machine import State
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.publish import OwnedPublish
from roar_publisher.state.record import Progress


async def work(
    owned: OwnedPublish,
    folder: StateFolder,
    frontend: Frontend,
    *,
    stop: anyio.Event,
    keyring: Keyring | None = None,
    resources: Resources | None = None,
) -> Progress:
    """Drive an owned publish until it ends or cannot continue now, and return its progress (see `engine.loop.publish`).

    Its transfer limits are those that the journal's queue row holds.

    stop: set it to end early and cleanly.
    keyring: holds the credentials; the default is this user's, without a passphrase prompt.

    Raises NeedsUser before anything is sent if this user has not accepted the registry (`auth.send_policy`), and what
    `engine.loop.publish` raises. Repeating and cancelling it do what they do there.
    """
    resources = resources or Resources()
    run_blocking, clock = resources.run_blocking, resources.clock
    journal = AsyncJournal(owned.journal, run_blocking)
    waits = WaitRecorder(journal, frontend.report)
    plan, limits = await journal.plan(), (await journal.queue.read()).limits
    if keyring is None:
        keyring = await run_blocking(user_keyring, plan.registry, plan.intent, report=waits.report, clock=clock)
    await run_blocking(keyring.policy.check, plan.id)
    async with (
        nullcontext(resources.connection)
        if resources.connection
        else _connection(plan.registry, limits, resources) as connection,
        waits.recorded(),
    ):
        await journal.start()
        progress = await journal.progress()
        probed = progress.state is not State.PROBE  # an earlier process has found a registry there
        client = _client(connection, resources, waits.report, stop, recognised=probed)
        if probed:
            _recall(progress, keyring, client)
        run = Run(
            plan=plan,
            limits=limits,
            journal=journal,
            files=AsyncFiles(owned.paths, run_blocking),
            client=client,
            keyring=keyring,
            user_key=await run_blocking(folder.user_key),
            key_owners=IdentityCache(folder.identities),
            frontend=replace(frontend, report=waits.report),
            resources=resources,
            stop=stop,
        )
        async with client.reporting_silence():
            return await publish(run, progress)


def _connection(registry: str, limits: TransferLimits, resources: Resources) -> RegistryConnection:
    early = resources.early_health
    return RegistryConnection(
        registry, most_requests=limits.requests, transport=resources.transport, route=early.route if early else None
    )


def _client(
    connection: RegistryConnection, resources: Resources, report: Reporter, stop: anyio.Event, *, recognised: bool
) -> RegistryClient:
    return RegistryClient(
        connection,
        patience=resources.patience,
        rng=resources.rng,
        clock=resources.clock,
        report=report,
        stop=stop,
        recognised=recognised,
    )


def _recall(progress: Progress, keyring: Keyring, client: RegistryClient) -> None:
    """Tell the parts that depend on the registry's features what an earlier process learned."""
    keyring.signed_form.recall(bool(progress.capabilities.get(SIGNATURE_HOST)))
    client.compression.learn(accepted=bool(progress.capabilities.get(GZIP_BODIES)))
