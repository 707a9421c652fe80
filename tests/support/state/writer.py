"""Processes that own a publish or write its journal, to be killed by a test. Run as `python writer.py MODE FOLDER`.

Each prints one line when it has got to where it will be killed, then waits for ever.
"""

import sys
from pathlib import Path

from roar_publisher.state.journal import Journal
from roar_publisher.state.lock import Lock


def hold_lock(folder: Path) -> None:
    Lock(folder / "lock").acquire()
    wait("locked")


def stop_inside_transaction(folder: Path) -> None:
    """Leave a hot journal: pages are in the database file, the commit is not."""
    journal = Journal(folder / "journal.db")
    connection = journal.db
    connection.execute("PRAGMA cache_size = 1")
    connection.execute("PRAGMA cache_spill = 1")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE progress SET state = 'done'")
    connection.execute("UPDATE units SET acked = 1, body = randomblob(20000)")
    wait("writing")


def make_key(folder: Path) -> None:
    from roar_publisher.state.paths import StateFolder

    wait("ready")
    sys.stdout.write(StateFolder(folder).user_key().hex() + "\n")


def wait(word: str) -> None:
    sys.stdout.write(word + "\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    mode, where = sys.argv[1:]
    {"lock": hold_lock, "transaction": stop_inside_transaction, "key": make_key}[mode](Path(where))
