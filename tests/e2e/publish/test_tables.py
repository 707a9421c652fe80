"""Tables on terminals of every width: what a person copies from them is whole."""

import io
import sqlite3
from collections.abc import Callable
from contextlib import closing, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from msgspec.structs import replace

from roar_publisher.cli.journal.views import show_list
from roar_publisher.publishing.emitting import published_event
from roar_publisher.publishing.result import Result
from roar_publisher.state.objects import ObjectTally
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.publish import OwnedPublish
from roar_publisher.state.reasons import Reason
from roar_publisher.state.record import Progress
from roar_publisher.text import wrapped
from tests.e2e.publish.test_terminal import at_terminal
from tests.support.cli.program import Program
from tests.support.lineages import chain, cut, frozen, plan_of
from tests.support.state.folders import new_publish

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
    assert heading.split()[:6] == ["ID", "STATUS", "DONE", "AGE", "PROJECT", "TARGET"]
    assert all(waiting in line or waiting[:4] not in line for line in lines), "no id is cut"
    if width == 300:
        assert lines[0].startswith(waiting)
        assert lines[0].endswith(f"needs confirmation; roar publish --resume {waiting} --yes")
        assert lines[1].endswith(url)
    elif width == 40:
        assert lines[0].startswith(waiting)
        assert lines[1:3] == ["  needs confirmation", f"  roar publish --resume {waiting} --yes"]
        assert lines[4] == f"  {url.rpartition('/')[2]}"
    else:
        assert lines[0].startswith(waiting)
        assert lines[1] == f"  needs confirmation; roar publish --resume {waiting} --yes"
        assert lines[3] == f"  {url if len(url) + 2 <= width else url.rpartition('/')[2]}"
        assert all(len(line) <= width for line in lines)


def test_the_status_breaks_no_command(program: Program, registry: str) -> None:
    program("publish", "--anonymous", "--registry", registry).blames(4)
    narrow = Program(program.cwd, program.state, program.env | {"COLUMNS": "40", "NO_COLOR": "1"})
    with at_terminal(narrow, "daemon", "status") as terminal:
        assert terminal.ended() == 3
    assert f"  roar publish --resume {program.publishes[0]} --yes" in terminal.lines


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


@pytest.mark.parametrize("term", ["xterm-256color", "dumb"])
def test_the_width_is_what_the_terminal_itself_says(program: Program, term: str) -> None:
    """Without COLUMNS, and on one that cannot move its cursor, nothing is cut either."""
    with frozen(StateFolder(program.state), cut(chain(2))) as owned:
        owned.journal.park(reason=Reason.AUTH, detail="you are not signed in")
    env = {name: value for name, value in program.env.items() if name != "COLUMNS"} | {"NO_COLOR": "1"}
    narrow = Program(program.cwd, program.state, env)
    for arguments in (("journal", "list", "--all"), ("journal", "show", owned.paths.id), ("daemon", "status")):
        with at_terminal(narrow, *arguments, term=term, columns=40) as terminal:
            terminal.ended()
        assert "…" not in terminal.shown
        assert any(owned.paths.id in line for line in terminal.lines)
        assert f"roar publish --resume {owned.paths.id}" in terminal.shown


@pytest.mark.parametrize("text", ["a" * 64, f"see https://registry.example/dag/{'b' * 64} there", "one two three"])
def test_sentences_are_broken_between_words_alone(text: str) -> None:
    lines = wrapped(text, 40)
    assert " ".join(lines) == text
    assert all(len(line) <= 40 or " " not in line for line in lines)


def test_the_list_is_of_this_project_and_counts_the_others(folder: StateFolder, tmp_path: Path) -> None:
    for name, number in (("mine", 2), ("other", 1)):
        for _ in range(number):
            with OwnedPublish.create(folder) as made:
                made.journal.freeze(replace(plan_of(cut(chain(1)), made.paths.id), project=str(tmp_path / name)))
    damaged = new_publish(folder)
    damaged.journal.write_bytes(b"noise" * 2_000)
    everything, mine = _listed(folder, None), _listed(folder, tmp_path / "mine")
    assert (len(everything[0]), everything[1]) == (4, "")
    assert len(mine[0]) == 3, "and what cannot be read, which may be of this project"
    assert mine[1] == "1 publish of other projects: roar journal list --all\n"


def _listed(folder: StateFolder, project: Path | None) -> tuple[list[str], str]:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        show_list(folder, project, as_json=True)
    return out.getvalue().splitlines(), err.getvalue()


def test_the_project_is_that_of_the_folder_unless_another_is_named(program: Program, tmp_path: Path) -> None:
    with frozen(StateFolder(program.state), cut(chain(1))):
        pass  # of the project /nowhere
    here = program("journal", "list")
    assert (here.out, "1 publish of other projects" in here.err) == ("", True)
    assert "nowhere" in program("journal", "list", "--all").out
    outside = Program(tmp_path, program.state, program.env)
    assert "nowhere" in outside("journal", "list").out
    assert outside("journal", "list", "--project", str(program.cwd)).out == ""
    program("journal", "list", "--all", "--project", ".").blames(2, "--all contradicts --project")


@pytest.mark.parametrize(
    ("scope", "identity", "sentence"),
    [
        (None, "anonymous", "Public, published anonymously."),
        (None, "glaas:user:7", "Public, published as glaas:user:7."),
        ({"visibility": "private"}, "anonymous", "Private, published anonymously."),  # an earlier publish decides
        (
            {"visibility": "private", "owner_type": "user"},
            "treqs:user:al",
            "Private, in your own space, published as treqs:user:al.",
        ),
        (
            {"visibility": "private", "owner_id": "acme", "project_id": "models"},
            "treqs:user:al",
            "Private, in the project models of acme, published as treqs:user:al.",
        ),
    ],
)
def test_success_says_who_and_for_whom(scope: dict[str, str] | None, identity: str, sentence: str) -> None:
    plan = replace(plan_of(cut(chain(1)), "12ab34cd"), destination="s3://bucket/run")
    result = Result(plan, Progress(identity=identity, scope_request=scope), ObjectTally(3, 3, 1_200_000, 1_200_000))
    assert result.sentences() == [sentence, "Stored 3 files (1.2 MB) in s3://bucket/run."]
    facts = published_event(result).as_dict()
    assert (facts["visibility"], facts["identity"]) == (sentence.partition(",")[0].lower(), identity)
    assert (facts["destination"], facts["files"], facts["bytes"]) == ("s3://bucket/run", 3, 1_200_000)
