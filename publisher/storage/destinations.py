"""Opens the store of a destination (`addresses`)."""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from anyio import to_thread

from roar_publisher.extras import require
from roar_publisher.net.budget import UploadBudget
from roar_publisher.net.certificates import Trust
from roar_publisher.net.pace import Pace
from roar_publisher.report import Report, Reporter
from roar_publisher.storage.addresses import Kind, parse_address
from roar_publisher.storage.store import ObjectStore

CONNECTIONS = 32
"""Default maximum of concurrent requests to one store (`--jobs`)."""
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
    share: UploadBudget | None = None,
    report: Reporter = ignore_report,
    patience: float = PATIENCE_SECONDS,
) -> ObjectStore:
    """Return the store that `url` names. Use it as an async context manager. Does not connect yet.

    owner: distinguishes one publish from all others; with the same owner, a killed process's temporary files are found
    again.
    pace: the rate of network traffic; it does not limit a folder.
    share: the upload limits that this process's uploads share.
    report: receives every wait for the network.
    patience: seconds without a reply after which a call fails.

    Raises UsageProblem for an invalid destination (`parse_address`) or configuration.
    """
    address = await to_thread.run_sync(parse_address, url)
    if address.kind is Kind.FOLDER:
        from roar_publisher.storage.file import FileStore

        return FileStore(Path(address.path), owner or secrets.token_hex())
    from roar_publisher.storage.http import Wire

    gate_state = share.gate_state(f"{address.kind.value}://{address.bucket}") if share else None

    def wire(trust: Trust) -> Wire:
        return Wire(
            connections=connections,
            trust=trust,
            pace=pace,
            budget=share,
            gate_state=gate_state,
            report=report,
            patience=patience,
        )

    if address.kind is Kind.S3:
        require("s3", "an s3:// destination")
        from roar_publisher.storage.s3 import S3Store
        from roar_publisher.storage.s3_account import open_account

        account = await open_account(address.bucket, environ)
        return S3Store(address.bucket, address.path, account, wire(account.trust))
    require("gcs", "a gs:// destination")
    from roar_publisher.storage.gcs import GcsStore
    from roar_publisher.storage.gcs_account import open_account as open_google

    google = open_google(environ)
    return GcsStore(address.bucket, address.path, google, wire(google.trust))
