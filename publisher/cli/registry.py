"""`roar registry`: a registry of one's own."""

import os
from pathlib import Path

import click

from state.errors import LocalProblem


@click.group()
def registry() -> None:
    """Run a registry of your own: the same protocol, on your machine."""


@registry.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=0, type=click.IntRange(0, 65535), show_default=True, help="0 takes any free port.")
@click.option("--data", type=click.Path(path_type=Path), help="Where lineages are kept; else below $XDG_DATA_HOME.")
def serve(host: str, port: int, data: Path | None) -> None:
    """Serve until Ctrl-C or SIGTERM.  The first line on stdout is the URL.

    \b
      roar registry serve --port 8123 --data ./registry
      roar publish --public --registry http://127.0.0.1:8123
    """
    import signal
    import sqlite3

    from publisher.registry.serve import serve as serve_registry

    folder = data or _default_data()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # until the server listens to signals itself
    try:
        serve_registry(host, port, folder, click.echo)
    except KeyboardInterrupt:
        return
    except OSError as error:
        raise LocalProblem(
            f"the registry can't run on {host}:{port} with its data in {folder}: {error.strerror or error}",
            next_step="choose another --port, --host or --data",
            reason="registry",
        ) from error
    except sqlite3.Error as error:
        raise LocalProblem(
            f"the registry's data in {folder} can't be used: {error}",
            next_step="check its permissions and room, or choose another --data",
            reason="registry",
        ) from error


def _default_data() -> Path:
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "roar" / "registry"
