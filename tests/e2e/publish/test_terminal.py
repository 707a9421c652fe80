"""A person at a terminal: questions, passphrases, Ctrl-C; on a real pseudo-terminal."""

import os
import pty
import re
import select
import sqlite3
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import asyncssh

from roar_publisher.state.paths import StateFolder
from roar_publisher.state.status_reader import count_status
from tests.support.cli.program import PATIENCE, Program
from tests.support.cli.servers import answering, http
from tests.support.lineage.captured import recorded

HASH = recorded("linear", "session")["finalized_hash"]
SECRET = "ghp_0123456789abcdefghijABCDEFGHIJ012345"
CTRL_C = "\x03"
MANY_MINUTES_TO_READ_BYTES = 4 * 1024**4
ECHO = 3
"""Where termios keeps the flags that ECHO is one of."""


class Terminal:
    """A program on a terminal: type to it, and read what it shows."""

    def __init__(self, handle: int, process: subprocess.Popen[bytes]) -> None:
        self._handle = handle
        self._process = process
        self.shown = ""

    def wait_for(self, words: str) -> None:
        """Read until the words are shown, however they are broken into lines."""
        deadline = time.monotonic() + PATIENCE
        while words not in self.text:
            assert self._read(deadline - time.monotonic()), f"{words!r} was not shown: {self.text}"

    def type(self, text: str) -> None:
        os.write(self._handle, text.encode())

    def ended(self) -> int:
        """Read to the end, and return the exit code."""
        deadline = time.monotonic() + PATIENCE
        while self._read(deadline - time.monotonic()):
            pass
        return self._process.wait(PATIENCE)

    @property
    def text(self) -> str:
        """What was shown, without what steers the terminal, and with single spaces."""
        return " ".join(self._clean.split())

    @property
    def lines(self) -> list[str]:
        """What was shown, line by line, without blanks at their ends."""
        return [line.rstrip() for line in self._clean.splitlines()]

    @property
    def _clean(self) -> str:
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.shown)

    def echoes(self) -> bool:
        """Whether the terminal shows what is typed."""
        return bool(termios.tcgetattr(self._handle)[ECHO] & termios.ECHO)

    def _read(self, seconds: float) -> bool:
        """Take in what comes next; False at the end. The end of a terminal is an error on Linux."""
        ready, _, _ = select.select([self._handle], [], [], max(0.0, seconds))
        chunk = b""
        with suppress(OSError):
            chunk = os.read(self._handle, 65536) if ready else b""
        self.shown += chunk.decode(errors="replace")
        return bool(chunk)


@contextmanager
def at_terminal(
    program: Program, *arguments: str, term: str = "xterm-256color", columns: int = 80
) -> Iterator[Terminal]:
    """The program with a terminal for its input and output, and for its Ctrl-C."""
    handle, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    process = subprocess.Popen(
        [sys.executable, "-c", _CONTROLLING, sys.executable, "-m", "roar_publisher", *arguments],
        cwd=program.cwd,
        env=program.env | {"TERM": term},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    with process:
        try:
            yield Terminal(handle, process)
        finally:
            process.kill()
            os.close(handle)


_CONTROLLING = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Makes the terminal the one that Ctrl-C comes from, then becomes the program."""


def test_a_yes_publishes(program: Program, registry: str) -> None:
    with at_terminal(program, "publish", "--anonymous", "--registry", registry) as terminal:
        terminal.wait_for("Publish it? [y/N]")
        terminal.type("y\n")
        assert terminal.ended() == 0
    assert HASH in terminal.text
    for words in ("Asking the registry", "Sending lineage", "Published 2 jobs"):
        assert words in terminal.text


def test_a_no_publishes_nothing(program: Program, registry: str) -> None:
    with at_terminal(program, "publish", "--anonymous", "--registry", registry) as terminal:
        terminal.wait_for("Publish it? [y/N]")
        terminal.type("\n")
        assert terminal.ended() == 4
    [publish_id] = program.publishes
    assert f"Not published, because you declined. Publish {publish_id} is cancelled." in terminal.text
    [facts] = program("journal", "list", "--json").events
    assert facts["status"] == "cancelled"
    program("publish", "--resume").blames(2, "is interrupted")


def test_consent_survives_a_stop(program: Program) -> None:
    """Nothing answers after the question, so it is stopped there; the next run has the answer in its journal."""
    health = http("200 OK", b'{"features": {"registration_sessions": {"anonymous_public": true}}}')
    away = http("503 Service Unavailable", b"{}", "Retry-After: 30")
    with answering(lambda request: health if b"/health" in request else away) as server:
        with at_terminal(program, "publish", "--anonymous", "--registry", server.url) as terminal:
            terminal.wait_for("Publish it? [y/N]")
            terminal.type("y\n")
            terminal.wait_for("Sending lineage")
            terminal.type(CTRL_C)
            assert terminal.ended() == 130
    [publish_id] = program.publishes
    assert count_status(StateFolder(program.state).find(publish_id)).queued.agreed


def test_ctrl_c_at_a_prompt_stops_at_once(program: Program, registry: str) -> None:
    with at_terminal(program, "publish", "--anonymous", "--registry", registry) as terminal:
        terminal.wait_for("Publish it? [y/N]")
        terminal.type(CTRL_C)
        assert terminal.ended() == 130
    [publish_id] = program.publishes
    assert f"Next: roar publish --resume {publish_id}" in terminal.text


def test_ctrl_c_twice_while_it_waits_stops_with_the_command_that_resumes(program: Program) -> None:
    refusing = answering(http("503 Service Unavailable", b"{}", "Retry-After: 30"))
    with refusing as server, at_terminal(program, "publish", "--public", "-y", "--registry", server.url) as terminal:
        terminal.wait_for("the registry asks to wait, next try in")
        terminal.type(CTRL_C)
        terminal.wait_for("Stopping")
        terminal.type(CTRL_C)
        assert terminal.ended() == 130
    [publish_id] = program.publishes
    assert f"Next: roar publish --resume {publish_id}" in terminal.text
    assert "Traceback" not in terminal.text


def test_secrets_are_confirmed_by_shape_before_anything_is_kept(program: Program, registry: str) -> None:
    with closing(sqlite3.connect(program.cwd / ".roar" / "roar.db")) as connection, connection:
        connection.execute("UPDATE jobs SET command = command || ' ' || ? WHERE step_number = 1", [SECRET])
    with at_terminal(program, "publish", "--public", "--registry", registry) as terminal:
        terminal.wait_for("1 secret will be redacted: github-token (1).")
        terminal.wait_for("Publish the rest? [y/N]")
        assert program.publishes != []
        terminal.type("n\n")
        assert terminal.ended() == 4
    assert program.publishes == []
    assert SECRET not in terminal.shown


def test_a_passphrase_is_read_without_echo(program: Program, registry: str) -> None:
    _locked_key(Path(program.env["HOME"]), "open sesame")
    with at_terminal(program, "publish", "--public", "--registry", registry) as terminal:
        terminal.wait_for("assphrase")
        assert not terminal.echoes()
        terminal.type("open sesame\n")
        terminal.wait_for("Publishing")
        assert terminal.echoes()
        terminal.type(CTRL_C)
        terminal.ended()
    assert "sesame" not in terminal.shown


def test_ctrl_c_at_the_passphrase_stops_and_restores_the_echo(program: Program, registry: str) -> None:
    _locked_key(Path(program.env["HOME"]), "open sesame")
    with at_terminal(program, "publish", "--public", "--registry", registry) as terminal:
        terminal.wait_for("assphrase")
        terminal.type(CTRL_C)
        assert terminal.ended() == 130
        assert terminal.echoes()
    assert program.publishes == []


def test_a_dumb_terminal_gets_plain_lines(program: Program, registry: str) -> None:
    arguments = ("publish", "--public", "-y", "--registry", registry)
    with at_terminal(program, *arguments, term="dumb") as terminal:
        assert terminal.ended() == 0
    assert "\x1b" not in terminal.shown
    assert "Opening a session\r\n" in terminal.shown, "lines without columns"
    assert HASH in terminal.text


def _locked_key(home: Path, passphrase: str) -> None:
    key = asyncssh.generate_private_key("ssh-ed25519")
    folder = home / ".ssh"
    folder.mkdir(mode=0o700)
    key.write_private_key(folder / "id_ed25519", passphrase=passphrase)
    key.write_public_key(folder / "id_ed25519.pub")


def test_ctrl_c_does_not_wait_for_a_large_file_to_be_read(program: Program, tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(MANY_MINUTES_TO_READ_BYTES)
    put = ("put", str(tmp_path / "large"), str(tmp_path / "stored"), "-m", "v1", "--public", "-y")
    with at_terminal(program, *put) as terminal:
        terminal.wait_for("/4.4 TB")
        terminal.type(CTRL_C)
        assert terminal.ended() == 130
    assert "Nothing was sent or kept." in terminal.text
    assert program.publishes == []


def test_a_bundle_is_imported_only_after_confirmation(program: Program, registry: str, tmp_path: Path) -> None:
    program("publish", "--anonymous", "--registry", registry).blames(4)
    file, there = tmp_path / "moved.tar", Program(program.cwd, tmp_path / "there", program.env.copy())
    there.env["ROAR_STATE_DIR"] = str(there.state)
    assert program("journal", "export", program.publishes[0], str(file)).code == 0
    for answer, code, kept in (("\n", 4, []), ("n\n", 4, []), (CTRL_C, 130, []), ("y\n", 0, program.publishes)):
        with at_terminal(there, "journal", "import", str(file), columns=500) as terminal:
            terminal.wait_for("Import it? Nothing is sent until you resume it. [y/N]")
            assert f"to the registry {registry}, without a credential" in terminal.text
            terminal.type(answer)
            assert terminal.ended() == code
        assert there.publishes == kept
