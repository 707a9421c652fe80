"""Imports before a fork: most of a short run of a program is imports, which a fork then finds."""

import gc
import importlib
import pkgutil

OURS = (
    "roar_publisher",
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
"""This program, and what it and its libraries import where they need it."""
ROAR_CLI = ("roar.application", "roar.cli", "roar.core", "roar.db", "roar.integrations.glaas")
"""What commands of roar-cli use. Other packages of it change the interpreter that imports them."""
FRAMEWORKS = "roar_publisher.integrations."
"""Modules that need a training framework, and that no command imports."""


def import_program() -> None:
    """Import this program, and keep it out of the collections of a fork.

    A collection would write to each object, and so copy the memory that a fork shares.
    """
    _import(OURS)


def import_roar_cli() -> None:
    """Import roar-cli, in the same way."""
    _import(ROAR_CLI)


def _import(names: tuple[str, ...]) -> None:
    for name in names:
        module = importlib.import_module(name)
        if name.startswith("roar"):
            for below in pkgutil.walk_packages(module.__path__, f"{name}."):
                if not below.name.startswith(FRAMEWORKS):
                    importlib.import_module(below.name)
    gc.freeze()
