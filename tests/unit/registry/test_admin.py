"""`roar registry user|key|token|owner|project`: what the commands do to the accounts, and what they say."""

import errno
import json
import os
import re
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NoReturn, TextIO

import httpx2
import psycopg
import pytest
from click.testing import CliRunner, Result

from roar_publisher.auth.signin import Document, TokenState
from roar_publisher.cli.registry.command import registry
from roar_publisher.registry.accounts.context import context_of
from roar_publisher.registry.accounts.grants import REFRESH_LIFETIME
from roar_publisher.registry.store import users
from roar_publisher.registry.store.private_data import ACCOUNTS_NAME
from roar_publisher.registry.store.users import Accounts
from roar_publisher.state.errors import LocalProblem, UsageProblem
from tests.support.auth.openssh import make_key, public_line
from tests.support.registry.harness import Json, succeeded
from tests.support.registry.postgres import Postgres
from tests.support.registry.processes import PATIENCE, served


class Admin:
    """The commands, run on one folder."""

    def __init__(self, data: Path) -> None:
        self.data = data

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(registry, [*arguments, "--data", str(self.data)])

    def __call__(self, *arguments: str) -> str:
        """Run a command that must succeed, and return its stdout."""
        result = self.run(*arguments)
        assert result.exit_code == 0, (arguments, result.output, result.exception)
        return result.stdout

    def listed(self, what: str) -> list[Json]:
        rows: list[Json] = json.loads(self(what, "list", "--json"))
        return rows


@pytest.fixture
def admin(tmp_path: Path) -> Admin:
    admin = Admin(tmp_path / "data")
    admin("user", "add", "alice", "--email", "alice@example.org")
    return admin


def test_who_makes_a_new_registry_by_its_first_account_learns_where(tmp_path: Path) -> None:
    """A registry that serves has other data, if --data was forgotten."""
    admin = Admin(tmp_path / "data")
    for arguments in (("user", "add", "alice"), ("user", "add", "bob")):
        result = admin.run(*arguments)
        assert result.exit_code == 0
        assert (f"a new registry in {admin.data}" in result.stderr) is ("alice" in arguments)


def test_a_token_is_printed_once_and_works_while_the_registry_runs(admin: Admin) -> None:
    with served(admin.data) as url:
        result = admin.run("token", "issue", "alice", "--ttl", "60")
        token = result.stdout.strip()
        header = {"Authorization": f"Bearer {token}"}
        assert (
            succeeded(httpx2.get(f"{url}/api/v1/auth/me", headers=header, timeout=PATIENCE))["data"]["user"]["username"]
            == "alice"
        )
        (grant,) = admin.listed("token")
        assert (grant["user"], grant["id"]) == ("alice", result.stderr.split()[-1])
        admin("token", "revoke", grant["id"])
        assert httpx2.get(f"{url}/api/v1/auth/me", headers=header, timeout=PATIENCE).status_code == 401
    assert admin.listed("token") == []
    assert token not in admin("token", "list")
    assert token.encode() not in b"".join(path.read_bytes() for path in admin.data.iterdir() if path.is_file())


@pytest.mark.parametrize("as_json", [False, True])
def test_a_token_whose_refresh_token_nobody_has_is_listed_with_its_own_end(admin: Admin, as_json: bool) -> None:
    admin("token", "issue", "alice", "--ttl", "600", *(["--json"] if as_json else []))
    (grant,) = admin.listed("token")
    assert grant["expires_at"] - grant["issued_at"] == pytest.approx(REFRESH_LIFETIME if as_json else 600)


def test_the_sign_in_file_is_private_and_readable_by_roar(admin: Admin, tmp_path: Path) -> None:
    path = tmp_path / "config" / "roar" / "auth.json"
    output = admin("token", "issue", "alice", "--auth-json", str(path))
    document = Document.parse(path.read_bytes())
    assert document is not None
    sign_in = document.sign_in()
    (user,) = admin.listed("user")
    assert (sign_in.sub, sign_in.db_user_id) == (user["sub"], user["id"])
    assert sign_in.token_state(0) is TokenState.VALID
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sign_in.access_token.reveal() not in output


def test_an_existing_sign_in_is_not_replaced(admin: Admin, tmp_path: Path) -> None:
    path = tmp_path / "auth.json"
    path.write_text("{}")
    assert isinstance(admin.run("token", "issue", "alice", "--auth-json", str(path)).exception, UsageProblem)
    assert (path.read_text(), admin.listed("token")) == ("{}", [])


def test_a_sign_in_file_that_cannot_be_written_is_not_left_behind(
    admin: Admin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "auth.json"

    def fill_up(document: object, file: TextIO, **_: object) -> NoReturn:
        file.write("{")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr("roar_publisher.registry.accounts.signin_file.json.dump", fill_up)
        assert "No space left" in str(admin.run("token", "issue", "alice", "--auth-json", str(path)).exception)
    admin("token", "issue", "alice", "--auth-json", str(path))


def test_a_lifetime_beyond_the_calendar_issues_no_token(admin: Admin) -> None:
    assert admin.run("token", "issue", "alice", "--ttl", str(10**12)).exit_code == 2
    assert admin.listed("token") == []
    admin("token", "issue", "alice", "--ttl", str(10**10))


def test_a_key_is_added_listed_and_removed(admin: Admin, tmp_path: Path) -> None:
    private = make_key(tmp_path / "key", "ed25519")
    fingerprint = admin("key", "add", "alice", f"{private}.pub").split()[0]
    (key,) = admin.listed("key")
    assert (key["user"], key["fingerprint"]) == ("alice", fingerprint)
    assert public_line(private).startswith(key["public"])
    assert fingerprint in admin("key", "list")
    assert isinstance(admin.run("key", "add", "alice", f"{private}.pub").exception, UsageProblem)
    admin("key", "remove", fingerprint)
    assert admin.listed("key") == []
    assert admin("key", "list").strip() == "none"


def test_a_private_key_is_not_accepted_as_a_public_one(admin: Admin, tmp_path: Path) -> None:
    private = make_key(tmp_path / "key", "ed25519")
    result = admin.run("key", "add", "alice", str(private))
    assert isinstance(result.exception, UsageProblem)
    assert private.read_text().splitlines()[1] not in str(result.exception)


def test_projects_and_their_members(admin: Admin) -> None:
    admin("user", "add", "bob")
    admin("owner", "add", "acme")
    admin("project", "add", "acme/models", "--visibility", "public")
    admin("project", "add", "alice/own")
    admin("project", "member", "acme/models", "alice")
    admin("project", "member", "acme/models", "bob", "--access", "read")
    admin("owner", "member", "acme", "bob")
    rows = {
        row["name"]: (row["owner"], row["visibility"], row["writers"], row["readers"])
        for row in admin.listed("project")
    }
    assert rows == {"models": ("acme", "public", ["alice"], ["bob"]), "own": ("alice", "private", [], [])}
    assert [(row["name"], row["members"]) for row in admin.listed("owner")] == [("acme", ["bob"])]
    admin("project", "member", "acme/models", "alice", "--access", "none")
    admin("owner", "member", "acme", "bob", "--remove")
    assert writable(admin, "alice") == {"own"}
    assert writable(admin, "bob") == set()


def writable(admin: Admin, name: str) -> set[str | None]:
    """The projects that a user may write to."""
    from roar_publisher.registry.store.users import find_user

    store = Accounts.open(admin.data)
    context = store.read(lambda db: context_of(db, find_user(db, name)))
    store.close()
    return {project.name for group in context.projects_by_owner.values() for project in group if project.can_write}


@pytest.mark.parametrize(
    "arguments",
    [
        ("user", "add", "alice"),
        ("user", "remove", "bob"),
        ("key", "remove", "SHA256:abc"),
        ("token", "issue", "bob"),
        ("token", "revoke", "abc"),
        ("owner", "member", "acme", "alice"),
        ("project", "add", "acme/models"),
        ("project", "member", "acme/models", "alice"),
    ],
)
def test_a_taken_or_unknown_name_is_reported_in_one_sentence(admin: Admin, arguments: tuple[str, ...]) -> None:
    error = admin.run(*arguments).exception
    assert isinstance(error, UsageProblem)
    assert "there is" in error.what
    assert error.next_step


@pytest.mark.parametrize(
    "arguments", [("user", "add", "a b"), ("user", "add", "-x"), ("project", "add", "acme"), ("owner", "add", "a/b")]
)
def test_invalid_names_are_refused(admin: Admin, arguments: tuple[str, ...]) -> None:
    assert admin.run(*arguments).exit_code == 2


def test_unusable_data_is_a_local_problem(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert isinstance(Admin(tmp_path / "file").run("user", "list").exception, LocalProblem)
    (tmp_path / "accounts.db").write_text("no database, but long enough to be taken for one" * 100)
    assert isinstance(Admin(tmp_path).run("user", "list").exception, LocalProblem)


def test_an_sqlite_that_is_too_old_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    monkeypatch.setattr(sqlite3, "sqlite_version", "3.34.1")
    problem = Admin(tmp_path / "data").run("user", "add", "alice").exception
    assert isinstance(problem, LocalProblem)
    assert "SQLite 3.35.0 or later is needed, and this Python has 3.34.1" in problem.what
    assert "later SQLite" in problem.next_step


def test_the_data_of_a_later_release_calls_for_an_upgrade(admin: Admin) -> None:
    with closing(sqlite3.connect(admin.data / ACCOUNTS_NAME)) as connection:
        connection.execute("PRAGMA user_version = 999")
    problem = admin.run("user", "list").exception
    assert isinstance(problem, LocalProblem)
    assert "schema 999" in problem.what
    assert problem.next_step.startswith("upgrade with")


def test_a_database_that_is_not_in_utf_8_is_refused(postgres: Postgres, tmp_path: Path) -> None:
    with psycopg.connect(postgres.new_database(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    problem = Admin(tmp_path).run("user", "add", "alice", "--database", postgres.url("latin")).exception
    assert isinstance(problem, LocalProblem)
    assert problem.what == "the registry's database cannot be used: it is in LATIN1, not in UTF-8"
    assert "createdb -E UTF8" in problem.next_step


def test_a_database_of_a_later_release_calls_for_an_upgrade(postgres: Postgres, tmp_path: Path) -> None:
    there = ("--database", postgres.new_database())
    assert Admin(tmp_path).run("user", "add", "alice", *there).exit_code == 0
    with psycopg.connect(there[1], autocommit=True) as connection:
        connection.execute("UPDATE schema_versions SET version = 999")
    problem = Admin(tmp_path).run("user", "list", *there).exception
    assert isinstance(problem, LocalProblem)
    assert problem.next_step == "upgrade with `pip install -U roar-publisher`, or choose another --database"


def test_a_missing_key_file_is_a_local_problem(admin: Admin, tmp_path: Path) -> None:
    assert isinstance(admin.run("key", "add", "alice", str(tmp_path / "none.pub")).exception, LocalProblem)


def test_a_user_is_linked_to_a_treqs_account_by_its_id(admin: Admin) -> None:
    assert "sub-1" in admin("user", "link", "alice", "sub-1")
    assert [user["sub"] for user in admin.listed("user")] == ["sub-1"]
    admin("user", "add", "bob")
    taken = admin.run("user", "link", "bob", "sub-1")
    assert isinstance(taken.exception, UsageProblem)
    assert "alice" in str(taken.exception)


def test_a_sign_in_code_is_printed_with_the_page_that_takes_it(admin: Admin) -> None:
    with served(admin.data) as url, httpx2.Client(base_url=url, timeout=PATIENCE) as browser:
        result = admin.run("user", "sign-in", "alice")
        assert "/sign-in" in result.stderr
        page = browser.get("/sign-in").text
        (token,) = re.findall(r'name="form_token" value="(\w+)"', page)
        form = {"form_token": token, "code": result.stdout.strip()}
        assert browser.post("/sign-in", data=form).headers["location"] == "/account"
        assert "alice" in browser.get("/account").text
    missing = admin.run("user", "sign-in", "nobody")
    assert isinstance(missing.exception, UsageProblem)


def test_a_name_of_a_service_does_not_reach_the_terminal_as_it_is(admin: Admin) -> None:
    """Anybody who has an account at a TReqs service gives it a name there."""
    with closing(Accounts.open(admin.data)) as accounts:
        accounts.write(users.add_user, "mal\x1b]0;title\x07lory\nroot", sub="s\x1b[2J", email="\u202ea@b")
    rows = admin("user", "list").splitlines()
    assert len(rows) == 3
    assert all(row.isprintable() for row in rows)
    assert "mal ]0;title lory root" in rows[-1]
    assert admin.listed("user")[-1]["sub"] == "s\x1b[2J"


@pytest.mark.parametrize(
    ("host", "options", "issuer"),
    [
        ("127.0.0.1", [], "http://127.0.0.1:2"),
        ("0.0.0.0", ["--public-url", "https://registry.example"], "https://registry.example"),
        ("0.0.0.0", [], None),
    ],
)
def test_a_sign_in_is_not_for_an_address_that_the_registry_had_once(
    admin: Admin, monkeypatch: pytest.MonkeyPatch, host: str, options: list[str], issuer: str | None
) -> None:
    """On 0.0.0.0, the address that clients use is not known."""

    def announces(host: str, port: int, data: Path, announce: Callable[[str], None], **_: object) -> None:
        announce(f"http://{host}:{port}")

    monkeypatch.setattr("roar_publisher.registry.server.serve.serve", announces)
    admin("serve", "--port", "1")
    admin("serve", "--host", host, "--port", "2", *options)
    assert json.loads(admin("token", "issue", "alice", "--json")).get("issuer") == issuer
