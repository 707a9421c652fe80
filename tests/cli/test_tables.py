"""Tables on terminals of every width: what a person copies from them is whole."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.program import Program
from tests.cli.test_terminal import at_terminal

LONG = " --with a long --command=line that/goes/on --for /quite/some/time --and --more --and more"

Shown = Callable[..., list[str]]


@pytest.fixture(params=[40, 80, 100, 300])
def width(request: pytest.FixtureRequest) -> int:
    """Columns of the terminal."""
    return int(request.param)


@pytest.fixture
def shown(program: Program, width: int) -> Shown:
    """What a command shows on a terminal of that width, line by line."""

    def show(*arguments: str) -> list[str]:
        there = Program(program.cwd, program.state, program.env | {"COLUMNS": str(width), "NO_COLOR": "1"})
        with at_terminal(there, *arguments) as terminal:
            assert terminal.ended() == 0
        return terminal.lines

    return show


def test_the_list_breaks_no_command_and_no_url(program: Program, registry: str, shown: Shown, width: int) -> None:
    done = program("publish", "--public", "-y", "--registry", registry)
    program("publish", "@1", "--anonymous", "--registry", registry).blames(4)
    [waiting] = [event["publish_id"] for event in program("journal", "list", "--json").events if event["next"]]
    url = done.out.splitlines()[1]
    heading, *lines = shown("journal", "list")
    assert heading.split()[:5] == ["ID", "STATUS", "DONE", "AGE", "TARGET"]
    if width == 300:
        assert lines[0].startswith(waiting)
        assert lines[0].endswith(f"needs confirmation; roar publish --resume {waiting}")
        assert lines[1].endswith(url)
    else:
        assert lines[0].startswith(waiting)
        assert lines[1] == f"  needs confirmation; roar publish --resume {waiting}"
        assert lines[3] == f"  {url}"


def test_the_status_breaks_no_command(program: Program, registry: str) -> None:
    program("publish", "--anonymous", "--registry", registry).blames(4)
    narrow = Program(program.cwd, program.state, program.env | {"COLUMNS": "40", "NO_COLOR": "1"})
    with at_terminal(narrow, "daemon", "status") as terminal:
        assert terminal.ended() == 3
    assert f"  needs confirmation; roar publish --resume {program.publishes[0]}" in terminal.lines


def test_a_long_command_leaves_room_for_the_other_columns(program: Program, shown: Shown, width: int) -> None:
    with closing(sqlite3.connect(program.cwd / ".roar" / "roar.db")) as connection, connection:
        connection.execute("UPDATE jobs SET command = command || ?", [LONG])
        uids = [row[0] for row in connection.execute("SELECT job_uid FROM jobs ORDER BY step_number")]
    lines = shown("publish", "--dry-run", "--public")
    assert "Would publish 2 jobs, 6 distinct inputs, 6 distinct outputs" in " ".join(lines)  # the table counts paths
    [at] = [number for number, line in enumerate(lines) if line.startswith("STEP")]
    assert lines[at].split() == ["STEP", "JOB", "IN", "OUT", "COMMAND"]
    for uid, line in zip(uids, lines[at + 1 :], strict=False):
        step, job, reads, writes, command = line.split()[:5]
        assert (step[0], job, reads.isdigit(), writes.isdigit()) == ("@", uid, True, True)
        assert command.startswith("/usr/bin")
        assert len(line) <= width


def test_ids_of_a_registry_are_shown_whole(program: Program, shown: Shown, tmp_path: Path) -> None:
    data = ("--data", str(tmp_path / "data"))
    program("registry", "user", "add", "alice", *data)
    grant = program("registry", "token", "issue", "alice", *data).err.split()[-1]
    assert any(line.startswith(f"{grant}  alice") for line in shown("registry", "token", "list", *data))
