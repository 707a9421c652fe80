"""The product's modules as syntax trees, parsed once in a process and not when tests are collected."""

import ast
from collections.abc import Mapping
from functools import cache
from pathlib import PurePath

from tests.support.checkout import CHECKOUT

PACKAGES = ("publisher", "state")


@cache
def product_modules() -> Mapping[PurePath, ast.Module]:
    """Return the tree of every module of the two packages, by its path in the repository."""
    paths = (path for package in PACKAGES for path in sorted((CHECKOUT / package).rglob("*.py")))
    return {
        path.relative_to(CHECKOUT): ast.parse(path.read_text(encoding="utf-8"))
        for path in paths
        if not path.is_relative_to(CHECKOUT / "publisher" / "state")  # the link to `state`
    }
