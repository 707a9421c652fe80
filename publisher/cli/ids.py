"""Shell completion of publish ids: cheap, and silent where anything is wrong."""

import os
from contextlib import suppress

from roar_publisher.state.errors import PublisherError
from roar_publisher.state.paths import PublishPaths, StateFolder


def publish_ids(incomplete: str) -> list[str]:
    """The ids that begin like this, by the folders alone: no journal is opened."""
    return sorted(paths.id for paths in _publishes(incomplete))


def live_ids(incomplete: str) -> list[str]:
    """Those of them that have work left."""
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
