"""Standard streams that are closed or full, and what is said on those that are not."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from roar_publisher.cli.failure import report_error
from roar_publisher.publishing.errors import Unfinished
from roar_publisher.state.errors import NeedsUser, UsageProblem
from tests.support.cli.program import PATIENCE, Ended, Program
from tests.support.lineage.captured import recorded

HASH = recorded("linear", "session")["finalized_hash"]
STANDARD = (0, 1, 2)


@dataclass(frozen=True)
class Shell:
    """Runs the program as a shell does, with redirections behind its arguments."""

    program: Program

    def __call__(self, arguments: Sequence[str], redirections: str) -> Ended:
        line = f'exec "$0" -m roar_publisher "$@" {redirections}'
        done = subprocess.run(
            ["sh", "-c", line, sys.executable, *arguments],
            cwd=self.program.cwd,
            env=self.program.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        return Ended(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def shell(program: Program) -> Shell:
    return Shell(program)


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), STANDARD], ids=str)
def test_closed_streams_do_not_stop_a_publish(shell: Shell, registry: str, closed: tuple[int, ...]) -> None:
    redirections = " ".join(f"{number}>&-" for number in closed)
    publish = ("publish", "--public", "-y", "--registry", registry)
    for arguments in (publish, (*publish, "--dry-run"), ("journal", "list")):
        done = shell(arguments, redirections)
        assert (done.code, "defect" in done.err) == (0, False), f"{arguments}: {done.err}"
        assert bool(done.out) is (1 not in closed)
    assert HASH in shell(("journal", "list"), "").out


def test_no_file_gets_the_descriptor_of_a_closed_stream(shell: Shell, registry: str) -> None:
    code = (
        "import os, runpy, sys; from publisher import __main__ as program;"
        "program.run = lambda arguments: sum(os.fstat(n).st_rdev != os.stat(os.devnull).st_rdev for n in (0, 1, 2));"
        "program.main()"
    )
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" <&- >&- 2>&-', sys.executable, code],
        cwd=shell.program.cwd,
        env=shell.program.env,
        timeout=PATIENCE,
    )
    assert done.returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["journal", "list", "--json"],
        ["journal", "list"],
        ["publish", "--dry-run"],
        ["daemon", "status"],
        ["daemon", "logs"],
        ["completion", "bash"],
        ["--help"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_stdout_is_reported_on_stderr(
    shell: Shell, registry: str, arguments: list[str], unbuffered: str
) -> None:
    shell.program("publish", "--anonymous", "--registry", registry).blames(4)
    (shell.program.state / "daemon.log").write_text("a line\n")
    shell.program.env["PYTHONUNBUFFERED"] = unbuffered
    shell(arguments, ">/dev/full").blames(1, "stdout cannot be written: no space left")


def test_a_full_stderr_does_not_change_the_exit_code(shell: Shell) -> None:
    assert shell(["journal", "show", "ffffffff"], "2>/dev/full").code == 2


def test_a_publish_without_readable_output_is_published(shell: Shell, registry: str) -> None:
    """The exit code says that it is published, and stderr what became of the hash."""
    done = shell(["publish", "--public", "-y", "--registry", registry], ">/dev/full")
    assert (done.code, "Published 2 jobs" in done.err) == (0, True)
    assert done.err.lower().count("stdout cannot be written: no space left") == 1


def test_a_reader_that_goes_away_is_not_worth_a_warning(shell: Shell, registry: str) -> None:
    done = shell(["publish", "--public", "-y", "--json", "--registry", registry], "| head -n 1 > /dev/null")
    assert (done.code, "cannot be written" in done.err) == (0, False)


@pytest.mark.parametrize("arguments", [[], ["journal"], ["registry", "user"]], ids=str)
def test_a_group_without_a_command_shows_its_help(program: Program, arguments: list[str]) -> None:
    done = program(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err == program(*arguments, "--help").out


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("there is no publish 'a'", "There is no publish 'a'."),
        ("nofile.txt is no file", "nofile.txt is no file."),
        ("s3://nobucket/run1: there is no such bucket", "s3://nobucket/run1: there is no such bucket."),
        ("--private contradicts --public", "--private contradicts --public."),
    ],
)
def test_names_at_the_beginning_are_not_capitalised(
    what: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report_error(UsageProblem(what), as_json=False) == 2
    assert capsys.readouterr().err == f"Error: {sentence}\n"


def test_the_command_that_resumes_is_named_once() -> None:
    cause = NeedsUser("it expired", next_step="sign in (aws sso login)")
    assert Unfinished(cause, "12ab34cd").next_step == "sign in (aws sso login); then: roar publish --resume 12ab34cd"


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["publish", ""], "the target"),
        (["publish", "--registry", ""], "the registry (--registry)"),
        (["publish", "model.bin", "--to", " ", "-m", "v1"], "the destination"),
        (["publish", "model.bin", "--to", "stored", "-m", ""], "the message (-m)"),
        (["put", "", "stored", "-m", "v1"], "a source"),
        (["put", "model.bin", "", "-m", "v1"], "the destination"),
        (["put", "model.bin", "stored", "-m", ""], "the message (-m)"),
    ],
    ids=str,
)
def test_an_empty_value_is_rejected(program: Program, arguments: list[str], name: str) -> None:
    program(*arguments, "--public", "-y").blames(2, f"error: {name} is empty")
    assert program.publishes == []
