"""What is put into the text of an SQL statement: constants and names that this code chose, never a value.

Bandit's B608 cannot tell the two apart and is switched off in pyproject.toml; this list takes its place.  A new entry
needs a look: nothing that was read from a file, a reply or a command line may become part of a statement.
"""

import ast
import re
from collections.abc import Iterator

from tests.support.checkout import CHECKOUT

ROOT = CHECKOUT
STATEMENT = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|CREATE|DROP|ALTER|ATTACH|PRAGMA|WITH|REPLACE)\b.*\S", re.S)
CHOSEN_HERE: dict[str, set[str]] = {
    "publisher/planning/bundles/checking.py": {"order", "table"},
    "publisher/lineage/database.py": {"table"},
    "publisher/lineage/labels.py": {"columns"},
    "publisher/lineage/targets.py": {"kind", "table"},
    "publisher/lineage/upstream.py": {"jobs", "links"},
    "publisher/planning/put/record_writer.py": {"', '.join('?' * len(row))", "', '.join(columns)", "entity", "table"},
    "publisher/planning/put/sources.py": {"condition", "table"},
    "publisher/registry/store/descent.py": {"placeholders('digest', digests)", "placeholders('space', spaces)"},
    "publisher/registry/store/lineage_index.py": {"found"},
    "publisher/registry/store/listing.py": {"' AND '.join(conditions)"},
    "publisher/registry/store/node_rows.py": {"earlier", "placeholders('space', spaces)"},
    "publisher/registry/store/picture_rows.py": {"placeholders('id', chunk)"},
    "publisher/registry/store/graphs.py": {"columns", "place", "table", "values"},
    "publisher/registry/store/sqlite.py": {"len(migrations)", "self.usual_sync"},
    "publisher/registry/store/jobs.py": {
        "', '.join((f'link.{column}' for column in order.split(', ')))",
        "order",
    },
    "publisher/registry/store/moving.py": {"columns", "key", "name", "places", "table.name"},
    "publisher/registry/store/provenance.py": {"places"},
    "state/file.py": {"', '.join(row)", "places", "table"},
    "state/foreign.py": {"names", "places", "table"},
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


def _is_constant(expression: str) -> bool:
    return re.fullmatch(r"_?[A-Z][A-Z_]*( \+ 1)?", expression) is not None


def _interpolated() -> Iterator[tuple[str, str]]:
    """(module, expression) of everything that an f-string puts into SQL."""
    for package in ("publisher", "state"):
        for file in sorted((ROOT / package).rglob("*.py")):
            module = file.relative_to(ROOT).as_posix()
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr) and STATEMENT.match(_text(node)):
                    for part in node.values:
                        if isinstance(part, ast.FormattedValue):
                            yield module, ast.unparse(part.value)


def _text(node: ast.JoinedStr) -> str:
    return "".join(part.value for part in node.values if isinstance(part, ast.Constant) and isinstance(part.value, str))
