"""Measures the structure of the code, and fails where it exceeds its bounds.

    python scripts/structure.py            # the figures, and what exceeds a bound
    python scripts/structure.py --rooms    # every folder with the folders that it imports from, too

Counts modules of `publisher/` and `state/`. A room is a folder of modules; an arrow is one room that imports from
another; a cycle is a set of modules that import each other when they are loaded (`TYPE_CHECKING` blocks and imports
inside functions do not count).
"""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
PACKAGE = "roar_publisher"

MOST_MEDIAN_LINES = 110
MOST_LINES = 400
LONG_FUNCTION_LINES = 60
MOST_LONG_FUNCTIONS = 0.01
"""Share of all functions that may be longer than `LONG_FUNCTION_LINES`."""


@dataclass(frozen=True, slots=True)
class Module:
    """A module by its dotted name, as it is imported."""

    name: str
    is_package: bool
    lines: int
    tree: ast.Module

    @property
    def room(self) -> str:
        """The package that holds it."""
        return self.name if self.is_package else self.name.rpartition(".")[0]


def read_modules() -> dict[str, Module]:
    """Every module, by its name."""
    modules = {}
    for top, prefix in (("publisher", PACKAGE), ("state", f"{PACKAGE}.state")):
        for path in sorted((ROOT / top).rglob("*.py")):
            inner = path.relative_to(ROOT / top)
            if top == "publisher" and inner.parts[0] == "state":
                continue
            parts = [part for part in inner.with_suffix("").parts if part != "__init__"]
            text = path.read_text(encoding="utf-8")
            name = ".".join((prefix, *parts))
            modules[name] = Module(name, path.name == "__init__.py", len(text.splitlines()), ast.parse(text))
    return modules


def imported(module: Module, modules: dict[str, Module], *, when_loaded: bool) -> set[str]:
    """The modules of ours that `module` imports: anywhere, or only while it is loaded."""
    found = set()
    for node in _statements(module.tree) if when_loaded else ast.walk(module.tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in modules else node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return (found & set(modules)) - {module.name}


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """What runs when a module is loaded."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from _statements(node)


def cycles(edges: dict[str, set[str]]) -> list[list[str]]:
    """The sets of modules that reach each other, each sorted."""
    reach = {name: _reachable(name, edges) for name in edges}
    groups = {tuple(sorted(other for other in reach[name] if name in reach[other])) for name in edges}
    return sorted(list(group) for group in groups if len(group) > 1)


def _reachable(start: str, edges: dict[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        for following in edges[waiting.pop()] - seen:
            seen.add(following)
            waiting.append(following)
    return seen


def functions(modules: dict[str, Module]) -> Iterator[tuple[str, int]]:
    """Every function with its length in lines."""
    for module in modules.values():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{module.name}.{node.name}", (node.end_lineno or node.lineno) - node.lineno + 1


def main(arguments: list[str]) -> int:
    modules = read_modules()
    with_text = [module for module in modules.values() if not module.is_package]
    lines = sorted(module.lines for module in with_text)
    lengths = list(functions(modules))
    long = sorted(name for name, length in lengths if length > LONG_FUNCTION_LINES)
    arrows: dict[str, set[str]] = {}
    for module in modules.values():
        others = {modules[name].room for name in imported(module, modules, when_loaded=False)} - {module.room}
        arrows.setdefault(module.room, set()).update(others)
    found = cycles({name: imported(module, modules, when_loaded=True) for name, module in modules.items()})
    report = [
        f"{len(with_text)} modules, {sum(lines)} lines; median {median(lines):.0f}, longest {lines[-1]}",
        f"{len(lengths)} functions, {len(long)} longer than {LONG_FUNCTION_LINES} lines: {', '.join(long) or 'none'}",
        f"{len(arrows)} rooms, {sum(map(len, arrows.values()))} arrows, {len(found)} import cycles",
    ]
    if "--rooms" in arguments:
        report += [f"  {room} -> {', '.join(sorted(others)) or '-'}" for room, others in sorted(arrows.items())]
    sys.stdout.write("\n".join((*report, "")))
    wrong = [f"{module.name} has {module.lines} lines" for module in with_text if module.lines > MOST_LINES]
    if median(lines) > MOST_MEDIAN_LINES:
        wrong.append(f"the median module has more than {MOST_MEDIAN_LINES} lines")
    if len(long) > MOST_LONG_FUNCTIONS * len(lengths):
        wrong.append(f"more than {MOST_LONG_FUNCTIONS:.0%} of the functions have over {LONG_FUNCTION_LINES} lines")
    wrong += [f"import cycle: {' '.join(cycle)}" for cycle in found]
    sys.stderr.write("".join(f"{fault}\n" for fault in wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
