"""Texts as words of commands to type."""

import os
import shlex


def shell_word(text: str) -> str:
    """Return the text as one word of a command to type, on one line, whatever it contains.

    A project, a lineage or a server may have chosen the text.
    """
    if text.isprintable():
        return shlex.quote(text)
    return "$'" + "".join(_in_ansi_c(character) for character in text) + "'"


def _in_ansi_c(character: str) -> str:
    """Return a character as it is written between `$'` and `'`."""
    if character.isprintable():
        return f"\\{character}" if character in "\\'" else character
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(character))
