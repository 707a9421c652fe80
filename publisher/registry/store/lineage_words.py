"""The words of indexed lineages, which a search finds them by."""

from collections.abc import Sequence
from typing import NamedTuple

from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.lists import in_chunks


class Word(NamedTuple):
    """A word of a lineage. `entity` is the uid or digest of what has it, or empty for the lineage itself."""

    kind: str
    word: str
    entity: str


def forget_words(connection: Connection, graph_id: int, kind: str) -> None:
    """Delete the words of one kind, which are bounded in number."""
    connection.execute("DELETE FROM words WHERE graph_id = :graph AND kind = :kind", {"graph": graph_id, "kind": kind})


def count_words(connection: Connection, graph_id: int, kind: str) -> int:
    """Return the number of words of one kind, which is bounded."""
    (count,) = connection.execute(
        "SELECT count(*) FROM words WHERE graph_id = :graph AND kind = :kind", {"graph": graph_id, "kind": kind}
    ).fetchone()
    return int(count)


def add_words(connection: Connection, graph_id: int, space: str, words: Sequence[Word], most: int) -> None:
    """Add words of one kind, until the graph has `most` of them. Of several entities with a word, the first stays."""
    room = most - count_words(connection, graph_id, words[0].kind) if words else 0
    for some in in_chunks(words):
        if room <= 0:
            break
        found = connection.execute(
            "SELECT word FROM words WHERE graph_id = :graph AND kind = :kind AND word IN (:words)",
            {"graph": graph_id, "kind": words[0].kind, "words": [word.word for word in some]},
        )
        known = {word for (word,) in found}
        new = [word for word in some if word.word not in known][:room]  # known ones would take the room of others
        room -= len(new)
        connection.executemany(
            "INSERT INTO words (graph_id, kind, word, entity, space) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            [(graph_id, *word, space) for word in new],
        )
