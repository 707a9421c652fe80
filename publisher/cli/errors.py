"""The errors of the command line alone."""

from roar_publisher.cli.display.streams import StdoutLost
from roar_publisher.state.errors import PublisherError


class OutputLost(PublisherError):
    """The output of a command cannot be written to stdout."""

    def __init__(self, cause: StdoutLost) -> None:
        super().__init__(
            f"stdout cannot be written: {cause.strerror or cause}",
            next_step="free space where stdout is written, and repeat the command",
        )
