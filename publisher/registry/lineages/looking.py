"""What the page of a lineage shows: the lineage, some of its jobs, and a picture."""

from http import HTTPStatus

from msgspec import Struct

from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.lineages.neighbours import picture_around
from roar_publisher.registry.lineages.pictures import Picture, picture_of_group, picture_of_lineage
from roar_publisher.registry.lineages.reading import LineageView, lineage_by_prefix, lineage_view
from roar_publisher.registry.store.access import Reader
from roar_publisher.registry.store.database import Connection


class Place(Struct, frozen=True):
    """The place of a lineage that a picture is asked for: around a node, or a part of a group, or none."""

    node: str = ""
    group: int | None = None
    part: int = 1


class LookedAt(Struct, frozen=True):
    """A lineage with one page of its jobs, and a picture."""

    view: LineageView
    picture: Picture


def look_at_lineage(
    connection: Connection, lineage_hash: str, reader: Reader, place: Place, *, offset: int, limit: int
) -> LookedAt:
    """Return a lineage with up to `limit` jobs from `offset` on.

    Raises `Refusal` as `lineage_by_prefix` and `picture_of`.
    """
    lineage = lineage_by_prefix(connection, lineage_hash, reader)
    view = lineage_view(connection, lineage, offset=offset, limit=limit)
    return LookedAt(view, picture_of(connection, lineage.graph_id, place, offset=offset, limit=limit))


def picture_of(connection: Connection, graph_id: int, place: Place, *, offset: int, limit: int) -> Picture:
    """Return the picture that is asked for.

    Without a place, it is that of the whole lineage, or of its groups, or of the jobs from `offset` on, depending on
    what there is room for. Raises `Refusal` (404) if there is no such place.
    """
    if place.node:
        picture = picture_around(connection, graph_id, place.node)
    elif place.group is not None:
        picture = picture_of_group(connection, graph_id, place.group, place.part)
    else:
        return picture_of_lineage(connection, graph_id, offset=offset, limit=limit)
    if picture is None:
        raise Refusal(HTTPStatus.NOT_FOUND, "this lineage has no such job, artifact or group")
    return picture
