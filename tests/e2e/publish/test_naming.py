"""Messages name commands as they were called: `roar`, or `roar-publish`."""

import subprocess
import sys
from pathlib import Path

import click
import pytest

from roar_publisher.__main__ import run
from roar_publisher.cli import app
from roar_publisher.cli.commands import COMMANDS
from roar_publisher.cli.roar_cli import REPAIR, roar_cli_commands, roar_script_note
from roar_publisher.naming import as_called, program_name
from tests.support.processes import environment

UNAMBIGUOUS = Path(sys.executable).with_name("roar-publish")


def _called(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [name, "journal", "list"])


@pytest.mark.parametrize("name", ["/venv/bin/roar", "/venv/lib/roar_publisher/__main__.py", ""])
def test_commands_are_named_roar_by_default(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _called(name, monkeypatch)
    assert program_name() == "roar"
    assert as_called("then: roar publish --resume 1f") == "then: roar publish --resume 1f"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("roar publish --resume 1f", "roar-publish publish --resume 1f"),
        ("`roar journal list`; roar daemon start", "`roar-publish journal list`; roar-publish daemon start"),
        ("sign in (roar login), then: roar put x", "sign in (roar login), then: roar-publish put x"),
        ("roar run true; roar scope use acme/x", "roar run true; roar scope use acme/x"),
        ("python -m roar register --bind", "python -m roar register --bind"),
    ],
)
def test_commands_begin_with_the_name_that_was_called(text: str, named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _called("/venv/bin/roar-publish", monkeypatch)
    assert as_called(text) == named


def test_every_command_of_ours_is_named_so(monkeypatch: pytest.MonkeyPatch) -> None:
    _called("/venv/bin/roar-publish", monkeypatch)
    assert [name for name in COMMANDS if as_called(f"roar {name} x") != f"roar-publish {name} x"] == []


@pytest.mark.parametrize(
    "command", [["publish", "--help"], ["journal", "retry", "--help"], ["daemon", "logs", "--help"]]
)
def test_help_names_commands_by_the_name_that_was_called(command: list[str], tmp_path: Path) -> None:
    done = subprocess.run([UNAMBIGUOUS, *command], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "roar-publish" in done.stdout
    assert not any(f"roar {name}" in done.stdout for name in COMMANDS)


@pytest.mark.parametrize("command", [["list"], ["list", "--json"], ["show", "ab5e4aff", "--why"]])
def test_a_damaged_journal_is_shown_with_the_command_that_was_called(command: list[str], tmp_path: Path) -> None:
    damaged = tmp_path / "publishes" / "ab5e4aff"
    damaged.mkdir(parents=True)
    (damaged / "journal.db").write_bytes(b"no database" * 1000)
    env = environment(HOME=str(tmp_path), ROAR_STATE_DIR=str(tmp_path))
    done = subprocess.run([UNAMBIGUOUS, "journal", *command], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert "roar-publish journal prune" in done.stdout
    assert not any(f"roar {name}" in done.stdout for name in COMMANDS)


def test_an_error_names_the_command_that_was_called(tmp_path: Path) -> None:
    done = subprocess.run([UNAMBIGUOUS, "journal", "show", "1f"], cwd=tmp_path, capture_output=True, text=True)
    assert "Next: roar-publish journal list" in done.stderr


def test_a_list_names_the_command_that_was_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The journal is a link to itself: the system refuses to open it, as it would a folder of another user."""
    journal = tmp_path / "publishes" / "1f2e3d4c" / "journal.db"
    journal.parent.mkdir(parents=True)
    journal.symlink_to(journal)
    monkeypatch.setenv("ROAR_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "400")
    _called(str(UNAMBIGUOUS), monkeypatch)
    for as_json in ([], ["--json"]):
        assert run(["journal", "list", "--all", *as_json]) == 0
        assert "then: roar-publish publish --resume 1f2e3d4c" in capsys.readouterr().out


def test_help_and_completion_list_the_commands_of_roar_cli(capsys: pytest.CaptureFixture[str]) -> None:
    theirs = set(roar_cli_commands()) - set(COMMANDS)
    assert {"run", "status", "login", "scope"} <= theirs
    assert theirs <= set(app.roar.list_commands(click.Context(app.roar)))
    assert run(["--help"]) == 0
    shown = capsys.readouterr().out
    assert "Track a command with provenance" in shown
    assert REPAIR.split()[-1] in shown


def test_help_works_beside_a_roar_package_without_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(name: str) -> None:
        raise AttributeError(name)

    monkeypatch.setattr("roar_publisher.cli.roar_cli.import_module", fail)
    assert run(["--help"]) == 0
    assert "Publish captured lineage" in capsys.readouterr().out


@pytest.mark.parametrize("destination", ["hf://acme/model", "wandb://acme/run"])
def test_a_destination_of_roar_cli_is_passed_to_it(destination: str, monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[str] = []
    monkeypatch.setattr("os.execv", lambda path, command: became.extend(command))
    run(["put", "model.bin", destination, "-m", "v1", "--public"])
    assert became[-6:] == ["put", "model.bin", destination, "-m", "v1", "--public"]


def test_publish_to_a_destination_of_roar_cli_names_its_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["publish", "model.bin", "--to", "hf://acme/model", "-m", "v 1"]) == 2
    assert "Next: roar put model.bin hf://acme/model -m 'v 1'" in capsys.readouterr().err


def test_a_missing_roar_script_is_named_with_its_repair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _called(str(tmp_path / "roar-publish"), monkeypatch)
    assert REPAIR in (roar_script_note() or "")
    (tmp_path / "roar").touch()
    assert roar_script_note() is None
