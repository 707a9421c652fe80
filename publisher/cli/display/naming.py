"""The name under which this program was called: `roar`, or `roar-publish` if `roar` belongs to roar-cli.

Messages and help texts are written with `roar`. Before output, it is replaced by the name that the user can type.
"""

import os
import re
import sys

import click

DEFAULT = "roar"
UNAMBIGUOUS = "roar-publish"
_OURS = re.compile(r"(?<!-m )\broar (?=(?:publish|register|put|journal|daemon|registry|completion)\b)")
"""Matches roar-publisher's commands in a text, but not roar-cli's (`roar run`, `roar login`, `-m roar register`)."""


def program_name() -> str:
    """Return the name under which this process was called, or `roar` under `python -m roar_publisher`."""
    return UNAMBIGUOUS if os.path.basename(sys.argv[0]) == UNAMBIGUOUS else DEFAULT


def as_called(text: str) -> str:
    """Return the text with roar-publisher's commands under the name of this process."""
    name = program_name()
    return text if name == DEFAULT else _OURS.sub(f"{name} ", text)


def name_in_help(command: click.Command) -> click.Command:
    """Return the command with its help, and that of its subcommands, under the name of this process."""
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
