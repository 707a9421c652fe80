"""The name under which this program was called: `roar`, or `roar-publish` if `roar` belongs to roar-cli.

Messages and help texts are written with `roar`. Before output, it is replaced by the name that the user can type.
"""

import os
import re
import sys

DEFAULT = "roar"
UNAMBIGUOUS = "roar-publish"
_OURS = re.compile(
    r"(?<!-m )\broar "
    r"(?=(?:publish|register|put|verify|fetch|receipt|journal|checkpoints|daemon|registry|summary|completion)\b)"
)
"""Matches roar-publisher's commands in a text, but not roar-cli's (`roar run`, `roar login`, `-m roar register`)."""


def program_name() -> str:
    """Return the name under which this process was called, or `roar` under `python -m roar_publisher`."""
    return UNAMBIGUOUS if os.path.basename(sys.argv[0]) == UNAMBIGUOUS else DEFAULT


def as_called(text: str) -> str:
    """Return the text with roar-publisher's commands under the name of this process."""
    name = program_name()
    return text if name == DEFAULT else _OURS.sub(f"{name} ", text)
