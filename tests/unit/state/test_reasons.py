"""Every reason has a meaning, and an error has the exit code of its reason's meaning."""

import ast
from collections.abc import Iterator

import pytest

from roar_publisher.state import errors
from roar_publisher.state.errors import ExitCode, LocalProblem, PublisherError
from roar_publisher.state.meanings import MEANINGS
from roar_publisher.state.reasons import Reason, reason_of
from tests.support.checkout import CHECKOUT

SOURCES = [path for folder in ("publisher", "state") for path in sorted((CHECKOUT / folder).rglob("*.py"))]


def reasons(value: ast.expr) -> list[Reason]:
    """Return the reasons that an expression names."""
    return [
        Reason[node.attr]
        for node in ast.walk(value)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "Reason"
    ]


def raised() -> Iterator[tuple[str, Reason, ExitCode]]:
    """Yield where an error of `state.errors` is made with a reason, the reason, and the exit code of the error."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
                continue
            kind = getattr(errors, node.func.id, None)
            if not (isinstance(kind, type) and issubclass(kind, PublisherError)):
                continue
            arguments = {keyword.arg: keyword.value for keyword in node.keywords}
            resumable = kind is LocalProblem and "resumable" in arguments
            exit_code = LocalProblem("", resumable=resumable).exit_code if kind is LocalProblem else kind.exit_code
            for reason in reasons(arguments["reason"]) if "reason" in arguments else []:
                yield f"{path.relative_to(CHECKOUT)}:{node.lineno}", reason, exit_code


def test_every_reason_has_a_meaning() -> None:
    assert set(MEANINGS) == set(Reason)


def test_a_code_of_a_newer_release_is_replaced() -> None:
    assert reason_of("offline", otherwise=Reason.LOCAL) is Reason.OFFLINE
    assert reason_of("of a newer release", otherwise=Reason.LOCAL) is Reason.LOCAL


def test_an_error_has_the_exit_code_of_its_reason() -> None:
    """An error that leaves nothing to resume has 1 in place of 3; the command makes 3 of it if something is left."""
    found = list(raised())
    assert len({reason for _, reason, _ in found}) > 40, "the search finds too little"
    wrong = [
        (place, reason, int(exit_code))
        for place, reason, exit_code in found
        if exit_code != MEANINGS[reason].code
        and (exit_code, MEANINGS[reason].code) != (ExitCode.FAILED, ExitCode.INTERRUPTED)
    ]
    assert wrong == []


@pytest.mark.parametrize("reason", [Reason.JOURNAL, Reason.DISK_FULL, Reason.STATE_DIRECTORY, Reason.CONFIG])
def test_a_local_cause_leaves_a_publish_to_resume(reason: Reason) -> None:
    assert MEANINGS[reason].code is ExitCode.INTERRUPTED
