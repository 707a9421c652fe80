"""Who runs SQL and who writes which table, and what is put into the text of a statement: constants and names that this
code chose, never a value.

Bandit's B608 cannot tell the two apart and is switched off in pyproject.toml; this list takes its place. A new entry
needs a look: nothing that was read from a file, a reply or a command line may become part of a statement.
"""

import ast
import re
from collections.abc import Iterator

from tests.support.checkout import CHECKOUT
from tests.support.sources import product_modules

STATEMENT = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|CREATE|DROP|ALTER|ATTACH|PRAGMA|WITH|REPLACE)\b.*\S", re.S)
CHOSEN_HERE: dict[str, set[str]] = {
    "publisher/planning/bundles/checking.py": {"order", "table"},
    "publisher/lineage/database.py": {"table"},
    "publisher/lineage/labels.py": {"columns"},
    "publisher/lineage/connections.py": {"milliseconds"},
    "publisher/lineage/publication.py": {"condition", "key", "table"},
    "publisher/lineage/targets.py": {"kind", "table"},
    "publisher/lineage/upstream.py": {"jobs_sql", "links"},
    "publisher/planning/put/record_writer.py": {"', '.join('?' * len(row))", "', '.join(columns)", "entity", "table"},
    "publisher/planning/put/sources.py": {"condition", "table"},
    "publisher/registry/store/listing.py": {"' AND '.join(conditions)"},
    "publisher/registry/store/node_rows.py": {"earlier"},
    "publisher/registry/store/graphs.py": {"columns", "condition", "table", "values"},
    "publisher/registry/store/sqlite.py": {"len(migrations)", "self.usual_sync"},
    "publisher/registry/store/jobs.py": {
        "', '.join((f'link.{column}' for column in order.split(', ')))",
        "order",
    },
    "publisher/registry/store/moving.py": {"columns", "key", "name", "placeholders", "table.name"},
    "state/foreign_journal.py": {"names", "places", "table"},
    "state/journal_file.py": {"', '.join(row)", "places", "table"},
    "state/journal.py": {"assignments", "table"},
    "state/objects.py": {"where"},
    "state/queue.py": {"assignments"},
    "state/units.py": {"', '.join('?' * len(names))"},
}


def test_only_constants_and_chosen_names_become_part_of_a_statement() -> None:
    unknown = {
        f"{module}: {expression}"
        for module, expression in _interpolated()
        if not _is_constant(expression) and expression not in CHOSEN_HERE.get(module, set())
    }
    assert unknown == set()


def test_the_list_names_nothing_that_is_gone() -> None:
    found = set(_interpolated())
    gone = [
        (module, name) for module, names in CHOSEN_HERE.items() for name in sorted(names) if (module, name) not in found
    ]
    assert gone == []


ENGINE_OF_THE_REGISTRY = "publisher/registry/store"


def test_only_the_store_of_the_registry_knows_its_sql_engine() -> None:
    registry = _modules("publisher/registry") | _modules("publisher/cli/registry")
    importers = {module for module, tree in registry.items() if _imports_sqlite(tree)}
    assert importers == {f"{ENGINE_OF_THE_REGISTRY}/{name}.py" for name in ("files", "sorting", "sqlite")}
    assert {module for module, tree in registry.items() if _runs_sql(tree)} <= set(_modules(ENGINE_OF_THE_REGISTRY))


def test_the_command_line_runs_no_sql() -> None:
    assert not [module for module, tree in _modules("publisher/cli").items() if _runs_sql(tree)]


def test_files_are_opened_as_python_3_15_demands() -> None:
    """There, sqlite3.connect takes nothing but the file by position."""
    calls = [
        f"{path}:{node.lineno}"
        for path, tree in product_modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "sqlite3.connect" and len(node.args) > 1
    ]
    assert calls == []


WRITES_A_TABLE = re.compile(
    r"(?:INSERT (?:OR REPLACE )?INTO|UPDATE|DELETE FROM) (\w+)|self\.insert\(\s*\"(\w+)\"|_update\(\"(\w+)\""
)
OWNERS_OF_TABLES = {
    "plan": "journal",
    "progress": "journal",
    "events": "journal",
    "queue": "queue",
    "units": "units",
    "objects": "objects",
    "parts": "objects",
}
"""By table of the journal: the module of `state` that writes it. Migrations, and the copy of an import, write all."""


def test_each_table_of_the_journal_is_written_by_one_module() -> None:
    writers: dict[str, set[str]] = {}
    for path in (CHECKOUT / "state").glob("*.py"):
        if path.stem not in ("migrations", "schema", "foreign"):
            for names in WRITES_A_TABLE.findall(path.read_text(encoding="utf-8")):
                writers.setdefault("".join(names), set()).add(path.stem)
    assert writers == {table: {module} for table, module in OWNERS_OF_TABLES.items()}


def _modules(folder: str) -> dict[str, ast.Module]:
    """The modules below a folder."""
    return {path.as_posix(): tree for path, tree in product_modules().items() if path.is_relative_to(folder)}


def _imports_sqlite(tree: ast.Module) -> bool:
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return "sqlite3" in imported | {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}


def _runs_sql(tree: ast.Module) -> bool:
    return any(isinstance(node, ast.Attribute) and node.attr.startswith("execute") for node in ast.walk(tree))


def _is_constant(expression: str) -> bool:
    return re.fullmatch(r"_?[A-Z][A-Z_]*( \+ 1)?", expression) is not None


def _interpolated() -> Iterator[tuple[str, str]]:
    """(module, expression) of everything that an f-string puts into SQL."""
    for module, tree in product_modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr) and STATEMENT.match(_text(node)):
                for part in node.values:
                    if isinstance(part, ast.FormattedValue):
                        yield module.as_posix(), ast.unparse(part.value)


def _text(node: ast.JoinedStr) -> str:
    return "".join(part.value for part in node.values if isinstance(part, ast.Constant) and isinstance(part.value, str))
