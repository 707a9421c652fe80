"""The effect of a finalize on a lineage that is published already: its scope, and whether it becomes public."""

from collections.abc import Mapping
from http import HTTPStatus

from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.store import lineages
from roar_publisher.registry.store.access import PUBLIC, LineageScope
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.lineages import Lineage
from roar_publisher.registry.store.sessions import Session


def private_lineage(connection: Connection, session: Session) -> Lineage | None:
    """Return the lineage that a closed session published, if it is private; otherwise None."""
    known = None if session.receipt is None else lineages.find(connection, session.receipt["hash"])
    return None if known is None or known.scope.visibility == PUBLIC else known


def settle(connection: Connection, known: Lineage, session: Session, scope: LineageScope) -> None:
    """Make a finalized lineage public, if the scope asks for that.

    A public lineage may have been read, so it stays public in its place regardless of the request, and the receipt says
    so. Raises `Refusal` (422), without changes, for another owner's lineage, and if a private lineage would move.
    """
    if known.owner != session.owner:
        detail = "another account has published this lineage"
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, detail)
    if known.scope.visibility == PUBLIC:
        return
    if not known.scope.may_become(scope):
        place = "its publisher's own space" if known.scope.owner_id is None else "a project"
        detail = f"this lineage is published already, as {known.scope.visibility} in {place}, and cannot move"
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, detail)
    if scope.visibility == PUBLIC:
        lineages.make_public(connection, known.hash)


def visible_receipt(connection: Connection, receipt: Mapping[str, object]) -> dict[str, object]:
    """Return a receipt with the lineage's current visibility."""
    lineage = lineages.find(connection, str(receipt["hash"]))
    return {**receipt, "visibility": None if lineage is None else lineage.scope.visibility}
