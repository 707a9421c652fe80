"""The daemon's log: private, rotated, one printable line an event, no credential, and never in the way."""

import io
import itertools
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from roar_publisher.daemon import log as daemon_log
from roar_publisher.daemon.log import FILES, MOST_BYTES, about, follow, last_lines, open_log
from tests.support.processes import environment

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (INFO|WARNING|ERROR) (-|[0-9a-f]{8}) \S.*")
MARKED = {
    "bearer": "Authorization: Bearer marked-bearer-0123456789abcdef",
    "aws": "AWS_SECRET_ACCESS_KEY=marked/aws/0123456789abcdefghijklmnopqr",
    "userinfo": "https://somebody:marked-password@registry.example/api",
    "presigned": "https://bucket.example/k?X-Amz-Signature=marked0123456789abcdef0123456789abcdef",
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "daemon.log"


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """The logger outlives a test; its file does not."""
    yield
    log = logging.getLogger(daemon_log.NAME)
    for handler in tuple(log.handlers):
        log.removeHandler(handler)
        handler.close()


def test_every_line_has_a_time_a_level_and_the_publish(path: Path) -> None:
    log = open_log(path)
    log.info("awake, %d publishes", 3)
    about(log, "1f2e3d4c").warning("parked: %s", "auth")

    lines = path.read_text().splitlines()

    assert all(LINE.fullmatch(line) for line in lines)
    assert lines[0].endswith("Z INFO - awake, 3 publishes")
    assert lines[1].endswith("Z WARNING 1f2e3d4c parked: auth")


def test_a_text_with_line_ends_and_escapes_stays_one_printable_line(path: Path) -> None:
    open_log(path).info("it said: %s", "a\nb\r\x1b[31mred\u2028\u202eü\udc80")

    (line,) = path.read_text().split("\n")[:-1]

    assert line.isprintable()
    assert line.endswith(r"a\nb\r\x1b[31mred\u2028\u202eü\udc80")


@pytest.mark.parametrize("text", MARKED.values(), ids=MARKED.keys())
def test_a_credential_in_a_text_is_not_logged(path: Path, text: str) -> None:
    log = open_log(path)
    log.info("the server said: %s", text)
    about(log, "1f2e3d4c").error(text)

    assert "marked" not in path.read_text()
    assert "REDACTED" in path.read_text()


def test_the_type_and_location_of_an_exception_are_logged_and_never_its_text(path: Path) -> None:
    log = open_log(path)
    try:
        raise RuntimeError("marked-text")
    except RuntimeError:
        log.exception("ended by a defect")

    (line,) = path.read_text().splitlines()

    assert "ended by a defect: RuntimeError in test_the_type_and_location" in line
    assert "marked-text" not in line


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> int:
    """Bytes that a log file may have, few enough to be filled at once."""
    assert (MOST_BYTES, FILES) == (1024 * 1024, 3)
    monkeypatch.setattr(daemon_log, "MOST_BYTES", 1000)
    return 1000


def test_a_full_log_is_rotated_and_every_file_is_private(path: Path, small: int) -> None:
    log = open_log(path)
    for _ in range(10 * FILES):
        log.info("x" * (small // 5))

    files = sorted(path.parent.iterdir())

    assert [file.name for file in files] == ["daemon.log", *(f"daemon.log.{age}" for age in range(1, FILES))]
    assert all(file.stat().st_size <= small for file in files)
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


def test_a_file_that_others_could_read_becomes_private(path: Path) -> None:
    path.touch(0o644)
    path.chmod(0o644)

    open_log(path).info("here")

    assert path.stat().st_mode & 0o777 == 0o600


def test_the_file_is_opened_at_the_first_line(path: Path) -> None:
    log = open_log(path)
    assert not path.exists()

    log.info("here")
    assert path.exists()


def test_the_echo_gets_every_line_and_may_go_away(path: Path) -> None:
    echo = io.StringIO()
    log = open_log(path, echo=echo)
    log.info("one")
    assert echo.getvalue() == path.read_text()

    echo.close()
    log.info("two")
    assert path.read_text().endswith("two\n")


def test_opened_again_nothing_is_written_twice(path: Path) -> None:
    open_log(path).info("one")
    open_log(path).info("two")

    assert [line.split()[-1] for line in path.read_text().splitlines()] == ["one", "two"]


@pytest.mark.parametrize("cause", ["full disk", "a folder in its place", "no folder"])
def test_an_unwritable_log_is_reported_once_and_stops_nothing(tmp_path: Path, cause: str) -> None:
    if cause == "full disk" and not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    path = {"full disk": Path("/dev/full"), "a folder in its place": tmp_path, "no folder": tmp_path / "none" / "log"}
    code = (
        "import sys; from pathlib import Path; from roar_publisher.daemon.log import open_log\n"
        "log = open_log(Path(sys.argv[1]))\n"
        "for number in range(1000): log.info('line %d', number)\n"
        "print('continued')"
    )
    arguments = [sys.executable, "-W", "error", "-P", "-c", code, str(path[cause])]

    done = subprocess.run(arguments, env=environment(), capture_output=True, text=True, timeout=120)

    assert (done.returncode, done.stdout) == (0, "continued\n")
    [warning] = done.stderr.splitlines()
    assert warning.startswith(f"{path[cause]} cannot be written; the daemon continues without it: ")
    assert warning.endswith(" INFO - line 0")


def test_the_last_lines_reach_back_over_a_rotation(path: Path) -> None:
    path.with_name("daemon.log.2").write_text("one\ntwo\n")
    path.with_name("daemon.log.1").write_text("three\nfour\n")
    path.write_text("five\nsix, not ended")

    assert last_lines(path, 1) == ["five"]
    assert last_lines(path, 3) == ["three", "four", "five"]
    assert last_lines(path, 50) == ["one", "two", "three", "four", "five"]
    assert last_lines(path, 0) == []


def test_a_missing_log_has_no_lines(path: Path) -> None:
    assert last_lines(path, 50) == []


@pytest.mark.parametrize("opened", [1, 2])
def test_the_last_lines_are_shown_once_if_the_log_is_rotated_meanwhile(
    path: Path, monkeypatch: pytest.MonkeyPatch, opened: int
) -> None:
    open_one, count = daemon_log._open_log, itertools.count()

    def rotate_after(path_of_one: Path) -> io.BufferedReader | None:
        file = open_one(path_of_one)
        if next(count) == opened - 1:
            for age in range(FILES - 2, -1, -1):
                newer = path.with_name(f"{path.name}.{age}") if age else path
                if newer.exists():
                    newer.rename(path.with_name(f"{path.name}.{age + 1}"))
            path.write_text("four\n")
        return file

    path.write_text("three\n")
    path.with_name(f"{path.name}.1").write_text("two\n")
    path.with_name(f"{path.name}.2").write_text("one\n")
    monkeypatch.setattr(daemon_log, "_open_log", rotate_after)
    assert last_lines(path, 50) == ["two", "three"], "the oldest file was removed"


def test_a_follower_gets_every_line_once_across_rotations(path: Path, small: int) -> None:
    log = open_log(path)
    text = "x" * (small // 4)
    log.info("begin 0")
    numbers = itertools.count(1)

    def write(_seconds: float) -> None:
        """In place of each wait, two more lines: every second wait has a rotation in it."""
        for _ in range(2):
            log.info("%s %d", text, next(numbers))

    seen = [int(line.rpartition(" ")[2]) for line in itertools.islice(follow(path, 10, sleep=write), 40)]

    assert seen == list(range(40))
    assert path.with_name("daemon.log.2").exists()


def test_lines_written_just_before_a_rotation_are_shown(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text("one\n")
    has_name = daemon_log._has_name

    def rotated_meanwhile(file: io.BufferedReader, path: Path) -> bool:
        if not path.with_name("daemon.log.1").exists():
            with path.open("a") as log:
                log.write("two\n")
            path.rename(path.with_name("daemon.log.1"))
            path.write_text("three\n")
        return has_name(file, path)

    monkeypatch.setattr(daemon_log, "_has_name", rotated_meanwhile)

    assert list(itertools.islice(follow(path, 10), 3)) == ["one", "two", "three"]


def test_a_follower_waits_for_a_log_that_does_not_exist_yet(path: Path) -> None:
    waits = itertools.count()

    def write(_seconds: float) -> None:
        if next(waits) == 3:
            path.write_text("first\n")

    assert next(follow(path, 10, sleep=write)) == "first"
    assert next(waits) == 4


def test_a_follower_gets_a_line_once_it_is_complete(path: Path) -> None:
    path.write_text("half")
    rest = iter([" a line\nnext"])

    def write(_seconds: float) -> None:
        with path.open("a") as file:
            file.write(next(rest))

    assert next(follow(path, 10, sleep=write)) == "half a line"
