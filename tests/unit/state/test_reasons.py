"""Every code that an error bears is documented, with the exit code that the error has."""

import ast
from collections.abc import Iterator

import pytest

from roar_publisher.state import errors
from roar_publisher.state.errors import ExitCode, LocalProblem, PublisherError
from roar_publisher.state.reasons import MEANINGS, Reason
from tests.support.checkout import CHECKOUT

SOURCES = [path for folder in ("publisher", "state") for path in sorted((CHECKOUT / folder).rglob("*.py"))]


def nodes() -> Iterator[tuple[str, ast.AST]]:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            yield str(path.relative_to(CHECKOUT)), node


def codes(value: ast.expr) -> list[str]:
    """The texts that an expression may be."""
    match value:
        case ast.Constant(value=str(code)):
            return [code] if code else []
        case ast.IfExp(body=body, orelse=orelse):
            return codes(body) + codes(orelse)
        case ast.Attribute(value=ast.Name(id="Reason"), attr=name):
            return [Reason[name]]
    return []


def named() -> Iterator[tuple[str, str]]:
    """Where a code stands: the argument `reason` of a call, or the attribute of a class; and the code."""
    for place, node in nodes():
        if isinstance(node, ast.keyword) and node.arg == "reason":
            values = codes(node.value)
        elif isinstance(node, ast.ClassDef):
            values = [
                code
                for line in node.body
                if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "reason"
                for code in codes(line.value)
            ]
        else:
            continue
        for code in values:
            yield place, code


def raised() -> Iterator[tuple[str, str, ExitCode]]:
    """Where an error of `state.errors` is made with a code, the code, and the exit code that it has."""
    for place, node in nodes():
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
            continue
        kind = getattr(errors, node.func.id, None)
        if not (isinstance(kind, type) and issubclass(kind, PublisherError)):
            continue
        said = {keyword.arg: keyword.value for keyword in node.keywords}
        for code in codes(said["reason"]) if "reason" in said else []:
            exit_code = LocalProblem("", resumable="resumable" in said).exit_code if kind is LocalProblem else None
            yield f"{place}:{node.lineno}", code, exit_code or kind.exit_code


def test_every_reason_has_a_meaning() -> None:
    assert set(MEANINGS) == set(Reason)


def test_every_code_in_the_source_is_documented() -> None:
    found = list(named())
    assert len({code for _, code in found}) > 40, "the search finds too little"
    assert [(place, code) for place, code in found if code not in set(Reason)] == []


def test_an_error_has_the_exit_code_that_its_reason_documents() -> None:
    """1 in place of 3 is what an error has that leaves nothing to resume; where something is left, it becomes 3."""
    wrong = [
        (place, code, int(exit_code))
        for place, code, exit_code in raised()
        if exit_code != MEANINGS[Reason(code)].code
        and (exit_code, MEANINGS[Reason(code)].code) != (ExitCode.FAILED, ExitCode.INTERRUPTED)
    ]
    assert wrong == []


@pytest.mark.parametrize("reason", [Reason.JOURNAL, Reason.DISK_FULL, Reason.STATE_DIRECTORY, Reason.CONFIG])
def test_what_can_be_mended_leaves_a_publish_to_resume(reason: Reason) -> None:
    assert MEANINGS[reason].code is ExitCode.INTERRUPTED
