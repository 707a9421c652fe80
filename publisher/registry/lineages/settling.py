"""The effect of a finalize on a lineage that is published already: its scope, and whether it becomes public."""

import sqlite3
from collections.abc import Mapping
from http import HTTPStatus

from roar_publisher.registry.accounts.scope import PUBLIC, Scope
from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.lineages.sessions import Session


def find_lineage(connection: sqlite3.Connection, lineage_hash: object) -> sqlite3.Row | None:
    """Return the row of a published lineage; None if the hash is not published."""
    row: sqlite3.Row | None = connection.execute("SELECT * FROM lineages WHERE hash = ?", (lineage_hash,)).fetchone()
    return row


def private_lineage(connection: sqlite3.Connection, session: Session) -> sqlite3.Row | None:
    """Return the lineage that a closed session published, if it is private; otherwise None."""
    known = None if session.receipt is None else find_lineage(connection, session.receipt["hash"])
    return None if known is None or known["visibility"] == PUBLIC else known


def settle(connection: sqlite3.Connection, known: sqlite3.Row, session: Session, scope: Scope) -> None:
    """Make a finalized lineage public, if the scope asks for that.

    A public lineage may have been read, so it stays public in its place regardless of the request, and the receipt says
    so. Raises `Refusal` (422), without changes, for another owner's lineage, and if a private lineage would move.
    """
    if known["owner"] != session.owner:
        detail = "another account has published this lineage"
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, detail)
    stands = Scope(known["visibility"], known["scope_owner"], known["scope_project"])
    if stands.visibility == PUBLIC:
        return
    if not stands.may_become(scope):
        place = "the own space of its publisher" if known["scope_owner"] is None else "a project"
        detail = f"this lineage is published already, as {known['visibility']} in {place}, and does not move"
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, detail)
    connection.execute("UPDATE lineages SET visibility = ? WHERE hash = ?", (scope.visibility, known["hash"]))


def visible_receipt(connection: sqlite3.Connection, receipt: Mapping[str, object]) -> dict[str, object]:
    """Return a receipt with the lineage's current visibility."""
    row = find_lineage(connection, receipt["hash"])
    return {**receipt, "visibility": None if row is None else row["visibility"]}
