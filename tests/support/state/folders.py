"""Folders of publishes without a plan."""

from roar_publisher.state.paths import PublishPaths, StateFolder


def new_publish(folder: StateFolder) -> PublishPaths:
    """Make the folder of a publish that nothing was planned for yet, and that no process has locked."""
    return folder.make_visible(folder.new_planning())
