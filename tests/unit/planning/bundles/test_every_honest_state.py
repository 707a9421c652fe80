"""A publish is imported in every state in which it can be exported."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import asdict

from roar_publisher.auth.choice import Flag
from roar_publisher.auth.scope import Mode, RepoScope
from roar_publisher.engine.staging.routes import halves
from roar_publisher.planning.bundles.checking import check_journal
from roar_publisher.state.journal import Journal
from roar_publisher.state.machine import Event
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.portable import pack, unpacked
from roar_publisher.state.units import Kind
from tests.support.lineages import chain, cut, frozen

OWN = {"owner_resolution": "current_user", "owner_type": "user", "visibility": "private"}
TEAM = RepoScope(Mode.PROJECT, "o1", "organization", "p1", "public")
TEAMS = {"owner_id": "o1", "owner_type": "organization", "project_id": "p1", "visibility": "public"}


def selected(journal: Journal, credential: str, scope_request: dict[str, Any] | None) -> None:
    journal.checkpoint(Event.PROBED, capabilities={"authenticated": True})
    journal.checkpoint(
        Event.SELECTED, credential=credential, identity="anonymous", why="it signs", scope_request=scope_request
    )


def legacy(credential: str) -> Callable[[Journal], None]:
    def advance(journal: Journal) -> None:
        selected(journal, credential, None)
        journal.checkpoint(Event.NO_STAGING, remote_session=None)

    return advance


def straight_to_legacy(journal: Journal) -> None:
    journal.checkpoint(Event.PROBED)
    journal.checkpoint(Event.NO_STAGING, credential="legacy", identity="anonymous", remote_session=None)


def private(journal: Journal) -> None:
    selected(journal, "bearer", OWN)
    journal.checkpoint(Event.OPENED, remote_session="s1")
    journal.checkpoint(Event.STAGED, published_elsewhere="")


def rejected_and_lost(journal: Journal) -> None:
    selected(journal, "ssh", TEAMS)
    journal.checkpoint(Event.OPENED, remote_session="s1")
    journal.checkpoint(Event.CREDENTIAL_REJECTED)
    journal.checkpoint(Event.SELECTED)
    journal.checkpoint(Event.OPENED)
    journal.checkpoint(Event.SESSION_LOST)


def failed_twice_and_retried(journal: Journal) -> None:
    selected(journal, "ssh", TEAMS)
    journal.checkpoint(Event.OPENED, remote_session="s1")
    for _ in range(2):
        journal.checkpoint(Event.STAGED)
        journal.checkpoint(Event.COUNTS_DIFFER)
    journal.checkpoint(Event.RETRIED)


def split(journal: Journal) -> None:
    [whole] = journal.units.pending([Kind.JOBS], limit=1, max_bytes=1_000_000)
    _, second = journal.units.split(whole, halves(whole))
    journal.units.split(second, halves(second))


def readdressed(journal: Journal) -> None:
    selected(journal, "ssh", None)
    journal.readdress("https://other.example")


@contextmanager
def moved(folder: Path, flag: Flag, scope: RepoScope, advance: Callable[[Journal], None]) -> Iterator[Journal]:
    with frozen(StateFolder(folder / "here"), cut(chain(6)), registry="https://registry.example") as owned:
        intent = owned.journal.plan().intent | {"flag": flag.value, "scope": asdict(scope)}
        owned.journal.db.execute("UPDATE plan SET intent = ?", [json.dumps(intent)])
        advance(owned.journal)
        pack(owned.paths, owned.journal, None, folder / "bundle")
    with unpacked(folder / "bundle", StateFolder(folder / "there")) as publish:
        yield publish.journal


@pytest.mark.parametrize(
    ("flag", "scope", "advance"),
    [
        pytest.param(Flag.ANONYMOUS, RepoScope(), lambda journal: None, id="planned"),
        pytest.param(Flag.ANONYMOUS, RepoScope(), straight_to_legacy, id="legacy"),
        pytest.param(Flag.PUBLIC, RepoScope(), legacy("bearer"), id="legacy with a bearer"),
        pytest.param(Flag.PUBLIC, RepoScope(), legacy("ssh"), id="legacy with a key"),
        pytest.param(Flag.PRIVATE, RepoScope(), private, id="private"),
        pytest.param(Flag.NONE, RepoScope(), private, id="no flag"),
        pytest.param(Flag.NONE, RepoScope(Mode.PRIVATE), private, id="private scope"),
        pytest.param(Flag.NONE, TEAM, rejected_and_lost, id="a project, a rejection and another session"),
        pytest.param(Flag.PUBLIC, TEAM, failed_twice_and_retried, id="failed twice and retried"),
        pytest.param(Flag.NONE, RepoScope(public_by_default=True), split, id="split units"),
        pytest.param(Flag.PUBLIC, RepoScope(), readdressed, id="readdressed"),
    ],
)
def test_every_exported_state_is_imported(
    tmp_path: Path, flag: Flag, scope: RepoScope, advance: Callable[[Journal], None]
) -> None:
    with moved(tmp_path, flag, scope, advance) as journal:
        check_journal(journal)


def test_a_job_whose_metadata_is_one_long_run_is_imported(tmp_path: Path) -> None:
    jobs = chain(6)
    jobs[0].metadata = json.dumps({"class_weights": [0] * 400_000}, separators=(",", ":"))
    with frozen(StateFolder(tmp_path / "here"), cut(jobs), registry="https://registry.example") as owned:
        pack(owned.paths, owned.journal, None, tmp_path / "bundle")
    with unpacked(tmp_path / "bundle", StateFolder(tmp_path / "there")) as publish:
        check_journal(publish.journal)
