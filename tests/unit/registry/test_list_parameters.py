"""Lists as values of named parameters."""

import pytest

from roar_publisher.registry.store.lists import expanded, has_lists
from roar_publisher.registry.store.sqlite import SQLiteConnection, connect


@pytest.fixture
def connection() -> SQLiteConnection:
    connection = connect(":memory:", timeout=0)
    connection.execute("CREATE TABLE items (name TEXT, number INTEGER)")
    connection.executemany("INSERT INTO items VALUES (?, ?)", [(f"n{number}", number) for number in range(10)])
    return connection


@pytest.mark.parametrize("names", [[], ["n3"], ["n3", "n3"], ["n1", "n5", "absent"], [f"n{n}" for n in range(7)]])
def test_a_list_stands_for_its_values(connection: SQLiteConnection, names: list[str]) -> None:
    rows = connection.execute(
        "SELECT name FROM items WHERE name IN (:names) AND number < :number ORDER BY number",
        {"names": names, "number": 6},
    )
    assert [name for (name,) in rows] == sorted({*names} & {f"n{n}" for n in range(6)})


def test_a_list_gives_rows(connection: SQLiteConnection) -> None:
    rows = connection.execute(
        "WITH asked (name) AS (VALUES (:names)) SELECT DISTINCT asked.name, number FROM asked"
        " LEFT JOIN items ON items.name = asked.name ORDER BY asked.name",
        {"names": ("n2", "n7", "x")},
    )
    assert [tuple(row) for row in rows] == [("n2", 2), ("n7", 7), ("x", None)]


def test_few_statements_serve_all_lengths() -> None:
    statements = {expanded("x IN (:x)", {"x": ["a"] * length})[0] for length in range(500)}
    assert len(statements) == 10


def test_values_come_in_the_order_of_their_places() -> None:
    assert not has_lists({"a": "text", "b": b"bytes", "c": None, "d": 1.5})
    assert expanded("a = :a AND b IN (:b)", {"b": (1,), "a": "text"}) == ("a = ? AND b IN (?)", ["text", 1])
    assert expanded("b IN (:b) OR bc = :bc OR c IN (:b)", {"bc": 2, "b": [1, 3, 4]}) == (
        "b IN (?, ?, ?, ?) OR bc = ? OR c IN (?, ?, ?, ?)",
        [1, 3, 4, 4, 2, 1, 3, 4, 4],
    )
    assert expanded("a = ':a' AND b IN (:b)", {"b": [None]}) == ("a = ':a' AND b IN (?)", [None])
    assert expanded("VALUES (:a, :b) OR b IN (:b)", {"a": 0, "b": []})[0] == "VALUES (?, ?) OR b IN (?)"
