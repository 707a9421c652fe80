"""`--help` of every command fits on a terminal of 80 columns, and `publish` and `put` declare the same options."""

import importlib
from collections.abc import Iterator

import click
import pytest

from roar_publisher.cli.app import with_help_as_called
from roar_publisher.cli.commands import COMMANDS, SUBSTITUTES
from roar_publisher.cli.publish.command import publish, register
from roar_publisher.cli.publish.put import put

COLUMNS = 80


def contexts() -> Iterator[click.Context]:
    for name, entry in (COMMANDS | SUBSTITUTES).items():
        yield from _within(getattr(importlib.import_module(entry.module), name), name, None)


def _within(command: click.Command, name: str, parent: click.Context | None) -> Iterator[click.Context]:
    context = click.Context(command, info_name=name, parent=parent, terminal_width=COLUMNS)
    yield context
    if isinstance(command, click.Group):
        for inner, each in command.commands.items():
            yield from _within(each, inner, context)


@pytest.mark.parametrize("context", list(contexts()), ids=lambda context: str(context.command_path))
def test_help_is_at_most_80_columns_wide(context: click.Context) -> None:
    assert [line for line in context.get_help().splitlines() if len(line) > COLUMNS] == []


def test_help_under_another_name_changes_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    before = publish.help
    monkeypatch.setattr("sys.argv", ["roar-publish"])
    assert "roar-publish publish --resume" in (with_help_as_called(publish).help or "")
    assert publish.help == before


@pytest.mark.parametrize("context", list(contexts()), ids=lambda context: str(context.command_path))
def test_a_group_shows_the_whole_first_sentence_of_each_command(context: click.Context) -> None:
    assert [line for line in context.get_help().splitlines()[1:] if line.endswith("...")] == []


def test_an_option_of_publish_is_one_of_register_and_put() -> None:
    theirs = {parameter.name for parameter in publish.params}
    assert theirs <= {parameter.name for parameter in register.params}
    assert theirs - {parameter.name for parameter in put.params} == {"target", "watch", "destination"}
