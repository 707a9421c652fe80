"""A forked child that outlives what its parent does, as the worker of a training's data loader does."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def forked_child(act: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Fork a child that first calls `act`, and lives until the block ends. It must end well."""
    (ready, tell), (ended, keep) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(keep)
            act()
            os.write(tell, b".")
            os.read(ended, 1)
            os._exit(0)
        finally:
            os._exit(1)
    os.close(tell)
    os.read(ready, 1)
    try:
        yield
    finally:
        for descriptor in (keep, ready, ended):
            os.close(descriptor)
        assert os.waitpid(child, 0)[1] == 0
