"""Opens the store of a destination (`addresses`), or describes it."""

import os
import secrets
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from roar_publisher.blocking import in_thread
from roar_publisher.net.budget import UploadBudget
from roar_publisher.net.certificates import TrustedCertificates
from roar_publisher.net.pace import Pace
from roar_publisher.report import Report, Reporter
from roar_publisher.state.errors import PublisherError
from roar_publisher.storage.addresses import WEB, Destination, parse_destination
from roar_publisher.storage.kinds import STORES
from roar_publisher.storage.readable import ReadableStore
from roar_publisher.storage.store import ObjectStore

if TYPE_CHECKING:
    from roar_publisher.storage.http import StoreConnection

CONNECTIONS = 32
"""Default maximum of concurrent requests to one store. A publish passes that of its limits (`--jobs`)."""
PATIENCE_SECONDS = 300.0
"""How long to wait for a store that is unreachable or throttles (503 SlowDown). After that, the rest is left to a
resume."""


def ignore_report(report: Report) -> None:
    """Ignore a report."""


async def open_store(
    url: str,
    environ: Mapping[str, str] = os.environ,
    *,
    owner: str = "",
    connections: int = CONNECTIONS,
    pace: Pace | None = None,
    budget: UploadBudget | None = None,
    report: Reporter = ignore_report,
    patience: float = PATIENCE_SECONDS,
) -> ObjectStore:
    """Return the store that `url` names. Use it as an async context manager. Does not connect yet.

    owner: distinguishes one publish from all others; with the same owner, a killed process's temporary files are found
    again.
    pace: the rate of network traffic; it does not limit a folder.
    budget: the upload limits that this process's uploads share.
    report: receives every wait for the network.
    patience: seconds without a reply after which a call fails.

    Raises UsageProblem for an invalid destination (`parse_destination`) or configuration.
    """
    address = await in_thread(parse_destination, url)
    if address.is_folder:
        from roar_publisher.storage.file import FileStore

        return FileStore(Path(address.path), owner or secrets.token_hex())
    kind = STORES[address.scheme]
    kind.require_extra()
    connect = partial(
        _connected, address, connections=connections, pace=pace, budget=budget, report=report, patience=patience
    )
    return await kind.open(address.bucket, address.path, environ, connect)


async def open_readable(
    place: str,
    environ: Mapping[str, str] = os.environ,
    *,
    connections: int = CONNECTIONS,
    budget: UploadBudget | None = None,
    report: Reporter = ignore_report,
    patience: float = PATIENCE_SECONDS,
) -> ReadableStore:
    """Return the store that has the objects of a place (`Destination.place`), for reading, as `open_store` does."""
    if place.startswith("/"):  # a folder of an address, whose name may be one that no destination has
        from roar_publisher.storage.file import FileStore

        return FileStore(Path(place), secrets.token_hex())
    if not place.startswith(f"{WEB}://"):
        return await open_store(
            place, environ, connections=connections, budget=budget, report=report, patience=patience
        )
    from roar_publisher.storage.https import HttpsStore

    address = Destination(WEB, place.removeprefix(f"{WEB}://"), "")
    connect = partial(
        _connected, address, connections=connections, pace=None, budget=budget, report=report, patience=patience
    )
    return HttpsStore(place, connect(TrustedCertificates.chosen(environ)))


def _connected(
    address: Destination,
    trust: TrustedCertificates,
    *,
    connections: int,
    pace: Pace | None,
    budget: UploadBudget | None,
    report: Reporter,
    patience: float,
) -> "StoreConnection":
    from roar_publisher.storage.http import StoreConnection

    return StoreConnection(
        connections=connections,
        trust=trust,
        pace=pace,
        budget=budget,
        gate_state=budget.gate_state(f"{address.scheme}://{address.bucket}") if budget else None,
        report=report,
        patience=patience,
    )


def describe_access(destination: str, environ: Mapping[str, str]) -> str:
    """Return the endpoint and the source of the credentials, according to this user's environment and profiles.

    Reads configuration files, but no secrets, and sends no request. The text also says if they cannot be determined.
    """
    address = parse_destination(destination)
    if address.is_folder:
        return "a folder of this machine"
    kind = STORES[address.scheme]
    try:
        kind.require_extra()
        return kind.describe_access(address.bucket, environ)
    except PublisherError as problem:
        return f"not accessible from here: {problem.what}"
