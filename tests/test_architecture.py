"""The directions of imports, read from the source, against the table of `tests/support/import_rules.py`."""

import ast
import sys
from collections.abc import Iterator
from functools import cache

import pytest

from tests.support.checkout import CHECKOUT
from tests.support.import_rules import COMMAND_LINE, MAY_IMPORT, SHARED_WITH_REGISTRY, STATE_DEPENDENCIES
from tests.support.sources import PACKAGES, product_modules


def sources() -> Iterator[tuple[str, ast.Module]]:
    """Every module of the two packages, by its dotted name."""
    for path, tree in product_modules().items():
        yield ".".join(path.with_suffix("").parts).removesuffix(".__init__"), tree


def imports(name: str, tree: ast.Module) -> set[str]:
    """The modules that a module imports, wherever in it: late imports are imports too."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {_in_repository(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively"
            module = _in_repository(node.module or "")
            found |= {
                f"{module}.{alias.name}" if is_module(f"{module}.{alias.name}") else module for alias in node.names
            }
    return found


def _in_repository(name: str) -> str:
    """A module of ours as the repository has it: the installed package is `publisher`, with `state` inside."""
    first, _, rest = name.partition(".")
    if first != "roar_publisher":
        return name
    return rest if rest.split(".")[0] == "state" else f"publisher.{rest}".removesuffix(".")


@cache
def is_module(name: str) -> bool:
    path = CHECKOUT.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def package(name: str) -> str:
    """The entry of the table that a module belongs to."""
    if name.split(".")[0] == "state":
        return "state"
    packages = (".".join(name.split(".")[:length]) for length in (3, 2))
    return next((each for each in packages if each in MAY_IMPORT or each in COMMAND_LINE), "publisher")


@cache
def imports_between_packages() -> list[tuple[str, str]]:
    """Every module with each module of another package of ours that it imports."""
    return sorted(
        (name, imported)
        for name, tree in sources()
        for imported in imports(name, tree)
        if imported.split(".")[0] in PACKAGES and package(imported) != package(name)
    )


def test_imports_are_found() -> None:
    assert len(imports_between_packages()) > 100
    assert ("publisher.engine.loop", "state.machine") in imports_between_packages()


def test_every_package_is_in_the_table() -> None:
    assert {package(name) for name, _ in sources()} <= {*MAY_IMPORT, *COMMAND_LINE}


@pytest.mark.parametrize("source", sorted(MAY_IMPORT))
def test_imports_follow_the_table(source: str) -> None:
    assert not {
        (name, imported)
        for name, imported in imports_between_packages()
        if package(name) == source and package(imported) not in MAY_IMPORT[source]
    }


def test_only_main_imports_the_command_line() -> None:
    importers = {name for name, imported in imports_between_packages() if _inside(imported, "publisher.cli")}
    assert {name for name in importers if not _inside(name, "publisher.cli")} == {"publisher.__main__"}


def test_the_registry_shares_only_the_wire_and_the_canonical_form_with_the_client() -> None:
    inside = {(name, imported) for name, imported in imports_between_packages() if _inside(name, "publisher.registry")}
    shared = {imported for _, imported in inside if not _inside(imported, "publisher.registry")}
    assert shared <= SHARED_WITH_REGISTRY
    importers = {name for name, imported in imports_between_packages() if _inside(imported, "publisher.registry")}
    assert all(_inside(name, "publisher.registry") or _inside(name, "publisher.cli") for name in importers)


def _inside(name: str, folder: str) -> bool:
    return name == folder or name.startswith(f"{folder}.")


def test_state_depends_on_three_libraries() -> None:
    for name, tree in sources():
        if package(name) == "state":
            foreign = {imported.split(".")[0] for imported in imports(name, tree)} - set(sys.stdlib_module_names)
            assert foreign <= STATE_DEPENDENCIES | {"state"}, name


def test_packages_have_no_import_cycle() -> None:
    edges: dict[str, set[str]] = {}
    for name, imported in imports_between_packages():
        if package(imported) != "publisher":
            edges.setdefault(package(name), set()).add(package(imported))
    while leaves := {source for source, targets in edges.items() if not targets & set(edges)}:
        edges = {source: targets for source, targets in edges.items() if source not in leaves}
    assert edges == {}


def test_public_class_names_are_unique() -> None:
    places: dict[str, list[str]] = {}
    for name, tree in sources():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(name)
    assert {name: modules for name, modules in places.items() if len(modules) > 1} == {}
