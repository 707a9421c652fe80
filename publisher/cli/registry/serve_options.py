"""The options of `roar registry serve` that limit what clients may ask of it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from roar_publisher.registry.http.addresses import Network
    from roar_publisher.registry.server.serve import ServeOptions

Command = TypeVar("Command", bound=Callable[..., Any])
MEBIBYTE = 2**20
DAY_S = 86400.0
MOST_WORKERS = 32
"""Each worker has two connections to the database, which accepts 100 by default."""


def _networks(context: click.Context, parameter: click.Parameter, value: str | None) -> "list[Network]":
    from roar_publisher.registry.http.addresses import networks

    try:
        return [] if value is None else networks(value)
    except ValueError as error:
        raise click.BadParameter(f"{error}; give addresses or networks, as 10.0.0.5,192.0.2.0/24") from error


def _address(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, int] | None:
    if value is None:
        return None
    host, _, port = value.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise click.BadParameter("give it as HOST:PORT, as 127.0.0.1:9100")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _base_path(context: click.Context, parameter: click.Parameter, value: str) -> str:
    from roar_publisher.registry.http.base_path import base_path_of

    try:
        return base_path_of(value)
    except ValueError as error:
        raise click.BadParameter(f"{error}; give it as /glaas") from error


def _origins(context: click.Context, parameter: click.Parameter, values: Sequence[str]) -> list[str]:
    from roar_publisher.registry.http.names import origin_of

    try:
        return [origin_of(value) for value in values]
    except ValueError as error:
        raise click.BadParameter(
            f"{error}; give it as https://HOST or http://HOST:PORT, and a path with --base-path"
        ) from error


_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
OPTIONS = (
    click.option(
        "--anonymous-mib",
        type=click.IntRange(0),
        default=4096,
        show_default=True,
        help="MiB that one client address may send per day without a sign-in; ten times that for all together.",
    ),
    click.option(
        "--anonymous-jobs",
        type=click.IntRange(0),
        default=1_000_000,
        show_default=True,
        help="Jobs that one client address may send per day without a sign-in; ten times that for all together.",
    ),
    click.option(
        "--anonymous-sessions",
        type=click.IntRange(0),
        default=1000,
        show_default=True,
        help="Publishes that one client address may begin per day without a sign-in; ten times that for all addresses"
        " together. 0 refuses publishes without a sign-in.",
    ),
    click.option(
        "--open-sessions",
        type=click.IntRange(1),
        default=200,
        show_default=True,
        help="Unfinished publishes that one client address may have without a sign-in; ten times that for all addresses"
        " together.",
    ),
    click.option(
        "--session-mib", type=click.IntRange(1), default=4096, show_default=True, help="MiB that one publish may stage."
    ),
    click.option(
        "--mib-per-minute",
        type=click.IntRange(1),
        default=1024,
        show_default=True,
        help="MiB that one client address may send per minute, with or without a sign-in.",
    ),
    click.option(
        "--workers",
        type=click.IntRange(1, MOST_WORKERS),
        default=1,
        show_default=True,
        help="Number of processes; use about one per core. More than one needs --database.",
    ),
    click.option(
        "--max-connections",
        type=click.IntRange(1),
        default=1024,
        show_default=True,
        help="Maximum number of connections; one client address gets at most a quarter of them.",
    ),
    click.option(
        "--drain-seconds",
        type=click.IntRange(0),
        default=30,
        show_default=True,
        help="Time that running requests get to finish after SIGTERM. Meanwhile, /readyz answers 503.",
    ),
    click.option(
        "--metrics",
        metavar="HOST:PORT",
        default=None,
        callback=_address,
        help="Serve /metrics for Prometheus at this address. Anyone who can reach it can read them.",
    ),
    click.option("--tls-key", type=_FILE, default=None, help="The private key of --tls-cert (PEM, no password)."),
    click.option("--tls-cert", type=_FILE, default=None, help="Serve https with this certificate and its chain (PEM)."),
    click.option(
        "--forwarded-allow-ips",
        "proxies",
        metavar="IP,…",
        default=None,
        callback=_networks,
        help="Proxies (addresses, networks) whose X-Forwarded-For and -Proto are trusted; none by default.",
    ),
    click.option(
        "--access-max-age",
        type=click.IntRange(1),
        default=30,
        show_default=True,
        envvar="ROAR_REGISTRY_ACCESS_MAX_AGE",
        show_envvar=True,
        metavar="DAYS",
        help="With --treqs-url: how long an SSH key keeps the project access that the user's last bearer token showed.",
    ),
    click.option(
        "--public-url",
        "public",
        metavar="URL",
        multiple=True,
        callback=_origins,
        help="An address that clients use, if it is not --host and --port, such as that of a proxy. Repeatable.",
    ),
    click.option(
        "--base-path",
        metavar="PATH",
        default="",
        callback=_base_path,
        help="The path below which a proxy serves the registry: /glaas for https://HOST/glaas. The proxy may forward"
        " the path or remove it.",
    ),
)


def serve_options(command: Command) -> Command:
    """Add the options. `options_of` takes their values."""
    for option in OPTIONS:
        command = option(command)
    return command


def options_of(
    *,
    anonymous_sessions: int,
    anonymous_jobs: int,
    anonymous_mib: int,
    open_sessions: int,
    session_mib: int,
    mib_per_minute: int,
    max_connections: int,
    drain_seconds: int,
    workers: int,
    metrics: tuple[str, int] | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    access_max_age: int,
    proxies: "list[Network]",
    public: list[str],
    base_path: str,
) -> "ServeOptions":
    """Return the values of the options."""
    from roar_publisher.registry.accounts.limits import ClientLimits
    from roar_publisher.registry.accounts.quotas import Amount
    from roar_publisher.registry.server.serve import ServeOptions

    if (tls_cert is None) != (tls_key is None):
        raise click.UsageError("--tls-cert and --tls-key belong together")
    quota = Amount(anonymous_sessions, anonymous_jobs, anonymous_mib * MEBIBYTE)
    return ServeOptions(
        connections=max_connections,
        quota=quota,
        limits=ClientLimits(open_sessions, session_mib * MEBIBYTE, mib_per_minute * MEBIBYTE),
        proxies=proxies,
        public=public,
        context_age=access_max_age * DAY_S,
        drain_seconds=drain_seconds,
        workers=workers,
        metrics=metrics,
        base_path=base_path,
        certificate=None if tls_cert is None or tls_key is None else (tls_cert, tls_key),
    )
