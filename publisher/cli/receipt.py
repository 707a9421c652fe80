"""`roar receipt`: the receipt of a publish, as a file to give away."""

import os
import re
import sys
from pathlib import Path

import click

from roar_publisher.cli.ids import complete_publish
from roar_publisher.naming import as_called
from roar_publisher.state.errors import LocalProblem, UsageProblem
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.reasons import Reason
from roar_publisher.state.shell import shell_word

HASH = re.compile(r"[0-9a-f]{64}")
SHORTEST_HASH = 8
"""The fewest digits by which a lineage is named."""


@click.command()
@click.argument("subject", metavar="ID|HASH", shell_complete=complete_publish)
@click.option("--registry", metavar="URL", help="Ask this registry for the receipt of HASH.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write it to this new file.")
def receipt(subject: str, registry: str | None, output: Path | None) -> None:
    """Print the receipt of a published lineage, or write it to a file.

    The receipt comes from this machine if it published the lineage; otherwise, if you name a whole HASH that you may
    read, the registry is asked for it.

    A receipt proves that this lineage was published, even years later and without a network: anyone who has the public
    key of the registry or the publisher can check it, and can check files against it. It contains the commands and
    paths of the lineage, so give the receipt of a private lineage only to people who may see those.

    \b
      roar receipt 3f2a90c1 -o model.receipt.json
      roar receipt HASH --registry https://registry.example > model.receipt.json
      roar verify --receipt model.receipt.json model.bin
    """
    folder, subject = StateFolder.from_environment(os.environ), subject.lower()
    path = None if registry else _find(folder, subject)
    if path is None and HASH.fullmatch(subject):
        from roar_publisher.cli.receipt_request import request_receipt

        content = request_receipt(subject, registry, folder)
    elif path is None:
        what = "it is not published, or neither its registry nor an SSH key signed"
        raise UsageProblem(f"there is no receipt of {subject!r}: {what}", next_step="roar journal list")
    else:
        content = _content(path)
    try:
        if output is None:
            sys.stdout.buffer.write(content)
            sys.stdout.buffer.flush()
            return
        _write_new(output, content)
    except FileExistsError:
        raise UsageProblem(f"{output} exists already", next_step="name another file") from None
    except BrokenPipeError:
        raise
    except OSError as error:
        what = f"the receipt cannot be written to {output or 'stdout'}: {error.strerror}"
        raise LocalProblem(what, next_step="name another file: -o FILE", reason=Reason.DISK) from error
    click.echo(as_called(f"{output}: check it with: roar verify --receipt {shell_word(str(output))} [FILES]"), err=True)


def _find(folder: StateFolder, subject: str) -> Path | None:
    """Return the newest receipt of a publish or a lineage, by the beginning of its id or its hash; else None.

    Raises UsageProblem if several publishes or lineages begin so.
    """
    by_id, by_hash = [], []
    for path in folder.receipts.glob("*.json"):
        lineage_hash, _, publish = path.name.partition(".")
        if subject and publish.startswith(subject):
            by_id.append(path)
        elif len(subject) >= SHORTEST_HASH and lineage_hash.startswith(subject):
            by_hash.append(path)
    if len({path.name.partition(".")[2] for path in by_id}) > 1:
        raise UsageProblem(f"several publishes begin with {subject!r}", next_step="roar journal list")
    if not by_id and len({path.name.partition(".")[0] for path in by_hash}) > 1:
        raise UsageProblem(f"several lineages begin with {subject!r}", next_step="type the whole hash")
    return max(by_id or by_hash, key=lambda path: path.stat().st_mtime, default=None)


def _write_new(path: Path, content: bytes) -> None:
    """Write a new file, completely or not at all. Raises OSError."""
    file = path.open("xb")
    try:
        with file:
            file.write(content)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        what = f"the receipt {path} cannot be read: {error.strerror}"
        raise LocalProblem(what, next_step=f"ls -l {shell_word(str(path))}", reason=Reason.STATE_DIRECTORY) from error
