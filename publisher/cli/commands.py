"""Which commands are ours and where they live, known without importing them: `roar --help` stays quick."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """Where a command's click object is, and its one line in `roar --help`."""

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
"""Every command of ours; its module has a click command of the same name."""

SUBSTITUTES = {"login": Place("roar_publisher.cli.login", "Sign in with a token file.")}
"""Commands of roar-cli that are ours where it is not installed."""

OPTIONS = frozenset({"--help", "-h", "--version"})
"""What may stand in place of a command."""
