"""The paths of registries that a release of roar-cli names, read out of its source without running it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

_PATH = re.compile(r"/api/v\d+/[^\s`'\"]+")
_PLACEHOLDER = "{}"


def paths_in(package: Path) -> dict[str, set[str]]:
    """Return every path below `/api/` in the package's modules, with the modules that name it.

    What the client puts into a path is `{}`. Queries are left out.
    """
    found: dict[str, set[str]] = {}
    for module in sorted(package.rglob("*.py")):
        for text in _texts(ast.parse(module.read_text(encoding="utf-8"))):
            for path in _PATH.findall(text):
                named = path.partition("?")[0].rstrip("./,:;)")
                found.setdefault(named, set()).add(module.relative_to(package).as_posix())
    return found


def _texts(tree: ast.AST) -> Iterator[str]:
    """Yield the constant and formatted texts of a module, except its docstrings."""
    docstrings = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant | ast.JoinedStr)
    }
    formatted = {part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if node in docstrings or node in formatted:
            continue
        if isinstance(node, ast.JoinedStr):
            yield "".join(_shown(part) for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _shown(part: ast.expr) -> str:
    return str(part.value) if isinstance(part, ast.Constant) else _PLACEHOLDER
