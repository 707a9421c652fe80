"""From `s3://bucket/prefix`, `gs://bucket/prefix`, `file:///folder` or an absolute path to its store."""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from roar_publisher.extras import require
from roar_publisher.report import Report, Reporter
from roar_publisher.state.errors import UsageProblem
from roar_publisher.storage.pace import Pace
from roar_publisher.storage.share import Share
from roar_publisher.storage.store import ObjectStore

CONNECTIONS = 32
"""Requests to one store under way at once, unless the person says otherwise (`--jobs`)."""
PATIENCE_SECONDS = 300.0
"""How long a store that stays away, or asks for patience (503 SlowDown), gets it; the rest is left to a resume."""


def unheard(report: Report) -> None:
    """The Reporter of nobody."""


async def open_store(
    url: str,
    environ: Mapping[str, str] = os.environ,
    *,
    owner: str = "",
    connections: int = CONNECTIONS,
    pace: Pace | None = None,
    share: Share | None = None,
    report: Reporter = unheard,
    patience: float = PATIENCE_SECONDS,
) -> ObjectStore:
    """The store that `url` names; use it as an async context manager.  Connects to nobody yet.

    owner: tells one publish from all others; with the same one a killed process's temporaries are found again.
    pace: the rate of what goes over the network; a folder takes what the disk takes.  share: with the other uploads of
    this process.  report: hears of every wait for the network.  patience: seconds without an answer after which a call
    fails.

    Raises UsageProblem for what is no destination, or a configuration that makes no sense.
    """
    if url.startswith("/"):
        return _folder(url, owner)
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and parts.path.startswith("/"):
        return _folder(unquote(parts.path), owner)
    if parts.scheme not in ("s3", "gs") or not parts.netloc or parts.query or parts.fragment or "@" in parts.netloc:
        raise UsageProblem(
            "the destination is none that is known",
            next_step="s3://bucket/prefix, gs://bucket/prefix, file:///folder, or an absolute path",
        )
    from roar_publisher.storage.http import Wire

    prefix = parts.path.strip("/")
    door = share.door(f"{parts.scheme}://{parts.netloc}") if share else None
    wire = Wire(connections=connections, pace=pace, share=share, door=door, report=report, patience=patience)
    if parts.scheme == "s3":
        require("s3", "an s3:// destination")
        from roar_publisher.storage.s3 import S3Store
        from roar_publisher.storage.s3_account import open_account

        return S3Store(parts.netloc, prefix, await open_account(parts.netloc, environ), wire)
    require("gcs", "a gs:// destination")
    from roar_publisher.storage.gcs import GcsStore
    from roar_publisher.storage.gcs_account import open_account as open_google

    return GcsStore(parts.netloc, prefix, open_google(environ), wire)


def _folder(path: str, owner: str) -> ObjectStore:
    from roar_publisher.storage.file import FileStore

    return FileStore(Path(path), owner or secrets.token_hex())
