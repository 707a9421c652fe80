"""The table of roar-publisher's commands and their modules. Importing none of them keeps `roar --help` fast."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """The module that defines a command's click object, and the command's summary in `roar --help`."""

    module: str
    summary: str


OURS = {
    "publish": Place("roar_publisher.cli.publish.command", "Publish captured lineage; survives interruption."),
    "register": Place("roar_publisher.cli.publish.command", "The same as publish, under roar's own name."),
    "put": Place("roar_publisher.cli.publish.put", "Store files and publish their lineage with them."),
    "journal": Place("roar_publisher.cli.journal.command", "See, cancel, retry and prune publishes on this machine."),
    "daemon": Place("roar_publisher.cli.daemon.command", "Publish in the background."),
    "registry": Place("roar_publisher.cli.registry.command", "Run a registry of your own."),
    "completion": Place("roar_publisher.cli.completion", "Print the script that completes commands in your shell."),
}
"""All commands of roar-publisher. Each module has a click command of the same name."""

SUBSTITUTES = {"login": Place("roar_publisher.cli.login", "Sign in with a token file.")}
"""Commands of roar-cli that roar-publisher provides if roar-cli is not installed."""

OPTIONS = frozenset({"--help", "-h", "--version"})
"""Options that may stand in place of a command."""
