"""The context that every step receives: one process's work on one publish."""

import random
from collections.abc import Awaitable, Callable
from time import time

import anyio
import httpx2
from msgspec import Struct, field

from roar_publisher.auth.choice import Choice
from roar_publisher.auth.identity_cache import IdentityCache
from roar_publisher.auth.keyring import Keyring
from roar_publisher.blocking import RunBlocking, one_at_a_time
from roar_publisher.engine.journal import AsyncFiles, AsyncJournal
from roar_publisher.glaas.client import RegistryClient
from roar_publisher.net.budget import UploadBudget
from roar_publisher.net.connection import RegistryConnection
from roar_publisher.net.early import EarlyRequest
from roar_publisher.report import Reporter
from roar_publisher.state.limits import TransferLimits
from roar_publisher.state.machine import Event
from roar_publisher.state.record import Learned, Plan, Progress

PATIENCE_SECONDS = 300.0
"""How long a foreground publish waits for an unreachable server before it stops and leaves the rest to `--resume`."""

# Keys of `Progress.capabilities`. PROBE writes these, among them the fields of `RegistrationSessionFeatures`, by their
# names. `steps.not_found` adds one for each endpoint that the registry turns out to lack.
ANONYMOUS_SESSIONS = "anonymous_public"
"""Whether the registry opens sessions without a credential."""
SERVER_HASH = "finalize_server_authoritative_hash"
"""Whether it computes the hash of a lineage itself."""
EXPECTED_COUNTS = "finalize_expected_counts"
"""Whether finalize takes expected counts also for a session that a credential opened."""
LINKS_IN_BULK, LEGACY_LINKS_IN_BULK = "links_batch", "legacy_links_batch"
"""Whether a session, or the legacy path, takes the links of several jobs together."""
SIGNATURE_HOST = "ssh_signature_host"
"""Whether it checks the host that an SSH signature names."""
MAX_BODY_BYTES = "max_body_bytes"
"""The size up to which it reads a batch; absent if it does not say."""
GZIP_BODIES = "gzip_bodies"
"""Whether it reads compressed bodies."""
RECEIPTS = "receipts"
"""Whether it signs receipts."""


class Outcome(Struct, frozen=True):
    """The result of a step: the event, and the values that the journal stores with it."""

    event: Event
    learned: Learned


class Frontend(Struct, frozen=True, kw_only=True):
    """What a publish reports to, and the user whom it asks.

    confirm: asks the user whether a publish without a credential may proceed; not called again after a yes.
    attended: the user runs this process, so a stop parks the publish until the user resumes it; no daemon continues it.
    """

    report: Reporter
    confirm: Callable[[Choice], Awaitable[bool]]
    attended: bool = False


class Resources(Struct, frozen=True, kw_only=True):
    """The connections, time and threads of one publish. The defaults are real and its own; tests inject others.

    connection: to the registry, if this process's publishes share one. budget: the upload limits that they share.
    early_health: the request for the health of the plan's registry, if it was sent during the planning.
    transport: sends HTTP requests; None for the network. patience: seconds to wait for an unreachable server.
    clock: Unix seconds. rng: the jitter of waits. run_blocking: runs calls of the journal and the private files, one at
    a time.
    """

    connection: RegistryConnection | None = None
    early_health: EarlyRequest | None = None
    budget: UploadBudget | None = None
    transport: httpx2.AsyncBaseTransport | None = None
    patience: float = PATIENCE_SECONDS
    clock: Callable[[], float] = time
    rng: random.Random = field(default_factory=random.Random)
    run_blocking: RunBlocking = field(default_factory=one_at_a_time)


class Run(Struct, frozen=True, kw_only=True):
    """One process's work on one publish. The process owns the publish for the lifetime of this object.

    user_key: makes this user's session ids unguessable.
    key_owners: whose each SSH key is at each registry, which planning reads and a run corrects.
    stop: set when the process should finish the requests in flight and end.
    """

    plan: Plan
    limits: TransferLimits
    journal: AsyncJournal
    files: AsyncFiles
    client: RegistryClient
    keyring: Keyring
    user_key: bytes
    key_owners: IdentityCache
    frontend: Frontend
    resources: Resources
    stop: anyio.Event

    @property
    def report(self) -> Reporter:
        """What receives the reports of this run."""
        return self.frontend.report

    @property
    def clock(self) -> Callable[[], float]:
        """The current time in Unix seconds."""
        return self.resources.clock


Step = Callable[[Run, Progress], Awaitable[Outcome]]
"""Does the work of a state. It gets the progress as the last checkpoint left it."""
