"""The table of roar-publisher's commands and their modules. Importing none of them keeps `roar --help` fast."""

from typing import NamedTuple


class CommandEntry(NamedTuple):
    """The module that defines a command's click object, and the command's summary in `roar --help`."""

    module: str
    summary: str


COMMANDS = {
    "publish": CommandEntry("roar_publisher.cli.publish.command", "Publish captured lineage, resumable at any point."),
    "register": CommandEntry("roar_publisher.cli.publish.command", "The same as publish, under roar's own name."),
    "put": CommandEntry("roar_publisher.cli.publish.put", "Store files and publish their lineage with them."),
    "verify": CommandEntry("roar_publisher.cli.verify.command", "Read a published lineage back and prove its hash."),
    "fetch": CommandEntry("roar_publisher.cli.fetch.command", "Fetch the files that a published lineage stored."),
    "receipt": CommandEntry("roar_publisher.cli.receipt", "Print the signed receipt of a published lineage."),
    "journal": CommandEntry("roar_publisher.cli.journal.command", "Show, cancel, retry, prune and move publishes."),
    "checkpoints": CommandEntry("roar_publisher.cli.checkpoints", "List checkpoints that training runs submitted."),
    "daemon": CommandEntry("roar_publisher.cli.daemon.command", "Publish in the background."),
    "registry": CommandEntry("roar_publisher.cli.registry.command", "Run a registry, or choose which ones to trust."),
    "summary": CommandEntry("roar_publisher.cli.summary", "Summarise a publish in Markdown, for a CI job's page."),
    "completion": CommandEntry("roar_publisher.cli.completion", "Print the completion script for your shell."),
}
"""All commands of roar-publisher. Each module has a click command of the same name."""

SUBSTITUTES = {"login": CommandEntry("roar_publisher.cli.login", "Sign in with a token file.")}
"""Commands of roar-cli that roar-publisher provides if roar-cli is not installed."""

OPTIONS = frozenset({"--help", "-h", "--version"})
"""Options that may stand in place of a command."""
