"""The context that every step receives: one process's work on one publish."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio

from roar_publisher.auth.choice import Choice
from roar_publisher.auth.keyring import Keyring
from roar_publisher.engine.journal import AsyncFiles, AsyncJournal
from roar_publisher.glaas.caller import Caller
from roar_publisher.net.budget import UploadBudget
from roar_publisher.report import Reporter
from roar_publisher.state.limits import TransferLimits
from roar_publisher.state.machine import Event
from roar_publisher.state.record import Learned, Plan, Progress

SIGNATURE_HOST = "ssh_signature_host"
"""Key in the journal's capabilities: whether the registry checks the host that an SSH signature names."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a step: the event, and the values that the journal stores with it."""

    event: Event
    learned: Learned


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One process's work on one publish. The process owns the publish for the lifetime of this object.

    confirm: asks the user whether a publish without a credential may proceed; not called again after a yes.
    user_key: makes this user's session ids unguessable.
    clock: Unix seconds.
    limits: what the user allows this publish. share: the upload limits that this process's publishes share.
    patience: seconds to wait for an unreachable server.
    stop: set when the process should finish the requests in flight and end.
    attended: the user runs this process, so a stop parks the publish until the user resumes it; no daemon continues it.
    """

    plan: Plan
    journal: AsyncJournal
    files: AsyncFiles
    caller: Caller
    keyring: Keyring
    user_key: bytes
    confirm: Callable[[Choice], Awaitable[bool]]
    report: Reporter
    clock: Callable[[], float]
    limits: TransferLimits
    share: UploadBudget | None
    patience: float
    stop: anyio.Event
    attended: bool = False

    @property
    def most_requests(self) -> int:
        return self.limits.requests


Step = Callable[[Run, Progress], Awaitable[Outcome]]
"""Does the work of a state. It gets the progress as the last checkpoint left it."""
