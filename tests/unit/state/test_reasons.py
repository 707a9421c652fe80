"""Every reason has a meaning, and an error has the exit code of its reason's meaning."""

import ast
from collections.abc import Iterator

import pytest

from roar_publisher.state import errors
from roar_publisher.state.errors import Conclusion, LocalProblem, PublisherError
from roar_publisher.state.meanings import MEANINGS
from roar_publisher.state.reasons import Reason, reason_of
from tests.support.sources import product_modules


def reasons(value: ast.expr) -> list[Reason]:
    """Return the reasons that an expression names."""
    return [
        Reason[node.attr]
        for node in ast.walk(value)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "Reason"
    ]


def raised() -> Iterator[tuple[str, Reason, Conclusion]]:
    """Yield where an error of `state.errors` is made with a reason, the reason, and its conclusion."""
    for path, tree in product_modules().items():
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
                continue
            kind = getattr(errors, node.func.id, None)
            if not (isinstance(kind, type) and issubclass(kind, PublisherError)):
                continue
            arguments = {keyword.arg: keyword.value for keyword in node.keywords}
            resumable = kind is LocalProblem and "resumable" in arguments
            conclusion = LocalProblem("", resumable=resumable).conclusion if kind is LocalProblem else kind.conclusion
            for reason in reasons(arguments["reason"]) if "reason" in arguments else []:
                yield f"{path}:{node.lineno}", reason, conclusion


def test_every_reason_has_a_meaning() -> None:
    assert set(MEANINGS) == set(Reason)


def test_a_code_of_a_newer_release_is_replaced() -> None:
    assert reason_of("offline", otherwise=Reason.LOCAL) is Reason.OFFLINE
    assert reason_of("of a newer release", otherwise=Reason.LOCAL) is Reason.LOCAL


def test_an_error_concludes_as_its_reason_does() -> None:
    """An error that leaves nothing to resume is FAILED; the command makes it INTERRUPTED if something is left."""
    found = list(raised())
    assert len({reason for _, reason, _ in found}) > 40, "the search finds too little"
    wrong = [
        (place, reason, conclusion)
        for place, reason, conclusion in found
        if conclusion is not MEANINGS[reason].conclusion
        and (conclusion, MEANINGS[reason].conclusion) != (Conclusion.FAILED, Conclusion.INTERRUPTED)
    ]
    assert wrong == []


@pytest.mark.parametrize("reason", [Reason.JOURNAL, Reason.DISK_FULL, Reason.STATE_DIRECTORY, Reason.CONFIG])
def test_a_local_cause_leaves_a_publish_to_resume(reason: Reason) -> None:
    assert MEANINGS[reason].conclusion is Conclusion.INTERRUPTED
