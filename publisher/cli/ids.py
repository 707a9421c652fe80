"""Shell completion of publish ids and file names. It is cheap and ignores all errors."""

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from roar_publisher.state.paths import PublishPaths


def complete_publish(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the ids that begin with `incomplete`. Only folder names are read; no journal is opened."""
    return sorted(paths.id for paths in _publishes(incomplete))


def complete_live(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the matching ids of publishes that have work left."""
    from roar_publisher.state.errors import PublisherError
    from roar_publisher.state.status_reader import read_status

    live = []
    for paths in _publishes(incomplete):
        with suppress(PublisherError):
            if read_status(paths).live:
                live.append(paths.id)
    return sorted(live)


def complete_file(ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[CompletionItem]":
    """Let the shell complete file names."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="file")]


def _publishes(incomplete: str) -> "Iterator[PublishPaths]":
    from roar_publisher.state.errors import PublisherError
    from roar_publisher.state.paths import StateFolder

    with suppress(PublisherError, OSError):
        folder = StateFolder.from_environment(os.environ)
        yield from (paths for paths in folder.all_publishes() if paths.id.startswith(incomplete))
