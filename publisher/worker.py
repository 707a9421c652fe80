"""One process's work on one owned publish: the connections, the retry state and the clock that the engine runs with."""

import random
from collections.abc import Awaitable, Callable
from time import time

import anyio
import httpx2

from publisher.auth.choice import Choice
from publisher.engine import publish
from publisher.glaas.caller import Caller
from publisher.glaas.exchange import Exchange
from publisher.report import Reporter
from publisher.steps.run import OnDisk, Run, in_thread
from state.paths import StateFolder
from state.publish import OwnedPublish
from state.record import Progress

MOST_REQUESTS = 64
"""Requests under way at once, at the most; the limit in force adapts below it."""
PATIENCE_SECONDS = 300.0
"""How long a foreground publish waits for a registry that stays away, before it leaves the rest to `--resume`."""


async def work(
    owned: OwnedPublish,
    folder: StateFolder,
    *,
    report: Reporter,
    confirm: Callable[[Choice], Awaitable[bool]],
    stop: anyio.Event,
    patience: float = PATIENCE_SECONDS,
    clock: Callable[[], float] = time,
    rng: random.Random | None = None,
    transport: httpx2.AsyncBaseTransport | None = None,
    on_disk: OnDisk | None = None,
) -> Progress:
    """Drive an owned publish until it ends or can't go on now; returns where it stands (see `engine.publish`).

    stop: set it to end early and cleanly.  transport, rng, on_disk: for tests on virtual time; the defaults are the
    real network, an unpredictable jitter and a worker thread.
    """
    plan = owned.journal.plan()
    rng = rng or random.Random()
    async with Exchange(plan.registry, connections=MOST_REQUESTS, transport=transport) as exchange:
        caller = Caller(exchange, most_requests=MOST_REQUESTS, patience=patience, rng=rng, clock=clock, report=report)
        return await publish(
            Run(
                plan=plan,
                paths=owned.paths,
                journal=owned.journal,
                caller=caller,
                user_key=folder.user_key(),
                confirm=confirm,
                report=report,
                clock=clock,
                on_disk=on_disk or in_thread(),
                most_requests=MOST_REQUESTS,
                stop=stop,
            )
        )
