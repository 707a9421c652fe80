"""What the page of a lineage shows: the lineage, some of its jobs, and a picture."""

from http import HTTPStatus

from msgspec import Struct

from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.lineages.neighbours import picture_around
from roar_publisher.registry.lineages.pictures import Picture, picture_of_group, picture_of_lineage
from roar_publisher.registry.lineages.reading import LineageView, lineage_by_prefix, lineage_view
from roar_publisher.registry.store.access import Reader
from roar_publisher.registry.store.database import Connection


class PictureFocus(Struct, frozen=True):
    """What a picture is to show: what is around a node, or a part of a group; the whole lineage if neither is given."""

    node: str = ""
    group: int | None = None
    part: int = 1


class LineagePageView(Struct, frozen=True):
    """A lineage with one page of its jobs, and a picture."""

    view: LineageView
    picture: Picture


def view_lineage_page(
    connection: Connection, lineage_hash: str, reader: Reader, focus: PictureFocus, *, offset: int, limit: int
) -> LineagePageView:
    """Return a lineage with up to `limit` jobs from `offset` on.

    Raises `Refusal` as `lineage_by_prefix` and `picture_of`.
    """
    lineage = lineage_by_prefix(connection, lineage_hash, reader)
    view = lineage_view(connection, lineage, offset=offset, limit=limit)
    return LineagePageView(view, picture_of(connection, lineage.graph_id, focus, offset=offset, limit=limit))


def picture_of(connection: Connection, graph_id: int, focus: PictureFocus, *, offset: int, limit: int) -> Picture:
    """Return the picture with a focus.

    That of a whole lineage shows all of it, or its groups, or the jobs from `offset` on, depending on what there is
    room for. Raises `Refusal` (404) if the lineage has no such focus.
    """
    if focus.node:
        picture = picture_around(connection, graph_id, focus.node)
    elif focus.group is not None:
        picture = picture_of_group(connection, graph_id, focus.group, focus.part)
    else:
        return picture_of_lineage(connection, graph_id, offset=offset, limit=limit)
    if picture is None:
        raise Refusal(HTTPStatus.NOT_FOUND, "this lineage has no such job, artifact or group")
    return picture
