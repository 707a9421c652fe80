"""Lists of published lineages, newest first. Every query reads only rows that the reader may read (`spaces_of`)."""

from typing import NamedTuple

from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.lineages import LAST_CHARACTER

Moment = tuple[float, str]
"""The place of a lineage in a list: when it was published, and its hash."""
_COLUMNS = (
    "hash, lineages.graph_id, visibility, git_repo, git_branch, published_at, holder, scope_project, jobs"
    " FROM lineages JOIN graphs ON graphs.id = lineages.graph_id"
)
FILTERS = {"repository": "git_repo", "owner": "holder", "project": "scope_project"}
"""Columns that a list may be limited by. Each has an index after the space."""


_WORDS = "SELECT word, entity, graph_id FROM words WHERE space = :space AND kind = :kind"
_THIS_WORD = f"{_WORDS} AND word = :prefix ORDER BY graph_id DESC LIMIT :limit"
_LONGER_WORDS = f"{_WORDS} AND word > :prefix AND word < :last ORDER BY word DESC, graph_id DESC LIMIT :limit"


class Entry(NamedTuple):
    """A lineage in a list. `owner` and `project` are ids; the former is empty for nobody."""

    hash: str
    graph_id: int
    visibility: str
    git_repo: str | None
    git_branch: str | None
    published_at: float
    owner: str
    project: str | None
    jobs: int


class FoundWord(NamedTuple):
    """A word that was found, in its lineage. `entity` is as in `lineage_words.Word`."""

    word: str
    entity: str
    graph_id: int


def newest_in_space(
    connection: Connection, space: str, only: tuple[str, str] | None, before: Moment | None, limit: int
) -> list[Entry]:
    """Return the newest lineages of a space before a moment. `only` is a key of `FILTERS` with its value."""
    column = "space" if only is None else FILTERS[only[0]]
    conditions = [f"space = :space AND {column} = :value"]
    values: dict[str, object] = {"space": space, "value": space if only is None else only[1], "limit": limit}
    if before is not None:
        conditions.append("published_at <= :at AND (published_at < :at OR hash > :hash)")
        values |= {"at": before[0], "hash": before[1]}
    rows = connection.execute(
        f"SELECT {_COLUMNS} WHERE {' AND '.join(conditions)} ORDER BY published_at DESC, hash LIMIT :limit", values
    )
    return [Entry(*row) for row in rows]


def entry_of(connection: Connection, graph_id: int, space: str) -> Entry | None:
    """Return the lineage with this graph, if it is in this space; otherwise None."""
    row = connection.execute(
        f"SELECT {_COLUMNS} WHERE lineages.graph_id = :graph AND space = :space", {"graph": graph_id, "space": space}
    ).fetchone()
    return None if row is None else Entry(*row)


def words_with_prefix(connection: Connection, space: str, kind: str, prefix: str, limit: int) -> list[FoundWord]:
    """Return words of a kind in a space that begin like this: this word itself first, of equal ones the newest."""
    values = {"space": space, "kind": kind, "prefix": prefix, "last": prefix + LAST_CHARACTER}
    found: list[FoundWord] = []
    for query in (_THIS_WORD, _LONGER_WORDS):
        rows = connection.execute(query, {**values, "limit": limit - len(found)})
        found += [FoundWord(*row) for row in rows]
    return found


def has_word(connection: Connection, graph_id: int, kind: str, prefix: str) -> bool:
    """Return whether a lineage has a word of a kind that begins like this."""
    row = connection.execute(
        "SELECT 1 FROM words WHERE graph_id = :graph AND kind = :kind AND word >= :first AND word < :last LIMIT 1",
        {"graph": graph_id, "kind": kind, "first": prefix, "last": prefix + LAST_CHARACTER},
    )
    return row.fetchone() is not None
