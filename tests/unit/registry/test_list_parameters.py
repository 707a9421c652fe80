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


def test_only_lists_and_tuples_are_expanded() -> None:
    assert not has_lists({"a": "text", "b": b"bytes", "c": None, "d": 1.5})
    assert expanded("a = :a AND b IN (:b)", {"a": "text", "b": (1,)}) == (
        "a = :a AND b IN (:b_0)",
        {"a": "text", "b_0": 1},
    )
    assert expanded("a IN (:a) OR ab = :ab", {"a": [1], "ab": 2})[0] == "a IN (:a_0) OR ab = :ab"
