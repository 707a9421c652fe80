"""Shell completion of publish ids: cheap, and silent where anything is wrong."""

import os

from state.errors import PublisherError
from state.paths import StateFolder


def publish_ids(incomplete: str) -> list[str]:
    """The ids that begin like this, by the folders alone: no journal is opened."""
    try:
        folder = StateFolder.from_environment(os.environ)
        return sorted(paths.id for paths in folder.all_publishes() if paths.id.startswith(incomplete))
    except (PublisherError, OSError):
        return []
