"""What every step is given: one process's work on one publish."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio

from roar_publisher.auth.choice import Choice
from roar_publisher.auth.keyring import Keyring
from roar_publisher.disk import OnDisk
from roar_publisher.glaas.caller import Caller
from roar_publisher.net.budget import Share
from roar_publisher.report import Reporter
from roar_publisher.state.journal import Journal
from roar_publisher.state.machine import Event
from roar_publisher.state.paths import PublishPaths
from roar_publisher.state.record import Learned, Plan

SIGNATURE_HOST = "ssh_signature_host"
"""Among the capabilities in the journal: whether the registry checks which host an SSH signature names."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step found out: the event, and what the journal should keep of it."""

    event: Event
    learned: Learned


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One process's work on one publish.  The process owns the publish for as long as this exists.

    confirm: asks a person whether a publish that names nobody may go out; whoever agreed is not asked again.
    user_key: makes this user's session ids unguessable.  clock: Unix seconds.  most_requests, most_uploads: under way
    at once, to the registry and to an object store.
    upload_rate: bytes a second to an object store, None for as many as go.  share: of uploads, with the other publishes
    of this process.  patience: seconds to wait for a server that stays away.  stop: set when the process should finish
    what is under way and end.  attended: a person runs this process, so that a stop is that person's word: the publish
    waits for them, and no daemon goes on with it.
    """

    plan: Plan
    paths: PublishPaths
    journal: Journal
    caller: Caller
    keyring: Keyring
    user_key: bytes
    confirm: Callable[[Choice], Awaitable[bool]]
    report: Reporter
    clock: Callable[[], float]
    on_disk: OnDisk
    most_requests: int
    most_uploads: int
    upload_rate: int | None
    share: Share | None
    patience: float
    stop: anyio.Event
    attended: bool = False


Step = Callable[[Run], Awaitable[Outcome]]
