"""The import arrows, read from the source.

`cli → publishing → daemon → engine → {planning, storage, auth, glaas, lineage} → net → state`.  `state`
imports nothing of `publisher`.  `registry` shares the wire and the canonical form with the client, and nothing else.
"""

import ast
import sys
from collections.abc import Iterator
from functools import cache

import pytest

from tests.support.checkout import CHECKOUT
from tests.support.sources import PACKAGES, product_modules

MAY_KNOW: dict[str, set[str]] = {
    "state": set(),
    "publisher": {
        "publisher.api",
        "publisher.checkpoints",
        "publisher.errors",
        "publisher.events",
        "publisher.publishing",
    },
    "publisher.api": {"state", "publisher.events", "publisher.publishing"},
    "publisher.aio": {"publisher.events", "publisher.publishing"},
    "publisher.errors": {"state", "publisher.publishing"},
    "publisher.report": {"state"},
    "publisher.guarded": set(),
    "publisher.blocking": set(),
    "publisher.exit_codes": {"state"},
    "publisher.events": set(),
    "publisher.extras": {"state"},
    "publisher.naming": set(),
    "publisher.text": set(),
    "publisher.tasks": {"state"},
    "publisher.net": {"publisher.guarded", "state", "publisher", "publisher.report", "publisher.tasks"},
    "publisher.glaas": {"publisher.guarded", "state", "publisher.report", "publisher.net"},
    "publisher.storage": {
        "publisher.guarded",
        "state",
        "publisher",
        "publisher.extras",
        "publisher.report",
        "publisher.net",
        "publisher.tasks",
    },
    "publisher.lineage.git": {"state"},
    "publisher.lineage.redaction": {"state"},
    "publisher.lineage": {
        "state",
        "publisher.report",
        "publisher.glaas",
        "publisher.lineage.git",
        "publisher.lineage.redaction",
    },
    "publisher.auth": {
        "state",
        "publisher.blocking",
        "publisher.report",
        "publisher.net",
        "publisher.glaas",
        "publisher.tasks",
    },
    "publisher.planning": {
        "state",
        "publisher.report",
        "publisher.net",
        "publisher.glaas",
        "publisher.lineage",
        "publisher.auth",
    },
    "publisher.planning.put": {
        "state",
        "publisher.report",
        "publisher.planning",
        "publisher.lineage",
        "publisher.lineage.git",
        "publisher.lineage.redaction",
        "publisher.storage",
        "publisher.auth",
        "publisher.tasks",
    },
    "publisher.planning.bundles": {
        "state",
        "publisher.planning.put",
        "publisher.lineage",
        "publisher.lineage.redaction",
        "publisher.storage",
        "publisher.auth",
        "publisher.net",
        "publisher.glaas",
    },
    "publisher.engine": set(),
    "publisher.engine.journal": {"state", "publisher.blocking"},
    "publisher.engine.waits": {"state", "publisher.report", "publisher.engine.journal", "publisher.tasks"},
    "publisher.engine.run": {
        "state",
        "publisher.report",
        "publisher.blocking",
        "publisher.engine.journal",
        "publisher.net",
        "publisher.glaas",
        "publisher.auth",
    },
    "publisher.engine.staging": {
        "publisher.engine.journal",
        "state",
        "publisher.report",
        "publisher.engine.run",
        "publisher.net",
        "publisher.glaas",
        "publisher.storage",
        "publisher.tasks",
    },
    "publisher.engine.steps": {
        "publisher.blocking",
        "publisher.tasks",
        "state",
        "publisher.report",
        "publisher.engine.run",
        "publisher.engine.staging",
        "publisher.planning.put",
        "publisher.planning.bundles",
        "publisher.net",
        "publisher.glaas",
        "publisher.lineage",
        "publisher.lineage.git",
        "publisher.auth",
        "publisher.storage",
        "publisher.verification",
        "publisher.inspection",
        "publisher.text",
    },
    "publisher.engine.loop": {
        "state",
        "publisher.report",
        "publisher.engine.run",
        "publisher.engine.steps",
        "publisher.glaas",
        "publisher.tasks",
    },
    "publisher.engine.credentials": {
        "state",
        "publisher.report",
        "publisher.net",
        "publisher.auth",
        "publisher.lineage",
    },
    "publisher.engine.worker": {
        "state",
        "publisher.report",
        "publisher.engine.credentials",
        "publisher.engine.journal",
        "publisher.engine.run",
        "publisher.engine.loop",
        "publisher.engine.waits",
        "publisher.net",
        "publisher.glaas",
        "publisher.auth",
    },
    "publisher.verification": {"state", "publisher.glaas", "publisher.lineage"},
    "publisher.fetching": {
        "state",
        "publisher.blocking",
        "publisher.report",
        "publisher.auth",
        "publisher.engine.credentials",
        "publisher.glaas",
        "publisher.lineage",
        "publisher.net",
        "publisher.storage",
        "publisher.tasks",
        "publisher.text",
        "publisher.verification",
    },
    "publisher.inspection": {"state", "publisher.blocking", "publisher.net", "publisher.storage", "publisher.tasks"},
    "publisher.checking": {
        "state",
        "publisher.blocking",
        "publisher.engine.credentials",
        "publisher.engine.journal",
        "publisher.engine.staging",
        "publisher.exit_codes",
        "publisher.fetching",
        "publisher.glaas",
        "publisher.inspection",
        "publisher.lineage",
        "publisher.net",
        "publisher.storage",
        "publisher.tasks",
        "publisher.verification",
    },
    "publisher.daemon": {
        "state",
        "publisher.checking",
        "publisher",
        "publisher.report",
        "publisher.blocking",
        "publisher.exit_codes",
        "publisher.engine.journal",
        "publisher.engine.loop",
        "publisher.engine.run",
        "publisher.engine.worker",
        "publisher.net",
        "publisher.lineage",
        "publisher.lineage.redaction",
        "publisher.auth",
        "publisher.tasks",
    },
    "publisher.registry.http": {"publisher.glaas"},
    "publisher.registry.store": {"publisher.lineage", "publisher.registry.http"},
    "publisher.registry.accounts": {
        "publisher.guarded",
        "publisher.glaas",
        "publisher.lineage",
        "publisher.registry.http",
        "publisher.registry.store",
    },
    "publisher.registry.lineages": {
        "publisher.guarded",
        "publisher.glaas",
        "publisher.lineage",
        "publisher.registry.http",
        "publisher.registry.store",
        "publisher.registry.accounts",
    },
    "publisher.registry": {
        "publisher.guarded",
        "publisher.glaas",
        "publisher.registry.store",
        "publisher.registry.accounts",
        "publisher.registry.lineages",
    },
    "publisher.registry.pages": {"publisher.registry.http", "publisher.registry.lineages"},
    "publisher.registry.api": {
        "publisher.glaas",
        "publisher.registry",
        "publisher.registry.http",
        "publisher.registry.store",
        "publisher.registry.accounts",
        "publisher.registry.lineages",
        "publisher.registry.pages",
    },
    "publisher.registry.server": {
        "publisher.registry",
        "publisher.registry.http",
        "publisher.registry.store",
        "publisher.registry.accounts",
        "publisher.registry.api",
    },
    "publisher.publishing": {
        "state",
        "publisher.blocking",
        "publisher.events",
        "publisher.fetching",
        "publisher.exit_codes",
        "publisher.naming",
        "publisher.report",
        "publisher.tasks",
        "publisher.text",
        "publisher.net",
        "publisher.glaas",
        "publisher.storage",
        "publisher.auth",
        "publisher.lineage",
        "publisher.planning",
        "publisher.planning.put",
        "publisher.engine.credentials",
        "publisher.engine.run",
        "publisher.engine.staging",
        "publisher.engine.worker",
        "publisher.daemon",
    },
    "publisher.checkpoints": {
        "state",
        "publisher.daemon",
        "publisher.lineage",
        "publisher.planning.put",
        "publisher.publishing",
        "publisher.storage",
    },
    "publisher.integrations": {
        "state",
        "publisher.publishing",
        "publisher.checkpoints",
        "publisher.events",
        "publisher.extras",
        "publisher.text",
    },
    "publisher.__main__": {"publisher.cli", "publisher.cli.display"},
}
"""By room, a package or a module: the rooms that it may import from.  The command line may know every room."""
ROOMS_OF_THE_COMMAND_LINE = {
    "publisher.cli",
    "publisher.cli.daemon",
    "publisher.cli.display",
    "publisher.cli.fetch",
    "publisher.cli.journal",
    "publisher.cli.publish",
    "publisher.cli.registry",
    "publisher.cli.verify",
}

SHARED_WITH_REGISTRY = {
    "publisher.guarded",
    "publisher.glaas.protocol",
    "publisher.glaas.wire",
    "publisher.glaas.batches",
    "publisher.glaas.decoding",
    "publisher.glaas.features",
    "publisher.glaas.signature",
    "publisher.glaas.verifying",
    "publisher.glaas.envelope",
    "publisher.lineage.canonical",
    "publisher.lineage.statement",
}
EXCEPTIONS: set[tuple[str, str]] = set()
"""Arrows that run the wrong way; each one that is fixed leaves this list."""
STATE_IS_MADE_OF = {"msgspec", "sqlite_utils", "transitions"}


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
    """What of MAY_KNOW a module belongs to."""
    if name.split(".")[0] == "state":
        return "state"
    rooms = (".".join(name.split(".")[:length]) for length in (3, 2))
    return next((room for room in rooms if room in MAY_KNOW or room in ROOMS_OF_THE_COMMAND_LINE), "publisher")


@cache
def arrows() -> list[tuple[str, str]]:
    """Every module with each module of another package of ours that it imports."""
    return sorted(
        (name, imported)
        for name, tree in sources()
        for imported in imports(name, tree)
        if imported.split(".")[0] in PACKAGES and package(imported) != package(name)
    )


def test_there_are_arrows_to_check() -> None:
    assert len(arrows()) > 100
    assert ("publisher.engine.loop", "state.machine") in arrows()


def test_every_package_has_its_place() -> None:
    assert {package(name) for name, _ in sources()} <= {*MAY_KNOW, *ROOMS_OF_THE_COMMAND_LINE}


@pytest.mark.parametrize("source", sorted(MAY_KNOW))
def test_arrows_run_one_way(source: str) -> None:
    wrong = {
        (name, imported)
        for name, imported in arrows()
        if package(name) == source and package(imported) not in MAY_KNOW[source]
    }
    assert wrong <= EXCEPTIONS


def test_exceptions_that_are_mended_are_no_longer_listed() -> None:
    assert set(arrows()) >= EXCEPTIONS


def test_only_main_imports_the_command_line() -> None:
    importers = {name for name, imported in arrows() if _inside(imported, "publisher.cli")}
    assert {name for name in importers if not _inside(name, "publisher.cli")} == {"publisher.__main__"}


def test_the_registry_shares_only_the_wire_and_the_canonical_form_with_the_client() -> None:
    inside = {(name, imported) for name, imported in arrows() if _inside(name, "publisher.registry")}
    shared = {imported for _, imported in inside if not _inside(imported, "publisher.registry")}
    assert shared <= SHARED_WITH_REGISTRY
    importers = {name for name, imported in arrows() if _inside(imported, "publisher.registry")}
    assert all(_inside(name, "publisher.registry") or _inside(name, "publisher.cli") for name in importers)


def _inside(name: str, folder: str) -> bool:
    return name == folder or name.startswith(f"{folder}.")


def test_the_heart_is_made_of_the_standard_library_and_three_others() -> None:
    for name, tree in sources():
        if package(name) == "state":
            foreign = {imported.split(".")[0] for imported in imports(name, tree)} - set(sys.stdlib_module_names)
            assert foreign <= STATE_IS_MADE_OF | {"state"}, name


def test_packages_know_each_other_in_no_circle() -> None:
    edges: dict[str, set[str]] = {}
    for name, imported in arrows():
        if (name, imported) not in EXCEPTIONS and package(imported) != "publisher":
            edges.setdefault(package(name), set()).add(package(imported))
    while leaves := {source for source, targets in edges.items() if not targets & set(edges)}:
        edges = {source: targets for source, targets in edges.items() if source not in leaves}
    assert edges == {}


def test_no_two_public_classes_have_one_name() -> None:
    places: dict[str, list[str]] = {}
    for name, tree in sources():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(name)
    assert {name: modules for name, modules in places.items() if len(modules) > 1} == {}
