"""The paths of registries that a release of roar-cli names, read out of its source without running it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

_PATH = re.compile(r"/api/v\d+/[^\s`'\"]+")


def paths_in(package: Path) -> dict[str, set[str]]:
    """Return every path below `/api/` in the package's modules, with the modules that name it.

    What the client puts into a path is `{}`. Queries are left out.
    """
    found: dict[str, set[str]] = {}
    for module, tree in _modules(package):
        for text in _texts(tree):
            for path in _paths(text):
                found.setdefault(path, set()).add(module)
    return found


def requests_in(package: Path) -> set[tuple[str, str]]:
    """Return method and path of the requests that name both in one call: `self._request("GET", "/api/…")`."""
    return {
        (str(method.value), path)
        for _, tree in _modules(package)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "_request"
        for method, argument in zip(node.args, node.args[1:2], strict=False)
        if isinstance(method, ast.Constant)
        for path in _paths(_text(argument) or "")
    }


def _modules(package: Path) -> Iterator[tuple[str, ast.Module]]:
    for module in sorted(package.rglob("*.py")):
        yield module.relative_to(package).as_posix(), ast.parse(module.read_text(encoding="utf-8"))


def _paths(text: str) -> set[str]:
    return {path.partition("?")[0].rstrip("./,:;)") for path in _PATH.findall(text)}


def _texts(tree: ast.Module) -> Iterator[str]:
    """Yield the constant and formatted texts of a module, except its docstrings."""
    nodes = list(ast.walk(tree))
    left_out = {node.value for node in nodes if isinstance(node, ast.Expr)}
    left_out |= {part for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in nodes:
        text = _text(node)
        if text is not None and node not in left_out:
            yield text


def _text(node: ast.AST) -> str | None:
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
