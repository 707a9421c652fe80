"""Imports before a fork: most of a short run of the program is imports, which a fork then finds."""

import gc
import importlib
import pkgutil

import roar_publisher

IMPORTED_LATE = (
    "anyio._backends._asyncio",
    "botocore.auth",
    "botocore.awsrequest",
    "botocore.session",
    "httpcore2",
    "rich.live",
    "rich.table",
    "transitions",
    "trio",
    "uvicorn",
)
"""What the program and its libraries import where they need it."""


def import_program() -> None:
    """Import every module of the program and what they import late, and keep it out of the collections of a fork.

    A collection would write to each object, and so copy the memory that a fork shares.
    """
    for module in pkgutil.walk_packages(roar_publisher.__path__, "roar_publisher."):
        importlib.import_module(module.name)
    for name in IMPORTED_LATE:
        importlib.import_module(name)
    gc.freeze()
