"""The resources that the daemon works with. Cheap to import, to keep an idle daemon small."""

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct, field

from roar_publisher.blocking import RunBlocking, one_at_a_time
from roar_publisher.daemon.installation import installed
from roar_publisher.daemon.stamps import Stamp
from roar_publisher.daemon.suspension import suspended_seconds
from roar_publisher.state.disk_space import has_room

if TYPE_CHECKING:
    import httpx2

    from roar_publisher.auth.keyring import Keyring
    from roar_publisher.daemon.verifying import Checks


class Feeder(Protocol):
    """Queues new publishes. `feed` runs in a thread; it returns whether it did something, and more may be due."""

    def start(self) -> None:
        """Let `feed` work, also after a `stop`: a daemon that could not restart itself goes on with the same feeder."""

    def feed(self) -> bool: ...
    def stop(self) -> None:
        """Let `feed` return soon, now and until the next `start`."""


class Dependencies(Struct, frozen=True, kw_only=True):
    """Real resources by default; tests on virtual time inject others.

    clock: Unix seconds. suspended_seconds: that the machine has been suspended so far. has_room: whether the disk of a
    folder has room to work. run_blocking: called for each publish. keyring: provides credentials; None for this user's.
    installed: identifies the release on the disk.
    feeder: where publishes come from that no other process queues. checks: what is verified again; None as configured.
    """

    clock: Callable[[], float] = time.time
    suspended_seconds: Callable[[], float] = suspended_seconds
    has_room: Callable[[Path], bool] = has_room
    installed: Callable[[], Stamp | None] = installed
    rng: random.Random = field(default_factory=random.Random)
    run_blocking: Callable[[], RunBlocking] = one_at_a_time
    keyring: "Callable[[], Keyring] | None" = None
    transport: "httpx2.AsyncBaseTransport | None" = None
    feeder: Feeder | None = None
    checks: "Checks | None" = None
