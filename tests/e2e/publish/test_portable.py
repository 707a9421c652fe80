"""`roar journal export` and `import` on the command line: what they say, what they refuse, and where things belong."""

import os
from pathlib import Path

import pytest

from roar_publisher.state.journal import Journal
from roar_publisher.state.machine import Event
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.portable import pack
from roar_publisher.state.reasons import Reason
from roar_publisher.state.status_reader import count_status
from tests.support.cli.program import Program
from tests.support.cli.servers import answering, http
from tests.support.daemon.daemons import program_with_daemons, until
from tests.support.lineage.captured import captured_project, recorded
from tests.support.lineages import chain, cut, frozen


@pytest.fixture
def interrupted(program: Program, registry: str) -> str:
    """The id of a publish that needs user action's consent."""
    program("publish", "--anonymous", "--registry", registry).blames(4)
    return program.publishes[0]


@pytest.fixture
def file(program: Program, interrupted: str, tmp_path: Path) -> Path:
    """What was exported of it."""
    assert program("journal", "export", interrupted, str(tmp_path / "moved.tar")).code == 0
    return tmp_path / "moved.tar"


@pytest.fixture
def there(tmp_path: Path) -> Program:
    """The program on another machine, in its own copy of the project."""
    folder = tmp_path / "there"
    folder.mkdir()
    return Program.within(captured_project("linear", folder), folder)


def test_both_say_what_they_did_and_what_to_type(
    program: Program, interrupted: str, there: Program, registry: str, tmp_path: Path
) -> None:
    exported = program("journal", "export", interrupted[:4], "moved.tar")
    assert f"Exported {interrupted} to moved.tar" in exported.out
    assert f"roar journal cancel {interrupted}" in exported.out
    imported = there("journal", "import", str(program.cwd / "moved.tar"), "--yes")
    assert imported.code == 0, imported.err
    assert f"Imported {interrupted}: 2 jobs to {registry}" in imported.out
    assert f"Next: roar publish --resume {interrupted}" in imported.out
    there("publish", "--resume", interrupted, "-y").blames(4, "bundle", f"roar registry trust {registry}")
    done = there("publish", "--resume", interrupted, "-y", "-q", "--registry", registry)
    assert done.out.split()[0] == recorded("linear", "session")["finalized_hash"]


def test_a_file_may_have_any_name(program: Program, interrupted: str, there: Program) -> None:
    name = os.fsdecode(b"caf\xe9.tar")
    assert program("journal", "export", interrupted, name, "--json").last["file"] == name
    assert program("journal", "show", interrupted, "--why", "--json").last["reason"] == "exported"
    assert there("journal", "import", str(program.cwd / name), "--yes").code == 0


def test_it_belongs_to_the_project_that_is_named_or_is_around_and_to_none_that_the_file_names(
    program: Program, file: Path, there: Program, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for number, (arguments, expected) in enumerate(
        [
            (["--project", str(elsewhere)], elsewhere),
            (["--project", str(there.cwd / ".roar")], there.cwd),
            ([], there.cwd),
        ]
    ):
        fresh = Program(there.cwd, tmp_path / f"state {number}", there.env)
        fresh.env["ROAR_STATE_DIR"] = str(fresh.state)
        [facts] = fresh("journal", "import", str(file), "--yes", "--json", *arguments).events
        plan = count_status(StateFolder(fresh.state).find(facts["publish_id"])).plan
        assert (facts["project"], plan.project) == (str(expected), str(expected))
        assert plan.roar_db == str(expected / ".roar" / "roar.db")
        assert facts["noted_in_roar_db"] is (expected != elsewhere)
    nowhere = Program(elsewhere, tmp_path / "state", there.env)
    nowhere("journal", "import", str(file), "--yes").blames(2, "which project", "nothing was imported", "--project DIR")


def test_nothing_is_sent_to_the_address_in_a_file_before_a_person_resumes_it(tmp_path: Path, registry: str) -> None:
    """Left to the daemon and agreed to on the other machine; here are a daemon and a sign-in."""
    (tmp_path / "here").mkdir()
    file = tmp_path / "moved.tar"
    with (
        answering(http("500 Internal Server Error", b"{}")) as elsewhere,
        program_with_daemons(tmp_path, tmp_path / "here") as here,
    ):
        with frozen(StateFolder(tmp_path / "sender"), cut(chain(2)), registry=elsewhere.url) as owned:
            owned.journal.queue.configure(agreed=True)
            owned.journal.queue.detach()
            pack(owned.paths, owned.journal, None, file)
        assert here("daemon", "start").code == 0
        imported = here("journal", "import", str(file), "--project", str(tmp_path), "--yes", "--json")
        assert (imported.code, imported.last["registry"]) == (0, elsewhere.url), imported.err
        assert imported.last["next"] == f"roar publish --resume {owned.paths.id}"
        [answer] = here("journal", "show", owned.paths.id, "--why", "--json").events
        assert (answer["reason"], answer["parked"], answer["turn"]) == ("imported", True, "person")
        with frozen(StateFolder(here.state), cut(chain(3)), registry=registry) as other:
            other.journal.queue.configure(agreed=True)
            other.journal.queue.detach()
        until(lambda: not count_status(other.paths).live)  # the daemon has looked at both since
        assert elsewhere.requests == []
        assert here("journal", "retry", owned.paths.id).code == 0
        paths = StateFolder(here.state).find(owned.paths.id)
        until(lambda: count_status(paths).progress.reason == Reason.UNTRUSTED_REGISTRY)
        until(lambda: count_status(paths).owner is None)
        assert elsewhere.requests == []
        assert here("registry", "trust", elsewhere.url).code == 0
        assert here("journal", "retry", owned.paths.id).code == 0
        until(lambda: bool(elsewhere.requests))


def test_what_is_published_is_not_exported(program: Program, interrupted: str, tmp_path: Path) -> None:
    """Its labels are left, which belong to this machine's session."""
    with Journal(StateFolder(program.state).find(interrupted).journal) as journal:
        journal.remember(hash="ab" * 32)
    program("journal", "export", interrupted, str(tmp_path / "moved.tar")).blames(
        2, "is already published", f"roar publish --resume {interrupted}"
    )
    assert not (tmp_path / "moved.tar").exists()
    assert program("journal", "show", interrupted, "--why", "--json").last["reason"] != "exported"


def test_what_has_ended_is_not_exported(program: Program, interrupted: str, tmp_path: Path) -> None:
    with Journal(StateFolder(program.state).find(interrupted).journal) as journal:
        journal.checkpoint(Event.REJECTED)
    program("journal", "export", interrupted, str(tmp_path / "moved.tar")).blames(
        2, "is failed: nothing is left to move"
    )
    assert not (tmp_path / "moved.tar").exists()


def test_a_file_is_never_written_over(program: Program, interrupted: str, file: Path) -> None:
    before = file.read_bytes()
    program("journal", "export", interrupted, str(file)).blames(2, "exists already")
    assert file.read_bytes() == before
    program("journal", "export", interrupted, str(file / "below")).blames(1, "cannot be written", "is unchanged")


def test_it_is_imported_once(file: Path, there: Program, interrupted: str) -> None:
    assert there("journal", "import", str(file), "--yes").code == 0
    there("journal", "import", str(file)).blames(2, f"publish {interrupted} is on this machine already")
    assert there.publishes == [interrupted]


def test_where_it_came_from_it_is_taken_back_and_not_imported(program: Program, file: Path, interrupted: str) -> None:
    program("journal", "import", str(file)).blames(2, "is on this machine already")
    assert program("publish", "--resume", interrupted, "-y").code == 0


@pytest.mark.parametrize("content", [b"", b"\0" * 4096, os.urandom(9000), b"{}"])
def test_another_file_is_refused_and_leaves_nothing(there: Program, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "other").write_bytes(content)
    there("journal", "import", str(tmp_path / "other")).blames(
        1, "is damaged, or is not an exported publish", "imported"
    )
    there("journal", "import", str(tmp_path / "none")).blames(2, "there is no")
    assert there.publishes == []


def test_a_registry_that_would_get_everything_unencrypted_is_refused(
    program: Program, interrupted: str, there: Program, tmp_path: Path
) -> None:
    with Journal(StateFolder(program.state).find(interrupted).journal) as journal:
        journal.db.execute("UPDATE plan SET registry = 'http://registry.example'")
    assert program("journal", "export", interrupted, str(tmp_path / "moved.tar")).code == 0
    there("journal", "import", str(tmp_path / "moved.tar")).blames(2, "would send all data unencrypted")
    assert there.publishes == []


def test_only_its_id_resumes_what_was_imported(program: Program, file: Path, there: Program, registry: str) -> None:
    """Its author may have written another lineage under the fingerprint of one that the user publishes."""
    assert there("journal", "import", str(file), "--yes").code == 0
    [publish_id] = there.publishes
    there("publish", "--resume", "-y").blames(2, "was imported", f"roar publish --resume {publish_id}")
    published = there("publish", "--anonymous", "--registry", registry, "-y", "--json")
    assert published.code == 0, published.err
    assert published.last["publish_id"] != publish_id
    assert there("publish", "--resume", publish_id, "-y", "--json").last["publish_id"] == publish_id


def test_an_export_holds_no_key_no_part_and_no_remains_of_what_was_deleted(
    program: Program, interrupted: str, tmp_path: Path
) -> None:
    remains = "remains of a row " * 1_000
    with Journal(StateFolder(program.state).find(interrupted).journal) as journal:
        journal.db.execute("UPDATE plan SET intent = json_set(intent, '$.ssh_key', '/home/me/.ssh/id_work')")
        journal.note(reason=Reason.AUTH, detail=remains)
        journal.note(reason=Reason.AUTH, detail="")
    assert program("journal", "export", interrupted, str(tmp_path / "moved.tar")).code == 0
    content = (tmp_path / "moved.tar").read_bytes()
    assert b"id_work" not in content
    assert b"remains of a row" not in content
    assert (tmp_path / "moved.tar").stat().st_mode & 0o777 == 0o600
