"""The program around the commands: start-up, help, hand-over, completion, and its last line of defence."""

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from roar_publisher.__main__ import run
from roar_publisher.cli import app
from roar_publisher.cli.commands import COMMANDS
from roar_publisher.exit_codes import ExitCode
from roar_publisher.state.paths import StateFolder
from tests.support.checkout import CHECKOUT
from tests.support.cli.program import PATIENCE, Program
from tests.support.state.folders import new_publish

HEAVY = {"anyio", "asyncssh", "httpx2", "pydantic", "rich", "sqlite3", "sqlite_utils", "starlette", "transitions"}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["publish", "--help"], ["journal", "--help"]])
def test_help_loads_no_heavy_library(arguments: list[str]) -> None:
    code = (
        "import sys; from roar_publisher.__main__ import run; code = run(sys.argv[1:]);"
        f"heavy = {HEAVY!r} & set(sys.modules); sys.exit(str(heavy) if heavy else code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_every_command_is_where_the_table_says() -> None:
    context = click.Context(app.roar)
    for name in COMMANDS:
        command = app.roar.get_command(context, name)
        assert command is not None
        assert command.name == name


def test_publish_help_lists_every_exit_code(program: Program) -> None:
    text = program("publish", "--help").out
    for code in set(ExitCode) - {ExitCode.UNCHECKED}:  # which is that of `roar verify`
        assert re.search(rf"^ +{int(code)} +\w", text, re.MULTILINE)


def test_other_commands_become_roar_cli_with_the_same_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[str] = []
    monkeypatch.setattr("os.execv", lambda path, command: became.extend(command))
    run(["run", "--", "python", "train.py", "--json"])
    assert became[-6:] == ["roar", "run", "--", "python", "train.py", "--json"]


def test_without_roar_cli_the_message_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("roar_publisher.cli.roar_cli.roar_cli_installed", lambda: False)
    assert run(["status", "--verbose"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "Error: `roar status` needs roar-cli, which is not installed here.",
        "Next: pip install roar-cli",
    ]
    assert run(["publsh", "--public"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "Error: There is no command `roar publsh` here.",
        "Next: roar publish, or: pip install roar-cli",
    ]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_completion_prints_the_script_of_a_shell(program: Program, shell: str) -> None:
    done = program("completion", shell)
    assert done.code == 0
    assert "_ROAR_COMPLETE" in done.out


def test_completion_knows_publish_ids(program: Program) -> None:
    publish_id = new_publish(StateFolder(program.state)).id
    words = {"_ROAR_COMPLETE": "bash_complete", "COMP_WORDS": f"roar journal show {publish_id[:2]}", "COMP_CWORD": "3"}
    completing = Program(program.cwd, program.state, program.env | words)
    assert completing().out == f"plain,{publish_id}\n"


@pytest.mark.parametrize(
    "words", ["roar publish mod", "roar put mod", "roar put model.bin mod", "roar run mod", "roar run python -u mod"]
)
def test_completion_leaves_file_names_to_the_shell(program: Program, words: str) -> None:
    assert _completed(program, words) == ["file,mod"]


@pytest.mark.parametrize("option", ["--resume", "--watch"])
def test_completion_offers_publishes_with_work_left(program: Program, registry: str, option: str) -> None:
    program("publish", "--public", "-y", "--registry", registry)
    [ended] = program.publishes
    program("publish", "@1", "--anonymous", "--registry", registry).blames(4)
    [live] = set(program.publishes) - {ended}
    assert _completed(program, f"roar publish {option} ''") == [f"plain,{live}"]


def _completed(program: Program, words: str) -> list[str]:
    """What a shell is offered for the last of the words: the kind and the text of each."""
    asked = {"_ROAR_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    return Program(program.cwd, program.state, program.env | asked)().out.splitlines()


def test_completion_is_empty_if_nothing_can_be_read(program: Program) -> None:
    program.state.write_text("in the way")
    words = {"_ROAR_COMPLETE": "bash_complete", "COMP_WORDS": "roar journal show ", "COMP_CWORD": "3"}
    done = Program(program.cwd, program.state, program.env | words)()
    assert (done.code, done.out.strip(), done.err) == (0, "", "")


def test_a_defect_is_one_sentence_without_its_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    password = "-".join(["hunter", "2"])

    def explode(arguments: object) -> int:
        raise ZeroDivisionError(password)

    monkeypatch.setattr(app, "start", explode)
    assert run(["publish"]) == 1
    plain = capsys.readouterr().err
    assert "defect of roar-publisher (ZeroDivisionError)" in plain
    assert "Traceback" not in plain
    monkeypatch.setenv("ROAR_DEBUG", "1")
    assert run(["publish"]) == 1
    debugged = capsys.readouterr().err
    assert "in explode" in debugged
    assert password not in plain + debugged


def test_ctrl_c_outside_of_a_run_exits_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(arguments: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(app, "start", interrupt)
    assert run(["publish"]) == 130
    assert capsys.readouterr().err == "Stopped on request.\n"


def test_errors_are_the_last_json_line(program: Program) -> None:
    done = program("publish", "--nonsense", "--json")
    assert done.code == 2
    assert (done.last["event"], done.last["exit_code"], done.last["reason"]) == ("error", 2, "usage")
    assert done.err == ""


def test_registry_serve_prints_its_url_first_and_stops_on_sigterm(program: Program, tmp_path: Path) -> None:
    with program.started("registry", "serve", "--data", str(tmp_path / "data")) as server:
        assert server.stdout is not None
        assert server.stdout.readline().startswith("http://127.0.0.1:")
        server.terminate()
        assert server.wait(PATIENCE) == 0


def test_registry_serve_explains_a_port_that_is_taken(program: Program, registry: str, tmp_path: Path) -> None:
    port = registry.rpartition(":")[2]
    done = program("registry", "serve", "--port", port, "--data", str(tmp_path / "data"))
    done.blames(1, f"127.0.0.1:{port}", "choose another --port")


def test_registry_serve_explains_an_unwritable_data_folder(program: Program, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("in the way")
    program("registry", "serve", "--data", str(tmp_path / "data")).blames(1, "--data")
