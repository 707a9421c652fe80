"""`roar registry key show | rotate`: the registry's own key, which signs receipts."""

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import click

from roar_publisher.cli.registry.data import data_option, data_problem, json_option
from roar_publisher.registry.receipt_keys import ReceiptKeys
from roar_publisher.registry.store.private_data import secure_folder
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.reasons import Reason


@click.command("show")
@json_option
@data_option
def show_key(as_json: bool, data: Path) -> None:
    """Print the public keys with which the registry signs receipts.

    The current one comes first, then older ones. Each line is one of a .pub file, which `roar verify --receipt FILE
    --key KEYS` reads.

    \b
      roar registry key show --data ./registry > registry.pub
    """
    with _keys(data) as keys:
        found = keys.all()
    if as_json:
        click.echo(json.dumps([asdict(each) for each in found], indent=2))
        return
    for each in found:
        click.echo(f"{each.public} {'current' if each.current else 'retired'}")


@click.command("rotate")
@data_option
def rotate_key(data: Path) -> None:
    """Let a new key sign receipts from now on.

    The registry may serve meanwhile. The public half of the old key stays, so older receipts stay valid. If the private
    half was stolen, tell those who have pinned it (`~/.config/roar/receipt-keys`): anyone who has it can sign receipts.
    """
    with _keys(data) as keys:
        key = keys.rotate()
    click.echo(
        f"{key.keyid} signs receipts now. Clients report it, and accept it with `registry trust --receipt-keys`."
    )


@contextmanager
def _keys(data: Path) -> Iterator[ReceiptKeys]:
    """Give the keys of the registry in `data`. Raises LocalProblem if there is none, or they cannot be used."""
    if not data.is_dir():
        next_step = f"name its folder with --data, or create it: roar registry serve --data {shlex.quote(str(data))}"
        raise LocalProblem(f"there is no registry in {data}", next_step=next_step, reason=Reason.REGISTRY)
    try:
        secure_folder(data)
        yield ReceiptKeys(data)
    except OSError as error:
        raise data_problem(data, "receipt key", error) from error
