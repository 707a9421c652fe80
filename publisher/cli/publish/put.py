"""`roar put`: the command line. `run`, which carries it out, is imported when needed."""

from typing import Any

import click

from roar_publisher.cli.ids import complete_file
from roar_publisher.cli.parameters import declare, take_limits
from roar_publisher.cli.publish.command import EXIT_CODES, JSON, run_publish
from roar_publisher.cli.publish.parameters import FURTHER, MAIN, PUT
from roar_publisher.cli.roar_cli import only_in_roar_cli, run_roar_cli
from roar_publisher.state.errors import UsageProblem
from roar_publisher.storage.kinds import STORES

HELP = """\
Store files in object storage and publish their lineage with them, as one visible step.

The last argument is the destination, and all before it are sources: files, folders, steps (@N: the files that step N
wrote) or digests. Without sources, everything that the active session wrote is stored. Paths are looked up in the
current folder, then in the project's root; a path that exists in both is refused, unless it begins with `./`. The
lineage is published after the files are stored. After an interruption, `roar publish --resume` sends the parts that the
store does not have yet.

Repeating the same put resumes it if it was interrupted, and only shows its address if it has finished, unless --again
is given. Two puts are the same if the contents, their addresses, the lineage, its commit, what is redacted, the
message, --name, the visibility, --dataset and whether a tag is made are the same.

\b
Destinations:
{stores}
  file:///folder         a folder; an absolute path is the same
  hf://…, wandb://…      passed to roar-cli, with the same arguments

\b
Examples:
  roar put model.pt s3://bucket/release -m "v1.0" --public
  roar put outputs/ @4 s3://bucket/run-42 -m "all of it"
  roar put s3://bucket/run-42 -m "what the session wrote"
  roar put outputs/ s3://bucket/run-42 -m "overnight" -y --detach
  roar put outputs/ s3://bucket/run-42 -m "look first" --dry-run
""".format(stores="\n".join(f"  {store.form:<22} {store.description}" for store in STORES.values()))


@click.command(help=HELP, epilog=EXIT_CODES + "\n" + JSON)
@click.argument("arguments", nargs=-1, required=True, metavar="[SOURCES]... DEST", shell_complete=complete_file)
@declare(*PUT, *MAIN, *FURTHER)
@click.option("--step-name", hidden=True)
@click.option("--as-dataset", is_flag=True, hidden=True)
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
    *sources, destination = arguments
    if only_in_roar_cli(destination):
        return run_roar_cli(typed)
    from roar_publisher.cli.publish.options import Options
    from roar_publisher.publishing.order import PutOrder

    if "://" not in destination and not destination.startswith("/") and any("://" in source for source in sources):
        raise UsageProblem("the destination comes last, after the files", next_step="roar put FILES DEST -m MESSAGE")
    wanted = PutOrder(
        sources=tuple(sources),
        destination=destination,
        message=message,
        name=name or step_name,
        tag=tag,
        again=again,
        dataset=dataset or as_dataset,
    )
    return run_publish(Options(limits=take_limits(given), put=wanted, **given))
