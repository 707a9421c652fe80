"""When each publish of this machine was verified last, and which are due again.

The times are in the file of `inspection.record`. Losing it costs verifying everything once more.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from roar_publisher.fetching.published import published_here
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.reasons import Reason
from roar_publisher.state.rebuildable import open_rebuildable
from roar_publisher.state.status import JournalStatus

TABLE = """
CREATE TABLE IF NOT EXISTS checks (registry TEXT NOT NULL, hash TEXT NOT NULL, at REAL NOT NULL,
    exit_code INTEGER NOT NULL, PRIMARY KEY (registry, hash)) WITHOUT ROWID
"""


def due_again(folder: StateFolder, age: float, now: float) -> list[JournalStatus]:
    """Return the publishes that were published, and verified, at least `age` seconds ago; the longest ago first.

    Blocking. A time that lies ahead (the clock was set back) does not count.
    """
    last = _last_checks(folder)
    found = []
    for each in published_here(folder):
        times = [each.progress.updated_at, last.get((each.plan.registry, each.progress.hash or ""), 0.0)]
        since = max((time for time in times if time <= now), default=0.0)
        if now - since >= age:
            found.append((since, each.plan.id, each))
    return [each for _since, _id, each in sorted(found, key=lambda one: one[:2])]


def record_check(folder: StateFolder, found: JournalStatus, exit_code: int, now: float) -> None:
    """Record that a publish was verified, and with which result. Blocking."""
    row = (found.plan.registry, found.progress.hash, now, exit_code)
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
