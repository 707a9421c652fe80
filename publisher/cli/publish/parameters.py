"""The options of `roar publish` and `roar put`. `options.py` holds the types of what they set."""

import click

from roar_publisher.cli.ids import complete_file, complete_live
from roar_publisher.cli.parameters import TRANSFER_LIMITS

NEWEST = "newest"
"""What an option without its ID stands for. No id begins so, because ids are hexadecimal."""


def _id_or_newest(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Return the beginning of an id, or "" for the newest publish.

    An empty ID, as that of a script's unset variable, is rejected: the newest may be another publish than was meant.
    """
    if value is not None and not value.strip():
        raise click.BadParameter("the ID is empty.")
    return "" if value == NEWEST else value


TARGET = click.argument("target", required=False, shell_complete=complete_file)
WATCH = click.option(
    "--watch",
    metavar="[ID]",
    is_flag=False,
    flag_value=NEWEST,
    callback=_id_or_newest,
    shell_complete=complete_live,
    help="Follow a publish, whichever process is working on it; Ctrl-C only stops watching. Without ID, the newest"
    " publish of this project.",
)
MAIN = (
    click.option(
        "--public",
        is_flag=True,
        help="Everyone may see it. Without --public and --private, the repository's scope decides.",
    ),
    click.option("--private", is_flag=True, help="Only you, or your project's members, may see it."),
    click.option("--anonymous", is_flag=True, help="Public, and sent without a credential."),
    click.option("-y", "--yes", is_flag=True, help="Do not ask: consent to redactions and to publishing anonymously."),
    click.option("--dry-run", is_flag=True, help="Show what would be stored and published; send nothing."),
    click.option(
        "--resume",
        metavar="[ID]",
        is_flag=False,
        flag_value=NEWEST,
        callback=_id_or_newest,
        shell_complete=complete_live,
        help="Continue an interrupted publish. Without ID, the newest one of this project that matches the other"
        " options.",
    ),
    click.option("--detach", is_flag=True, help="Plan it, leave it to the daemon, and return at once."),
)
FURTHER = (
    click.option(
        "--registry", metavar="URL", help="Use this registry instead of GLAAS_URL or the project's [glaas] url."
    ),
    click.option("--no-redact", is_flag=True, help="Publish secrets in commands and metadata unchanged."),
    click.option("--follow-links", is_flag=True, help="Also publish files outside the project that links lead to."),
    *TRANSFER_LIMITS,
    click.option(
        "--verify/--no-verify",
        default=None,
        help="Whether to read everything back after publishing and compare it. Default: verify under [publisher] in"
        " your own config.toml, or else no.",
    ),
    click.option("--json", "as_json", is_flag=True, help="Write one JSON object per line to stdout; see below."),
    click.option("-q", "--quiet", is_flag=True, help="Print only the hash and the URL."),
    click.option("-v", "--verbose", is_flag=True, help="Print a line for every event."),
)
PUT = (
    click.option("-m", "--message", required=True, help="What this put is for; kept with it."),
    click.option("-n", "--name", metavar="NAME", help="A name for the put job, stored as its label."),
    click.option(
        "--tag/--no-tag",
        default=None,
        help="--tag makes the git tag roar/COMMIT and pushes it to the remote; --no-tag makes none. By default, the tag"
        " is made unless [registration.tagging] disables it, and pushed only with push_tags = true under [publisher]"
        " in your own config.toml.",
    ),
    click.option("--again", is_flag=True, help="Make a new put job, even if the same put is in progress or finished."),
    click.option(
        "--dataset", is_flag=True, help="Treat each source folder as a dataset, even if nothing in it says so."
    ),
)
