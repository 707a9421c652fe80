"""`roar receipt`: the receipt of a publish, as a file to give away."""

import os
import sys
from pathlib import Path

import click

from roar_publisher.cli.ids import complete_publish
from roar_publisher.state.errors import LocalProblem, UsageProblem
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.reasons import Reason


@click.command()
@click.argument("subject", metavar="ID|HASH", shell_complete=complete_publish)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write it to this new file.")
def receipt(subject: str, output: Path | None) -> None:
    """Print the receipt of a publish of this machine, or write it to a file.

    A receipt proves without a network, years later, that this lineage was published: anyone who has the registry's or
    the publisher's public key can check it, and files against it. It contains the commands and paths of the lineage:
    give that of a private one only to who may see that.

    \b
      roar receipt 3f2a90c1 -o model.receipt.json
      roar verify --receipt model.receipt.json model.bin
    """
    folder = StateFolder.from_environment(os.environ)
    path = _find(folder, subject.lower())
    try:
        content = path.read_bytes()
        if output is None:
            sys.stdout.buffer.write(content)
            sys.stdout.buffer.flush()
            return
        with output.open("xb") as file:
            file.write(content)
    except FileExistsError:
        raise UsageProblem(f"{output} exists already", next_step="name another file") from None
    except BrokenPipeError:
        raise
    except OSError as error:
        what = f"the receipt cannot be copied to {output or 'stdout'}: {error.strerror}"
        raise LocalProblem(what, next_step=f"cp {path} FILE", reason=Reason.DISK) from error
    click.echo(f"{output}: check it with: roar verify --receipt {output} [FILES]", err=True)


def _find(folder: StateFolder, subject: str) -> Path:
    """Return the newest receipt of a publish, by the beginning of its id, or of a lineage, by its hash.

    Raises UsageProblem if there is none.
    """
    found = [
        path
        for path in folder.receipts.glob("*.json")
        if subject == path.name.partition(".")[0] or (subject and path.name.partition(".")[2].startswith(subject))
    ]
    if not found:
        raise UsageProblem(
            f"there is no receipt of {subject!r}: it is not published, or neither its registry nor an SSH key signed",
            next_step="roar journal list",
        )
    return max(found, key=lambda path: path.stat().st_mtime)
