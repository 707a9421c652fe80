"""When each publish of this machine was verified last, and which are due again.

The times are in the file of `inspection.record`. Losing it costs verifying everything once more.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from msgspec import Struct

from roar_publisher.fetching.published import published_here
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.paths import PublishPaths, StateFolder
from roar_publisher.state.reasons import Reason
from roar_publisher.state.rebuildable import open_rebuildable

TABLE = """
CREATE TABLE IF NOT EXISTS checks (registry TEXT NOT NULL, hash TEXT NOT NULL, at REAL NOT NULL,
    exit_code INTEGER NOT NULL, PRIMARY KEY (registry, hash)) WITHOUT ROWID
"""


class DueCheck(Struct, frozen=True):
    """A publish to be verified. registry, hash: where it is published, and as which lineage."""

    paths: PublishPaths
    registry: str
    hash: str


def due_again(folder: StateFolder, age: float, now: float) -> list[DueCheck]:
    """Return the publishes that were published, and verified, at least `age` seconds ago; the longest ago first.

    Blocking, and reads every journal. A time that lies ahead (the clock was set back) does not count.
    """
    last = _last_checks(folder)
    found = []
    for each in published_here(folder):
        check = DueCheck(each.paths, each.plan.registry, each.progress.hash or "")
        times = [each.progress.updated_at, last.get((check.registry, check.hash), 0.0)]
        since = max((time for time in times if time <= now), default=0.0)
        if now - since >= age:
            found.append((since, each.plan.id, check))
    return [check for _since, _id, check in sorted(found, key=lambda one: one[:2])]


def still_due(folder: StateFolder, check: DueCheck, age: float, now: float) -> bool:
    """Return whether what `due_again` returned earlier was neither verified nor removed since. Blocking."""
    if not check.paths.journal.exists():
        return False
    if not os.path.lexists(folder.inspections):
        return True
    with _opened(folder.inspections) as connection:
        found = "SELECT 1 FROM checks WHERE registry = ? AND hash = ? AND at <= ? AND at > ?"
        return connection.execute(found, (check.registry, check.hash, now, now - age)).fetchone() is None


def record_check(folder: StateFolder, check: DueCheck, exit_code: int, now: float) -> None:
    """Record that a publish was verified, and with which result. Blocking."""
    row = (check.registry, check.hash, now, exit_code)
    with _opened(folder.inspections) as connection:
        connection.execute(
            "INSERT INTO checks VALUES (?, ?, ?, ?) ON CONFLICT (registry, hash) DO UPDATE SET at = excluded.at,"
            " exit_code = excluded.exit_code",
            row,
        )


def _last_checks(folder: StateFolder) -> dict[tuple[str, str], float]:
    if not os.path.lexists(folder.inspections):
        return {}
    with _opened(folder.inspections) as connection:
        rows = connection.execute("SELECT registry, hash, at FROM checks")
        return {(registry, lineage_hash): at for registry, lineage_hash, at in rows}


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        with closing(open_rebuildable(path, TABLE)) as connection:
            yield connection
    except (OSError, sqlite3.Error) as error:
        what = f"the record {path} cannot be used: {error}"
        raise LocalProblem(what, next_step=f"remove {path}", reason=Reason.JOURNAL) from error
