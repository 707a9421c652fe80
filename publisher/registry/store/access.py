"""Where lineages belong and who may read them, as values and as SQL conditions (`protocol.md §4, §5`).

Only the owner and the members of the project can read a private lineage. For all other readers it does not exist (404).
"""

from msgspec import Struct

PUBLIC, PRIVATE = "public", "private"
PUBLIC_SPACE = ""
"""The space of public lineages (`space_of`)."""
ANONYMOUS_OWNER = ""
"""Owner of data that was written without a user. User ids are never empty."""

READABLE = """(
    visibility = 'public'
    OR (scope_owner IS NULL AND owner <> '' AND owner = :reader)
    OR (scope_project IS NULL AND scope_owner IN (:owners))
    OR scope_project IN (:projects)
)"""
"""An SQL condition on the columns of `lineages`, with the parameters of `reader_parameters`."""
CREDIBILITY = """(
    CASE WHEN owner = '' THEN 0 WHEN owner = :reader THEN 6 ELSE 2 END + CASE WHEN session_id IS NULL THEN 0 ELSE 1 END
)"""
"""SQL like `READABLE`: the credibility of a lineage's data about an artifact, if several have the same digest. The
reader's own lineages rank first, then those of any user. Data that is neither signed nor verified ranks last."""


class LineageScope(Struct, frozen=True):
    """Where a lineage is stored. In the publisher's own space, `owner_id` and `project_id` are None."""

    visibility: str
    owner_id: str | None = None
    project_id: str | None = None

    def may_become(self, wanted: "LineageScope") -> bool:
        """Return whether publishing again may change this scope to `wanted`: only its visibility, and only to public.

        It cannot become private again, because it may have been read. It cannot move, because its project controls it.
        """
        published = LineageScope(PUBLIC, self.owner_id, self.project_id)
        return wanted in (self, published)


UNSCOPED = LineageScope(PUBLIC)
"""The scope without a `scope_request`."""


def space_of(owner: str, scope: LineageScope) -> str:
    """Return the space that a lineage is read in: empty for a public one. `spaces_of` are those of a reader."""
    if scope.visibility == PUBLIC:
        return PUBLIC_SPACE
    if scope.project_id is not None:
        return f"project {scope.project_id}"
    return f"user {owner}" if scope.owner_id is None else f"owner {scope.owner_id}"


class Reader(Struct, frozen=True):
    """A reader. `user_id` is empty for an anonymous one. `owners` are the spaces that the reader is a member of.

    `projects` are those that the reader may read, `written_projects` those that the reader may write to, too.
    """

    user_id: str = ANONYMOUS_OWNER
    owners: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()
    written_projects: tuple[str, ...] = ()

    def may_write(self, scope: LineageScope) -> bool:
        """Return whether the reader may change own lineages in this place now."""
        if scope.project_id is not None:
            return scope.project_id in self.written_projects
        return scope.owner_id is None or scope.owner_id in self.owners


def reader_parameters(reader: Reader) -> dict[str, object]:
    """Return the parameters of `READABLE` and `CREDIBILITY`."""
    return {"reader": reader.user_id, "owners": reader.owners, "projects": reader.projects}


def spaces_of(reader: Reader) -> list[str]:
    """Return the spaces whose lineages a reader may read. It says the same as `READABLE`."""
    own = [f"user {reader.user_id}"] if reader.user_id else []
    owners = [f"owner {owner}" for owner in reader.owners]
    return [PUBLIC_SPACE, *own, *owners, *(f"project {project}" for project in reader.projects)]
