"""`roar checkpoints`: what became of the checkpoints that trainings of a project submitted."""

import json
import math
import os
from dataclasses import asdict

import click

ENDED_SILENTLY = "superseded"


@click.command()
@click.option("--all", "everything", is_flag=True, help="Also list checkpoints that newer ones superseded.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
def checkpoints(everything: bool, as_json: bool) -> None:
    """List the checkpoints that training runs in this project submitted.

    The daemon publishes them, below the destination of their training. If the next one cannot be published, the reason
    is printed to stderr. Changes nothing.

    \b
      roar checkpoints               what waits, and what is published
      roar checkpoints --json | jq -r 'select(.state == "waiting") | .name'
      roar daemon run --drain        publish what waits, then exit

    \b
    States: waiting     until the daemon gets to it
            publishing  in progress: roar journal show PUBLISH_ID
            published   finished
            superseded  by a newer one, before the daemon got to it
            full        more was waiting than max_pending_bytes allows
            changed     rewritten in place or removed before it was read
            failed      roar journal show PUBLISH_ID --why

    \b
    With --json: name, step, state, metrics (null: not a number, or infinite),
                 pinned, size (bytes), destination, publish_id, detail, hash,
                 url.

    \b
    Exit codes: 0 listed, 1 there is no project here.
    """
    from roar_publisher.checkpoints.series import series_of
    from roar_publisher.checkpoints.view import checkpoints_of
    from roar_publisher.cli.display import tables
    from roar_publisher.lineage.project import current_folder, find_project
    from roar_publisher.state.paths import StateFolder
    from roar_publisher.text import printable, size

    every = series_of(StateFolder.from_environment(os.environ), find_project(current_folder()).roar_dir)
    found = [one for series in every for one in checkpoints_of(series) if everything or one.state != ENDED_SILENTLY]
    if as_json:
        for one in found:
            # JSON has no NaN, which is what a loss becomes when a training fails.
            metrics = {name: value if math.isfinite(value) else None for name, value in one.metrics.items()}
            click.echo(json.dumps(asdict(one) | {"metrics": metrics}))
    elif found:
        rows = [
            (
                [one.name, one.state, size(one.size), one.publish_id],
                one.detail or one.url or printable(one.destination),
            )
            for one in found
        ]
        tables.show_noted(("CHECKPOINT", "STATE", "SIZE", "PUBLISH"), rows, "WHERE, OR WHY NOT", right=("SIZE",))
    else:
        click.echo("No training of this project has submitted a checkpoint that is not superseded.", err=True)
    for series in every:
        if (problem := series.problem) is not None:
            click.echo(f"The next one is waiting: {printable(problem['what'])}", err=True)
            click.echo(f"Next: {printable(problem['next'])}", err=True)
