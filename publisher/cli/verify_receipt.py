"""`roar verify --receipt FILE [FILES…]`: check a receipt, and files against it, without a network."""

import errno
import json
import os
from collections.abc import Sequence
from pathlib import Path

import click
from msgspec.structs import asdict

from roar_publisher.exit_codes import ExitCode
from roar_publisher.glaas.envelope import LARGEST_RECEIPT_BYTES, InvalidReceipt, key_blob
from roar_publisher.lineage.statement import Statement
from roar_publisher.state.errors import UsageProblem
from roar_publisher.state.reasons import Reason
from roar_publisher.state.safe_open import read_bounded
from roar_publisher.state.shell import shell_word
from roar_publisher.text import count, printable_line
from roar_publisher.verification.errors import CannotCheck
from roar_publisher.verification.receipts import CheckedReceipt, TrustedKey, check_receipt, trusted_keys

LARGEST_KEY_FILE = 1024 * 1024


def verify_receipt(receipt: Path, files: Sequence[Path], keys: Sequence[Path], *, as_json: bool) -> int:
    """Check a receipt and print what it proves. Return the exit code: 0 proven, 1 not.

    files: each must be among the files of the receipt. keys: files with public keys that the user trusts.
    Raises CannotCheck (6) if a file cannot be read, if no trusted key signed, or if the receipt lists no files.
    """
    trusted = trusted_keys([*_pinned(), *(key for file in keys for key in _keys_in(file))])
    try:
        checked = check_receipt(_content(receipt, LARGEST_RECEIPT_BYTES), trusted)
    except InvalidReceipt as error:
        return _show_invalid(receipt, str(error), as_json=as_json)
    found = {file: _digest(file) for file in files}
    unknown = [file for file, digest in found.items() if digest not in checked.statement.subjects]
    if unknown and not checked.statement.lists_jobs:
        what = "the receipt is valid, but its lineage is so large that it lists no files"
        raise CannotCheck(
            what, next_step=f"roar verify {shell_word(checked.statement.facts.hash)}", reason=Reason.REJECTED
        )
    _show(receipt, checked, found, as_json=as_json)
    return ExitCode.FAILED if unknown else ExitCode.PUBLISHED


def _pinned() -> list[TrustedKey]:
    from roar_publisher.auth.receipt_keys import KnownReceiptKeys
    from roar_publisher.state.home import home_to_read

    known = []
    for each in KnownReceiptKeys.from_environment(os.environ, home_to_read()).all():
        try:
            key_blob(each.public)
        except ValueError:  # a damaged line
            continue
        known.append(TrustedKey(each.public, each.origin, (each.origin,)))
    return known


def _keys_in(file: Path) -> list[TrustedKey]:
    """Return the keys in a file with a line for each, as in a `.pub` file. Raises UsageProblem."""
    lines = _content(file, LARGEST_KEY_FILE).decode("utf-8", errors="replace").splitlines()
    keys = []
    for line in filter(None, (line.partition("#")[0].split() for line in lines)):
        public = " ".join(line[:2])
        try:
            key_blob(public)
        except ValueError:
            raise UsageProblem(f"{file} has lines that are not public keys", next_step="name a .pub file") from None
        keys.append(TrustedKey(public, f"--key {file}"))
    return keys


def _content(file: Path, most: int) -> bytes:
    try:
        return read_bounded(file, most)
    except OSError as error:
        raise _unreadable(file, error) from error


def _digest(file: Path) -> str:
    from roar_publisher.lineage.content import file_digest

    try:
        if not file.is_file():  # a FIFO would be waited for
            raise OSError(errno.ENOENT, "there is no such file")
        return file_digest(file)
    except OSError as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Path, error: OSError) -> CannotCheck:
    return CannotCheck(
        f"{file} cannot be read: {error.strerror}", next_step=f"ls -l {shell_word(str(file))}", reason=Reason.LOCAL
    )


def _show_invalid(receipt: Path, why: str, *, as_json: bool) -> int:
    if as_json:
        event = {"event": "receipt", "proven": False, "receipt": str(receipt), "why": why, "exit_code": 1}
        click.echo(json.dumps(event))
    else:
        click.echo(printable_line(f"Not proven: {receipt} is not a valid receipt: {why}."))
    return ExitCode.FAILED


def _show(receipt: Path, checked: CheckedReceipt, found: dict[Path, str], *, as_json: bool) -> None:
    statement = checked.statement
    proven = all(digest in statement.subjects for digest in found.values())
    files = [
        {"file": str(file), "digest": digest, "name": statement.subjects.get(digest)} for file, digest in found.items()
    ]
    if as_json:
        event = {"event": "receipt", "proven": proven, "receipt": str(receipt), **asdict(statement.facts)}
        event |= {"lists_jobs": statement.lists_jobs, "signers": [asdict(each) for each in checked.signers]}
        click.echo(json.dumps(event | {"files": files, "exit_code": 0 if proven else 1}))
        return
    click.echo(printable_line(f"{'Proven' if proven else 'Not proven'} by {receipt}: {_sentence(statement)}"))
    for signer in checked.signers:
        click.echo(printable_line(f"  signed by {signer.named or 'a key that you have not named'} ({signer.keyid})"))
    for each in files:
        known = "is" if each["name"] is not None else "is not among its files:"
        click.echo(printable_line(f"  {each['file']} {known} {each['name'] or each['digest']}"))


def _sentence(statement: Statement) -> str:
    facts = statement.facts
    counts = f"{count(facts.jobs, 'job')}, {count(facts.inputs, 'input')}, {count(facts.outputs, 'output')}"
    return f"lineage {facts.hash} ({counts}), published by {facts.publisher} at {facts.registry}, {facts.published_at}."
