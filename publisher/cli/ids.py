"""Shell completion of publish ids. It is cheap and ignores all errors."""

import os
from contextlib import suppress

from roar_publisher.state.errors import PublisherError
from roar_publisher.state.paths import PublishPaths, StateFolder


def publish_ids(incomplete: str) -> list[str]:
    """Return the ids that begin with `incomplete`. Only folder names are read; no journal is opened."""
    return sorted(paths.id for paths in _publishes(incomplete))


def live_ids(incomplete: str) -> list[str]:
    """Return the matching ids of publishes that have work left."""
    from roar_publisher.state.survey import glance

    live = []
    for paths in _publishes(incomplete):
        with suppress(PublisherError):
            if glance(paths).live:
                live.append(paths.id)
    return sorted(live)


def _publishes(incomplete: str) -> list[PublishPaths]:
    try:
        folder = StateFolder.from_environment(os.environ)
        return [paths for paths in folder.all_publishes() if paths.id.startswith(incomplete)]
    except (PublisherError, OSError):
        return []
