"""`roar registry`: runs your own registry."""

import os
from pathlib import Path
from typing import Any

import click

from roar_publisher.cli.registry.accounts import key, token, user
from roar_publisher.cli.registry.data import chosen_database, data_option, data_problem
from roar_publisher.cli.registry.keeping import backup, prune, restore
from roar_publisher.cli.registry.migrating import migrate
from roar_publisher.cli.registry.projects import owner, project
from roar_publisher.cli.registry.receipt_keys import rotate_key, show_key
from roar_publisher.cli.registry.serve_options import options_of, serve_options
from roar_publisher.cli.registry.trust import trust, trusted, untrust
from roar_publisher.state.errors import LocalProblem, UsageProblem
from roar_publisher.state.reasons import Reason

ANY_ADDRESS = ("0.0.0.0", "::")  # nosec B104  # compared with, not bound to
"""Addresses that a server may listen on, but that clients cannot connect to."""


@click.group()
def registry() -> None:
    """Run a registry of your own, or choose which registries to trust.

    trust, untrust and trusted are for users who publish; the other commands are for the operator of a registry.

    \b
      roar registry serve --port 8123 --data ./registry
      roar registry user add alice --data ./registry
      roar registry trust https://registry.example
    """


@registry.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=0, type=click.IntRange(0, 65535), show_default=True, help="0 takes any free port.")
@click.option(
    "--treqs-url",
    metavar="URL",
    help="A TReqs service that validates bearer tokens, instead of the registry's own accounts.",
)
@click.option("--access-log", is_flag=True, help="Log each request to stderr, as one line of JSON.")
@data_option
@serve_options
def serve(host: str, port: int, treqs_url: str | None, access_log: bool, data: Path, **options: Any) -> None:
    """Serve until Ctrl-C or SIGTERM. The first line on stdout is the URL.

    Requests whose Host is not localhost, an IP address, --host, the machine's name or a --public-url are refused,
    because a web page could make them. An SSH signature that names a host must name a --public-url, or, if there is
    none, the address that the registry listens on.

    \b
      roar registry serve --port 8123 --data ./registry
      roar publish --public --registry http://127.0.0.1:8123
    """
    import signal

    from roar_publisher.extras import require

    require("registry", "a registry of your own")
    from roar_publisher.registry.accounts.signin_file import forget_address, remember_address
    from roar_publisher.registry.server.logs import written_logs
    from roar_publisher.registry.server.serve import serve as serve_registry
    from roar_publisher.registry.store.errors import StoreError
    from roar_publisher.registry.store.private_data import UnsafeData

    address = None if treqs_url is None else _checked_address(treqs_url)
    chosen, database = options_of(**options), chosen_database()
    if chosen.workers > 1 and database is None:
        raise UsageProblem(
            "several workers need PostgreSQL: a SQLite file belongs to one process at a time",
            next_step="add --database postgresql://…, or leave --workers out",
        )

    def announce(url: str) -> None:
        public = chosen.public
        if public or host not in ANY_ADDRESS:
            remember_address(data, public[0] + chosen.base_path if public else url)
        else:
            forget_address(data)
        click.echo(url)

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # until the server handles signals itself
    try:
        with written_logs(each_request=access_log):
            serve_registry(host, port, data, announce, treqs_url=address, options=chosen, database=database)
    except KeyboardInterrupt:
        return
    except (UnsafeData, StoreError) as error:
        raise data_problem(data, "data", error) from error
    except OSError as error:
        raise LocalProblem(
            f"the registry cannot run on {host}:{port} with its data in {data}: {error.strerror or error}",
            next_step="choose another --port, --host or --data",
            reason=Reason.REGISTRY,
        ) from error


def _checked_address(treqs_url: str) -> str:
    """Return the checked address of a TReqs service. Raises UsageProblem, and LocalProblem for an unusable proxy."""
    from roar_publisher.net.address import registry_address
    from roar_publisher.net.certificates import TrustedCertificates
    from roar_publisher.net.route import unusable_route

    try:
        address = registry_address(treqs_url, os.environ)
    except UsageProblem as error:
        raise UsageProblem(
            "--treqs-url is not an address that a bearer token may be sent to",
            next_step="give it as https://HOST; http:// to another machine needs ROAR_ALLOW_HTTP=1",
        ) from error
    if problem := unusable_route(address, TrustedCertificates.chosen(os.environ)):
        raise problem
    return address


key.add_command(show_key)
key.add_command(rotate_key)
for command in (backup, restore, prune, migrate, user, key, token, owner, project, trust, untrust, trusted):
    registry.add_command(command)
