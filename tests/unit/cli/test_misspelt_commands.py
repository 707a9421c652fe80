"""A misspelt command of ours is not handed to roar-cli, whose help does not list the one that is meant."""

import os
from types import SimpleNamespace
from typing import Never

import pytest

from roar_publisher.cli import roar_cli
from roar_publisher.state.errors import UsageProblem


class Handed(Exception):
    """Raised in place of becoming roar-cli."""


@pytest.mark.parametrize(
    ("command", "theirs", "meant"),
    [
        ("publsh", {"run"}, "publish"),
        ("journl", {"run"}, "journal"),
        ("run", {"run"}, None),
        ("publsh", {"publsh"}, None),
        ("publsh", set[str](), None),
        ("put", {"run"}, None),
        ("--json", {"run"}, None),
    ],
)
def test_a_command_that_looks_like_ours_is_answered_with_it(
    monkeypatch: pytest.MonkeyPatch, command: str, theirs: set[str], meant: str | None
) -> None:
    def become(*_: object) -> Never:
        raise Handed

    module = SimpleNamespace(cli=SimpleNamespace(commands=dict.fromkeys(theirs)))
    monkeypatch.setattr(roar_cli, "roar_cli_installed", lambda: True)
    monkeypatch.setattr(roar_cli, "import_module", lambda name: module)
    monkeypatch.setattr(os, "execv", become)
    if meant is None:
        with pytest.raises(Handed):
            roar_cli.run_roar_cli([command])
        return
    with pytest.raises(UsageProblem, match="there is no command") as caught:
        roar_cli.run_roar_cli([command, "list"])
    assert caught.value.next_step == f"roar {meant}, or: roar --help"
