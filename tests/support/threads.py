"""A machine that has no thread left."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

LARGER_THAN_ALL_MEMORY = 1 << 50
"""Bytes of a stack. The system refuses a thread with it as it does one too many."""


@contextmanager
def no_more_threads() -> Iterator[None]:
    """Let no thread of this process be started during the block."""
    usual = threading.stack_size(LARGER_THAN_ALL_MEMORY)
    try:
        yield
    finally:
        threading.stack_size(usual)
