"""Publishes the lineage that roar captured to GLaaS: journaled, resumable, exactly once.

The public names are those of `__all__`, and those of `roar_publisher.aio`; docs/python.md describes them. Each is
imported when it is used first.
"""

import sys as _sys

__version__ = "0.1.0"

TYPE_CHECKING = False  # true for type checkers; `typing` itself is not imported either
if TYPE_CHECKING:
    from roar_publisher import errors, events
    from roar_publisher.api import cancel, fetch, publish, publishes, put, resume, retry, watch
    from roar_publisher.checkpoints.publisher import CheckpointPublisher
    from roar_publisher.checkpoints.view import CheckpointStatus
    from roar_publisher.events import Fetched, Published
    from roar_publisher.publishing.view import PublishStatus

__all__ = [
    "CheckpointPublisher",
    "CheckpointStatus",
    "Fetched",
    "PublishStatus",
    "Published",
    "cancel",
    "errors",
    "events",
    "fetch",
    "publish",
    "publishes",
    "put",
    "resume",
    "retry",
    "watch",
]

_MODULES = ("aio", "errors", "events")
_HOMES = {
    "CheckpointStatus": "checkpoints.view",
    "CheckpointPublisher": "checkpoints.publisher",
    "PublishStatus": "publishing.view",
    "Fetched": "events",
    "Published": "events",
}


def __getattr__(name: str) -> object:
    from roar_publisher.state.forks import import_module  # another thread may fork meanwhile

    if name not in (*_MODULES, *__all__):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if _sys.platform == "win32":
        raise ImportError("roar_publisher does not run on Windows; install it inside of WSL")
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    value = getattr(import_module(f"{__name__}.{_HOMES.get(name, 'api')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__, "aio"])
