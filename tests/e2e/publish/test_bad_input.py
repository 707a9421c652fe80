"""Whatever is wrong on this machine gets one clear message and the documented exit code, and a later run succeeds."""

import os
import resource
import sqlite3
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from roar_publisher.exit_codes import ExitCode, exit_code_of
from roar_publisher.state.meanings import MEANINGS
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.reasons import Reason
from tests.support.cli.program import Ended, Program
from tests.support.lineage.captured import recorded

HASH = recorded("linear", "session")["finalized_hash"]
SMALLEST_DISK = 4 * 1024
NEARLY_FULL = 256 * 1024
FILE_LIMIT = 24 * 1024

Repair = Callable[[], object]


def _database(program: Program) -> Path:
    return program.cwd / ".roar" / "roar.db"


def _replaced(path: Path, content: bytes) -> Repair:
    """Put `content` in place of a file; returns how to put it back."""
    before = path.read_bytes()
    path.write_bytes(content)
    return lambda: path.write_bytes(before)


def _missing_database(program: Program) -> Repair:
    database = _database(program)
    hidden = database.rename(database.with_suffix(".hidden"))
    return lambda: hidden.rename(database)


def _database_of_noise(program: Program) -> Repair:
    return _replaced(_database(program), b"not a database, but long enough to be looked at" * 100)


def _truncated_database(program: Program) -> Repair:
    return _replaced(_database(program), _database(program).read_bytes()[:20_000])


def _empty_database(program: Program) -> Repair:
    return _replaced(_database(program), b"")


def _newer_schema(program: Program) -> Repair:
    return _executed(program, "PRAGMA user_version = 99", "PRAGMA user_version = 5")


def _no_active_session(program: Program) -> Repair:
    return _executed(program, "UPDATE sessions SET is_active = 0", "UPDATE sessions SET is_active = 1")


def _executed(program: Program, statement: str, undo: str) -> Repair:
    def execute(sql: str) -> None:
        with closing(sqlite3.connect(_database(program))) as connection, connection:
            connection.execute(sql)

    execute(statement)
    return lambda: execute(undo)


def _config_of_noise(program: Program) -> Repair:
    return _replaced(program.cwd / ".roar" / "config.toml", b"[glaas\nurl = ")


def _config_with_a_wrong_type(program: Program) -> Repair:
    return _replaced(program.cwd / ".roar" / "config.toml", b"[registration.omit]\nenabled = 'perhaps'\n")


def _config_with_a_bad_pattern(program: Program) -> Repair:
    content = b"[[registration.omit.patterns]]\nid = 'bad'\npattern = '('\n"
    return _replaced(program.cwd / ".roar" / "config.toml", content)


def _config_with_a_bad_scope(program: Program) -> Repair:
    return _replaced(program.cwd / ".roar" / "config.toml", b"[scope]\nmode = 'publik'\n")


def _linked(path: Path, elsewhere: Path) -> Repair:
    path.rename(elsewhere)
    path.symlink_to(elsewhere)

    def repair() -> None:
        path.unlink()
        elsewhere.rename(path)

    return repair


def _linked_capture(program: Program) -> Repair:
    return _linked(program.cwd / ".roar", program.cwd.parent / "elsewhere")


def _linked_database(program: Program) -> Repair:
    return _linked(_database(program), program.cwd.parent / "elsewhere.db")


def _repository_that_git_refuses(program: Program) -> Repair:
    return _replaced(program.cwd / ".git" / "HEAD", b"")


@pytest.mark.parametrize(
    ("spoil", "code", "words"),
    [
        (_linked_capture, 2, [".roar of the project", "leads out of it", "elsewhere", "--follow-links"]),
        (_linked_database, 2, [".roar/roar.db of the project", "leads out of it", "elsewhere.db", "--follow-links"]),
        (_repository_that_git_refuses, 1, ["git cannot read the repository at", "not a git repository", "git -C"]),
        (_missing_database, 1, ["captured nothing here yet", "roar run"]),
        (_database_of_noise, 1, ["roar.db"]),
        (_truncated_database, 1, ["roar.db"]),
        (_empty_database, 1, ["is not roar's database"]),
        (_newer_schema, 1, ["newer roar", "pip install -U roar-publisher"]),
        (_no_active_session, 1, ["no roar session is active"]),
        (_config_of_noise, 1, ["config.toml cannot be read as TOML"]),
        (_config_with_a_wrong_type, 1, ["registration.omit.enabled must be true or false"]),
        (_config_with_a_bad_pattern, 1, ["pattern"]),
        (_config_with_a_bad_scope, 1, ["publik", "roar scope use"]),
    ],
)
def test_a_broken_project_is_reported(
    program: Program, registry: str, spoil: Callable[[Program], Repair], code: int, words: list[str]
) -> None:
    repair = spoil(program)
    _refuses(program, "publish", "--public", "-y", "--registry", registry, code=code, words=words)
    assert program.publishes == []
    repair()
    _succeeds(program("publish", "--public", "-y", "--registry", registry))


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("@9", ["no step @9", "@1, @2"]),
        ("no-such-file", ["no-such-file names no file"]),
        ("modle.bin", ["did you mean"]),
        ("ffffffffffff", ["names no file, job, step"]),
        (".gitignore", ["has not recorded .gitignore"]),
    ],
)
def test_an_unknown_target_is_reported(program: Program, registry: str, target: str, words: list[str]) -> None:
    _refuses(program, "publish", target, "--public", "-y", "--registry", registry, code=2, words=words)
    assert program.publishes == []


@pytest.mark.parametrize(
    ("registry", "words"),
    [
        ("nonsense", ["not an http(s) URL"]),
        ("ftp://host", ["not an http(s) URL"]),
        ("http://example.org", ["unencrypted", "ROAR_ALLOW_HTTP=1"]),
        ("https://user:hunter2@example.org", ["more than a host and a path"]),
        ("http://[::1", ["not an http(s) URL"]),
    ],
)
def test_an_invalid_registry_address_is_reported(program: Program, registry: str, words: list[str]) -> None:
    done = _refuses(program, "publish", "--public", "-y", "--registry", registry, code=2, words=words)
    assert "hunter2" not in done.err


def test_a_folder_outside_of_a_project_is_reported(program: Program, tmp_path: Path) -> None:
    outside = Program(tmp_path, program.state, program.env)
    _refuses(outside, "publish", "--public", "-y", code=1, words=["no roar project here"])


def test_a_removed_current_folder_is_reported(tmp_path: Path) -> None:
    def stand_nowhere() -> None:
        removed = tmp_path / "removed"
        removed.mkdir()
        os.chdir(removed)
        removed.rmdir()

    program = Program.within(tmp_path, tmp_path)
    for command in (["--public", "-y"], ["--resume"], ["--watch"], ["--dry-run"]):
        ended = program("publish", *command, before=stand_nowhere)
        ended.blames(ExitCode.FAILED, "current folder no longer exists", "(`cd`)")
    assert program("journal", "list", before=stand_nowhere).code == 0


def test_a_state_folder_that_is_a_file_is_reported(program: Program, registry: str) -> None:
    program.state.write_text("in the way")
    words = ["state folder", "ROAR_STATE_DIR"]
    _refuses(program, "publish", "--public", "-y", "--registry", registry, code=1, words=words)
    program.state.unlink()
    _succeeds(program("publish", "--public", "-y", "--registry", registry))


def test_a_read_only_state_folder_is_reported(program: Program, registry: str) -> None:
    elsewhere = Program(program.cwd, program.state, program.env | {"ROAR_STATE_DIR": "/proc/roar"})
    words = ["/proc/roar", "ROAR_STATE_DIR"]
    _refuses(elsewhere, "publish", "--public", "-y", "--registry", registry, code=1, words=words)
    _succeeds(program("publish", "--public", "-y", "--registry", registry))


def test_a_missing_home_folder_is_reported(program: Program, registry: str) -> None:
    nobodys = Program(program.cwd, program.state, program.env | {"ROAR_STATE_DIR": "~nosuchuser/x"})
    words = ["ROAR_STATE_DIR=~nosuchuser/x", "set ROAR_STATE_DIR to a folder"]
    for arguments in (("publish", "--public", "-y", "--registry", registry), ("journal", "list"), ("daemon", "status")):
        nobodys(*arguments).blames(2, *words)


def test_a_file_size_limit_is_reported(program: Program, registry: str) -> None:
    """The journal cannot be written: the file-size limit stands in for every disk that refuses."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_LIMIT, FILE_LIMIT))

    words = ["Nothing was sent or kept", "ROAR_STATE_DIR"]
    _refuses(program, "publish", "--public", "-y", "--registry", registry, code=1, words=words, before=limit)
    _refuses(program, "publish", "--resume", code=2, words=["is interrupted"])
    _succeeds(program("publish", "--public", "-y", "--registry", registry))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk that is nearly full, where this user may mount one."""
    mounted = tmp_path / "disk"
    mounted.mkdir()
    options = f"size={NEARLY_FULL},mode=0700"
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(mounted)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("a small disk cannot be mounted here")
    yield mounted
    subprocess.run(["umount", str(mounted)], check=True)


def test_a_full_disk_before_the_plan_is_kept_is_reported(program: Program, registry: str, disk: Path) -> None:
    filler = disk / "filler"
    filler.write_bytes(bytes(NEARLY_FULL - 3 * SMALLEST_DISK))
    there = Program(program.cwd, disk, program.env | {"ROAR_STATE_DIR": str(disk)})
    words = ["Nothing was sent or kept"]
    _refuses(there, "publish", "--public", "-y", "--registry", registry, code=1, words=words)
    filler.unlink()
    _succeeds(there("publish", "--public", "-y", "--registry", registry))


def test_a_publish_resumes_after_the_disk_filled_up(program: Program, registry: str, disk: Path) -> None:
    there = Program(program.cwd, disk, program.env | {"ROAR_STATE_DIR": str(disk)})
    there("publish", "--anonymous", "--registry", registry).blames(4)
    [publish_id] = there.publishes
    filler = disk / "filler"
    _fill(filler)
    _refuses(there, "publish", "--resume", "-y", code=3, words=["disk is full", publish_id])
    filler.unlink()
    _succeeds(there("publish", "--resume", "-y"))


def test_a_damaged_journal_is_reported_and_others_stay_visible(program: Program, registry: str) -> None:
    program("publish", "--anonymous", "--registry", registry).blames(4)
    [publish_id] = program.publishes
    journal = program.state / "publishes" / publish_id / "journal.db"
    repair = _replaced(journal, b"noise" * 5000)
    done = _refuses(program, "publish", "--resume", publish_id, code=1, words=["is damaged", "publish it again"])
    assert "checkpoint" not in done.err, "nothing is kept"
    for command in ("retry", "show"):
        _refuses(program, "journal", command, publish_id, code=1, words=["is damaged", "prune --all"])
    listed = program("journal", "list")
    assert listed.code == 0
    assert "unreadable" in listed.out
    repair()
    _succeeds(program("publish", "--resume", "-y"))


def test_a_damaged_user_key_is_reported(program: Program, registry: str) -> None:
    StateFolder(program.state).user_key()
    (program.state / "key").write_bytes(b"short")
    _refuses(program, "publish", "--public", "-y", "--registry", registry, code=3, words=["key is damaged", "rm "])


def test_a_publish_resumes_after_its_lock_could_not_be_opened(program: Program, registry: str) -> None:
    """As in a state folder that may only be read."""
    program("publish", "--anonymous", "--registry", registry).blames(4)
    [publish_id] = program.publishes
    lock = StateFolder(program.state).find(publish_id).lock
    lock.unlink()
    lock.mkdir()
    for arguments in (("publish", "--resume", "-y"), ("journal", "cancel", publish_id)):
        _refuses(program, *arguments, code=3, words=["cannot be opened", "ROAR_STATE_DIR"])
    lock.rmdir()
    _succeeds(program("publish", "--resume", "-y"))


def _refuses(
    program: Program, *arguments: str, code: int, words: Sequence[str], before: Callable[[], None] | None = None
) -> Ended:
    """Assert that a command ends with one clear message, and for a program with a reason that documents this code."""
    done, event = program(*arguments, before=before), program(*arguments, "--json", before=before)
    done.blames(code, *words)
    assert (event.code, event.last["exit_code"]) == (code, code)
    documented = exit_code_of(MEANINGS[Reason(event.last["reason"])].conclusion)
    nothing_to_resume = documented == ExitCode.INTERRUPTED and code == ExitCode.FAILED and program.publishes == []
    assert code == documented or nothing_to_resume, f"{event.last['reason']} is documented with {documented:d}"
    return done


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        for size in (65536, 4096, 512, 1):
            try:
                while file.write(bytes(size)):
                    pass
            except OSError:
                continue


def _succeeds(done: Ended) -> None:
    assert done.code == 0, done.err
    assert done.out.splitlines()[0] == HASH


@pytest.mark.parametrize(
    ("name", "value"), [("HTTPS_PROXY", "http://h:port"), ("HTTPS_PROXY", "ftp://h"), ("SSL_CERT_FILE", "/nowhere.pem")]
)
def test_a_setting_that_blocks_the_identity_service_is_reported(tmp_path: Path, name: str, value: str) -> None:
    program = Program.within(tmp_path, tmp_path, **{name: value})
    done = program("registry", "serve", "--port", "0", "--treqs-url", "https://treqs.example")
    done.blames(4, name)
