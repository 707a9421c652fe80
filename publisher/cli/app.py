"""The `roar` command group: loads the module of a command when that command is used."""

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from roar_publisher import __version__
from roar_publisher.cli.commands import OURS, SUBSTITUTES, Place
from roar_publisher.cli.handover import roar_cli_installed
from roar_publisher.cli.streams import name_failures


class Program(click.Group):
    """Our commands, imported one by one as they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_places())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = _places().get(cmd_name)
        if place is None:
            return _TAKES_FILES if ctx.resilient_parsing else None
        command = getattr(importlib.import_module(place.module), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands with their summaries; click's own would import every module."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, place.summary) for name, place in _places().items()])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_paragraph()
        if roar_cli_installed():
            formatter.write_text("Every other command (`roar run`, `roar status`, …) is handed to roar-cli.")
        else:
            formatter.write_text("roar's other commands come with roar-cli: pip install roar-cli")


_TAKES_FILES = click.Command("roar-cli's", params=[click.Argument(["words"], nargs=-1, type=click.Path())])
"""What shell completion takes a command of roar-cli's for."""


def _places() -> dict[str, Place]:
    return OURS if roar_cli_installed() else OURS | SUBSTITUTES


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="roar-publisher", message="%(prog)s %(version)s")
def roar() -> None:
    """Publish the lineage that roar captured: journaled, resumable, exactly once."""


def start(arguments: Sequence[str]) -> int:
    """Run a command of ours and return its exit code.  Raises whatever the command raises."""
    name_failures()
    result = roar.main(list(arguments), prog_name=program_name(), standalone_mode=False)
    return result if isinstance(result, int) else 0


def program_name() -> str:
    """The name that we were called by, which shell completion goes by; `roar` under `python -m roar_publisher`."""
    name = Path(sys.argv[0]).name
    return name if name == "roar-publish" else "roar"
