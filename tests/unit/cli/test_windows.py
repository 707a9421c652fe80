"""A system that the program does not run on is named, instead of a module that is missing there."""

import sys

import pytest

import roar_publisher
from roar_publisher.__main__ import run


@pytest.mark.parametrize("command", ["publish", "put", "verify"])
def test_a_command_says_where_the_program_runs(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert run([command]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "Error: roar-publisher does not run on Windows.\nNext: install it inside of WSL\n"


def test_the_python_api_says_where_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(ImportError, match="inside of WSL"):
        roar_publisher.__getattr__("publish")
    with pytest.raises(AttributeError):
        roar_publisher.__getattr__("no_such_name")
