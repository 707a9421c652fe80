"""The name that this program was called by: `roar`, or `roar-publish` where `roar` is roar-cli's.

Messages and help are written with `roar`; what a person reads names the command that person can type.
"""

import re
import sys
from pathlib import Path

import click

DEFAULT = "roar"
UNAMBIGUOUS = "roar-publish"
_OURS = re.compile(r"(?<!-m )\broar (?=(?:publish|register|put|journal|daemon|registry|completion)\b)")
"""A command of ours in a text.  roar-cli's own (`roar run`, `roar login`, `-m roar register`) stay as they are."""


def program_name() -> str:
    """The name that this process was called by; `roar` under `python -m roar_publisher`."""
    return UNAMBIGUOUS if Path(sys.argv[0]).name == UNAMBIGUOUS else DEFAULT


def as_called(text: str) -> str:
    """The text with our commands under the name that this process was called by."""
    name = program_name()
    return text if name == DEFAULT else _OURS.sub(f"{name} ", text)


def name_in_help(command: click.Command) -> click.Command:
    """The command with its help, and that of its subcommands, under the name that this process was called by."""
    if program_name() != DEFAULT:
        command.help = as_called(command.help or "")
        command.epilog = as_called(command.epilog or "")
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                parameter.help = as_called(parameter.help or "")
        if isinstance(command, click.Group):
            for each in command.commands.values():
                name_in_help(each)
    return command
