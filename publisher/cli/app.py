"""The `roar` command group. It imports the module of a command when that command is used."""

import importlib
import sys
from collections.abc import Mapping, Sequence

import click

from roar_publisher import __version__
from roar_publisher.cli.commands import COMMANDS, SUBSTITUTES, CommandEntry
from roar_publisher.cli.display.streams import help_width, name_failures
from roar_publisher.cli.roar_cli import REPAIR, roar_cli_commands, roar_cli_installed, roar_script_note
from roar_publisher.naming import DEFAULT, as_called, program_name


class Program(click.Group):
    """The group of roar-publisher's commands, imported lazily."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*_entries(), *_only_in_roar_cli(_entries())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name) or _entries().get(cmd_name)  # our own need no search for roar-cli
        if entry is None:
            return _FILE_ARGUMENTS if ctx.resilient_parsing else None
        command = getattr(importlib.import_module(entry.module), cmd_name)
        assert isinstance(command, click.Command)
        return with_help_as_called(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands with their summaries. click's own method would import every module."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in _entries().items()])
        if theirs := _only_in_roar_cli(_entries()):
            with formatter.section("Commands of roar-cli"):
                formatter.write_dl(list(theirs.items()))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_paragraph()
        if roar_cli_installed():
            formatter.write_text(f"Uninstalling roar-publisher removes `roar`; to restore roar-cli's: {REPAIR}")
        else:
            formatter.write_text("roar's other commands come with roar-cli: pip install roar-cli")


_FILE_ARGUMENTS = click.Command("roar-cli's", params=[click.Argument(["words"], nargs=-1, type=click.Path())])
"""Stands in for roar-cli's commands in shell completion."""


def _only_in_roar_cli(ours: Mapping[str, CommandEntry]) -> dict[str, str]:
    """Return the commands of roar-cli that roar-publisher does not have."""
    return {name: summary for name, summary in roar_cli_commands().items() if name not in ours}


def _entries() -> dict[str, CommandEntry]:
    return COMMANDS if roar_cli_installed() else COMMANDS | SUBSTITUTES


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="roar-publisher", message="%(prog)s %(version)s")
def roar() -> None:
    """Publish the lineage that roar captured: journaled, resumable, exactly once."""


def start(arguments: Sequence[str]) -> int:
    """Run one of roar-publisher's commands and return its exit code. Raises whatever the command raises."""
    name_failures()
    if note := roar_script_note():
        from roar_publisher.cli.display.output import Output

        Output(sys.stderr).line(f"Note: {note}")
    try:
        result = roar.main(
            list(arguments),
            prog_name=program_name(),
            standalone_mode=False,
            obj=tuple(arguments),
            terminal_width=help_width(sys.stdout),
        )
    except click.UsageError as error:
        error.ctx = error.ctx or _context_of(arguments[0])  # click names no command if an option lacks its value
        raise
    return result if isinstance(result, int) else 0


def _context_of(name: str) -> click.Context | None:
    """Return the context of a command, by which an error names it."""
    program = click.Context(roar, info_name=program_name())
    command = roar.get_command(program, name)
    return click.Context(command, info_name=name, parent=program) if command else None


def with_help_as_called(command: click.Command) -> click.Command:
    """Return the command with its help, and that of its subcommands, under the name of this process."""
    if program_name() == DEFAULT:
        return command
    from copy import copy  # under the other name alone

    named = copy(command)
    named.help = as_called(command.help or "")
    named.epilog = as_called(command.epilog or "")
    named.params = [copy(parameter) for parameter in command.params]
    for parameter in named.params:
        if isinstance(parameter, click.Option):
            parameter.help = as_called(parameter.help or "")
    if isinstance(command, click.Group):
        assert isinstance(named, click.Group)
        named.commands = {name: with_help_as_called(each) for name, each in command.commands.items()}
    return named
