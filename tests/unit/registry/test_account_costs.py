"""What a request costs does not grow with the accounts of others, nor with the tokens that they have spent."""

from roar_publisher.registry.accounts import grants
from roar_publisher.registry.accounts.context import context_of
from roar_publisher.registry.store import accounts_schema
from roar_publisher.registry.store.database import Writing
from roar_publisher.registry.store.sqlite import SQLiteConnection, connect, migrate
from roar_publisher.registry.store.users import User

NOW = 1_000_000_000.0
ALICE = User("alice", "alice", "sub-alice", None)


def accounts_with(others: int) -> SQLiteConnection:
    """Accounts of alice, who is in one organization and one project of another, and of so many others."""
    connection = connect(":memory:", timeout=0)
    migrate(connection, accounts_schema.MIGRATIONS)
    connection.begin(Writing.ALONE)
    for name in (ALICE.id, *(f"user {number}" for number in range(others))):
        connection.execute("INSERT INTO users (id, name, sub) VALUES (?, ?, ?)", (name, name, f"sub-{name}"))
        connection.execute("INSERT INTO owners VALUES (?, ?)", (f"of {name}", f"of {name}"))
        connection.execute("INSERT INTO owner_members VALUES (?, ?)", (f"of {name}", name))
        for project in ("p", "q"):
            row = (f"{project} of {name}", f"shared by {name}", project, "private")
            connection.execute("INSERT INTO projects VALUES (?, ?, ?, ?)", row)
            connection.execute("INSERT INTO project_members VALUES (?, ?, 1)", (row[0], name))
    connection.execute("INSERT INTO owners VALUES ('shared by alice', 'shared by alice')")
    return connection


def cost(connection: SQLiteConnection, work: object) -> int:
    """Return how many instructions SQLite runs meanwhile."""
    assert callable(work)
    steps: list[None] = []
    connection.set_progress_handler(lambda: steps.append(None), 1)
    work()
    connection.set_progress_handler(None, 0)
    return len(steps)


def test_where_a_user_is_a_member_is_found_without_reading_the_others() -> None:
    few, many = accounts_with(2), accounts_with(200)
    assert cost(few, lambda: context_of(few, ALICE)) == cost(many, lambda: context_of(many, ALICE))
    found = context_of(many, ALICE)
    assert [(owner.id, owner.role) for owner in found.owners] == [
        ("alice", "owner"),
        ("of alice", "member"),
        ("shared by alice", "guest"),
    ]


def spent(tokens: int) -> tuple[int, int]:
    """Return the cost of a refresh, and the rows that it changes, if so many tokens were spent before."""
    connection = accounts_with(tokens)
    for number in range(tokens):
        row = (f"grant {number}", f"user {number}", b"%d" % number, NOW + 10_000_000, NOW, 3600)
        connection.execute(
            "INSERT INTO grants (id, user_id, refresh_hash, expires_at, issued_at, lifetime) VALUES (?, ?, ?, ?, ?, ?)",
            row,
        )
        connection.execute("INSERT INTO access_tokens VALUES (?, ?, ?)", (row[2], row[0], NOW + 3600))
        connection.execute(
            "INSERT INTO spent_refresh_tokens VALUES (?, ?, ?, ?, NULL)", (row[2], row[0], NOW - 3600, NOW + 1_000_000)
        )
    _id, tokens_of_alice = grants.issue(connection, ALICE.name, now=NOW)
    before = connection.total_changes
    steps = cost(connection, lambda: grants.refresh(connection, tokens_of_alice.refresh_token or "", NOW + 10))
    return steps, connection.total_changes - before


def test_a_refresh_reads_and_changes_no_spent_token_of_others() -> None:
    assert spent(2) == spent(200)
