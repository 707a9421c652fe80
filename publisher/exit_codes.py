"""The exit codes of the process, as docs/publishing.md documents them."""

from enum import IntEnum

from roar_publisher.state.errors import Conclusion


class ExitCode(IntEnum):
    """One code for each way in which a command ends."""

    PUBLISHED = 0
    FAILED = 1
    USAGE = 2
    INTERRUPTED = 3
    NEEDS_USER = 4
    OWNED = 5
    UNCHECKED = 6
    STOPPED = 130


def exit_code_of(conclusion: Conclusion) -> ExitCode:
    """Return the exit code of a command that ends this way."""
    return ExitCode[conclusion.name]
