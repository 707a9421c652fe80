"""`roar put`: the command line. The implementation is in `publishing`, which is imported when needed."""

from typing import Any
from urllib.parse import urlsplit

import click

from roar_publisher.cli.publish.command import (
    EXIT_CODES,
    JSON,
    complete_file,
    detach_option,
    follow_links_option,
    no_redact_option,
    resume_option,
    transfer_options,
)
from roar_publisher.cli.publish.options import Options, PutOptions
from roar_publisher.cli.roar_cli import SCHEMES, hand_over

HELP = """\
Store files in object storage and publish their lineage with them, as one visible step.

The last argument is the destination, all before it are sources: files, folders, steps (@N: what it wrote) or digests;
no source is everything that the active session wrote.  Readers never meet a link to a file that is not there.  Whatever
interrupts it, `roar publish --resume` goes on, with the parts that the store does not have yet.

A put is the same as an earlier one if the contents (by digest), their addresses, the lineage, its commit and the
message are the same. One that was interrupted is resumed; one that is finished is only named, unless --again is given.

\b
Destinations:
  s3://bucket/prefix     any S3-compatible store (AWS_ENDPOINT_URL, profiles, …)
  gs://bucket/prefix     Google Cloud Storage
  file:///folder         a folder; an absolute path is the same
  hf://…, wandb://…      handed to roar-cli, with the same arguments

\b
Examples:
  roar put model.pt s3://bucket/release -m "v1.0" --public
  roar put outputs/ @4 s3://bucket/run-42 -m "all of it"
  roar put s3://bucket/run-42 -m "what the session wrote"
  roar put outputs/ s3://bucket/run-42 -m "overnight" -y --detach
  roar put outputs/ s3://bucket/run-42 -m "look first" --dry-run
"""


@click.command(help=HELP, epilog=EXIT_CODES + "\n" + JSON)
@click.argument("arguments", nargs=-1, required=True, metavar="[SOURCES]... DEST", shell_complete=complete_file)
@click.option("-m", "--message", required=True, help="What this put is for; kept with it.")
@click.option("--public", is_flag=True, help="Everybody may see the lineage; without either flag the repo's scope.")
@click.option("--private", is_flag=True, help="Only you, or your project's members, may see it.")
@click.option("--anonymous", is_flag=True, help="Public, and without a credential.")
@click.option("-y", "--yes", is_flag=True, help="Ask nothing: publish redacted data, and anonymously.")
@click.option("--dry-run", is_flag=True, help="Show what would be stored and published; send nothing.")
@click.option("-n", "--name", metavar="NAME", help="The name label of the put job.")
@click.option(
    "--tag/--no-tag",
    default=None,
    help="Make the git tag roar/COMMIT and push it to the remote, or make none. Without either it is made as"
    " [registration.tagging] says, and pushed if [publisher] push_tags = true in your own config.toml.",
)
@click.option("--again", is_flag=True, help="Make a new put job, even if the same put is under way or finished.")
@click.option("--dataset", is_flag=True, help="Every source folder is a dataset, even if nothing in it says so.")
@click.option("--step-name", hidden=True)
@click.option("--as-dataset", is_flag=True, hidden=True)
@click.option("--registry", metavar="URL", help="Instead of GLAAS_URL or the project's [glaas] url.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line on stdout; see below.")
@click.option("-q", "--quiet", is_flag=True, help="Only the hash and the URL.")
@click.option("-v", "--verbose", is_flag=True, help="A line for every event and file.")
@click.pass_obj
def put(
    typed: tuple[str, ...],
    /,
    arguments: tuple[str, ...],
    message: str,
    name: str | None,
    step_name: str | None,
    tag: bool | None,
    again: bool,
    dataset: bool,
    as_dataset: bool,
    **given: Any,
) -> int:
    # The hidden options are roar-cli's names. They occur in the recorded command of a put job, which can be typed
    # here again.
    from roar_publisher.cli.publish.publishing import run

    *sources, destination = arguments
    if urlsplit(destination).scheme in SCHEMES:
        return hand_over(typed)
    order = PutOptions(
        sources=tuple(sources),
        destination=destination,
        message=message,
        name=name or step_name,
        dataset=dataset or as_dataset,
        tag=tag,
        again=again,
    )
    return run(Options.from_command_line(target=None, put=order, **given))


for _option in reversed(
    (resume_option(), detach_option(), no_redact_option(), follow_links_option(), *transfer_options())
):
    put = _option(put)
