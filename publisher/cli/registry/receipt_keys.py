"""`roar registry key show | rotate`: the registry's own key, which signs receipts."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import click

from roar_publisher.cli.registry.data import data_option, data_problem, json_option, require_registry
from roar_publisher.registry.accounts.signin_file import last_address
from roar_publisher.registry.receipt_keys import RECEIPT_KEYS_NAME, ReceiptKeys
from roar_publisher.registry.store.private_data import MAIN_FILES, secure_folder


@click.command("show")
@json_option
@data_option
def show_key(as_json: bool, data: Path) -> None:
    """Print the public keys with which the registry signs receipts.

    The current key comes first, then older ones. The output has the format of a .pub file, which `roar verify --receipt
    FILE --key KEYS` reads.

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
    """Sign receipts with a new key from now on.

    The registry may keep serving. The public half of the old key is kept, so older receipts remain valid. If its
    private half was stolen, tell everyone who has pinned it (`~/.config/roar/receipt-keys`): whoever has it can sign
    receipts.

    \b
      roar registry key rotate --data ./registry
    """
    with _keys(data) as keys:
        key = keys.rotate()
    address = last_address(data) or "URL"
    click.echo(
        f"{key.keyid} now signs receipts. Clients report the change; their users accept it with: "
        f"roar registry trust {address} --receipt-keys"
    )


@contextmanager
def _keys(data: Path) -> Iterator[ReceiptKeys]:
    """Give the keys of the registry in `data`. Raises LocalProblem if there is none, or they cannot be used.

    All of a registry's folder becomes private, so it must not be another one.
    """
    try:
        if not _is_empty_folder(data):  # one is being prepared
            require_registry(data, {*MAIN_FILES, RECEIPT_KEYS_NAME})
        secure_folder(data)
        yield ReceiptKeys(data)
    except OSError as error:
        raise data_problem(data, "receipt key", error) from error


def _is_empty_folder(data: Path) -> bool:
    return data.is_dir() and not any(data.iterdir())
