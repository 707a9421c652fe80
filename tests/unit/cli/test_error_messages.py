"""The form of every message: what happened, what is kept, what to type next (`state.errors.PublisherError`)."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from roar_publisher.__main__ import run
from roar_publisher.cli.failure import report_error
from roar_publisher.state.errors import LocalProblem, PublisherError
from roar_publisher.state.meanings import MEANINGS
from roar_publisher.state.reasons import Reason
from tests.support.sources import product_modules

NAMES = ("SQLite", "Google", "SSH", "AWS", "NFS")
"""Words that begin with a capital wherever they are."""
PRIVATE = re.compile(
    r"\b(nobody|somebody|whoever|everybody|told|tells?|mend|knock|twin|goes on|go on|anew|can't|can not)\b"
    r"|(?<!there )\bis no (?!longer|such)",
    re.IGNORECASE,
)
"""Words and phrases that plain English does without."""
KINDS = ("what", "kept", "next_step")
"""The arguments of an error that are texts."""
HOLE = "{}"
"""Stands for what an f-string inserts."""


def classes() -> set[str]:
    """The names of `PublisherError` and of every class that is derived from it."""
    bases = {
        node.name: {base.id for base in node.bases if isinstance(base, ast.Name)}
        for tree in product_modules().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    found = {PublisherError.__name__}
    while more := {name for name, named in bases.items() if named & found} - found:
        found |= more
    return found


def text(node: ast.expr) -> str | None:
    """The text of a literal; None if the expression is not one."""
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else HOLE for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


@cache
def messages() -> dict[str, set[tuple[str, str]]]:
    """Every literal message with its module, by the argument that it is given as."""
    errors = classes()
    found: dict[str, set[tuple[str, str]]] = {kind: set() for kind in KINDS}
    for path, tree in product_modules().items():
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            given = {each.arg: each.value for each in call.keywords if each.arg in found}
            if isinstance(call.func, ast.Name) and call.func.id in errors and call.args:
                given["what"] = call.args[0]
            for name, node in given.items():
                if name is not None and (message := text(node)):
                    found[name].add((path.as_posix(), message))
    return found


def test_there_are_messages_to_check() -> None:
    assert {name: len(found) > 40 for name, found in messages().items()} == dict.fromkeys(KINDS, True)


def test_what_happened_is_a_clause_that_other_texts_can_contain() -> None:
    wrong = {
        (module, what)
        for module, what in messages()["what"]
        if what.endswith((".", "!")) or (re.match("[A-Z][a-z]", what) and not what.startswith(NAMES))
    }
    assert wrong == set()


def test_what_is_kept_is_a_sentence() -> None:
    wrong = {
        (module, kept)
        for module, kept in messages()["kept"]
        if not kept.endswith((".", HOLE)) or not (kept[0].isupper() or kept.startswith((HOLE, "roar")))
    }
    assert wrong == set()


def test_the_next_step_is_a_command_or_an_instruction_without_a_full_stop() -> None:
    wrong = {
        (module, step)
        for module, step in messages()["next_step"]
        if step.endswith(".") or (re.match("[A-Z][a-z]", step) and not step.startswith(NAMES))
    }
    assert wrong == set()


def test_only_who_knows_what_can_be_resumed_says_so() -> None:
    """A problem with a proxy, say, also stops what keeps nothing: a `roar verify`, a publish that has no plan yet."""
    texts = (
        (path.as_posix(), node.value)
        for path, tree in product_modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    assert [found for found in texts if found[1].endswith("then resume")] == []


@pytest.mark.parametrize("kind", KINDS)
def test_messages_are_plain_english(kind: str) -> None:
    assert {(module, message) for module, message in messages()[kind] if PRIVATE.search(message)} == set()


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_short_meaning(reason: Reason) -> None:
    meaning = MEANINGS[reason].text
    assert not meaning.endswith(".")
    assert len(meaning) <= 100
    assert meaning.startswith(NAMES) or not re.match("[A-Z][a-z]", meaning)
    assert not PRIVATE.search(meaning)


def test_one_function_makes_sentences_of_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    error = LocalProblem("the disk is full", kept="Nothing was sent or kept.", next_step="free some space")
    assert report_error(error, as_json=False) == 1
    assert capsys.readouterr().err == "Error: The disk is full.\nNothing was sent or kept.\nNext: free some space\n"


def test_no_step_names_resuming_which_publishing_errors_adds_as_a_command() -> None:
    """So no alternative to resuming stands before that command."""
    assert {step for _module, step in messages()["next_step"] if re.search(r"(?<!-)\bresume\b", step)} == set()


@pytest.mark.parametrize(("typed", "first"), [(["--json", "nosuch"], "nosuch"), (["other"], "Nosuch"), ([], "Nosuch")])
def test_what_the_user_typed_is_repeated_as_it_is(
    capsys: pytest.CaptureFixture[str], typed: list[str], first: str
) -> None:
    report_error(LocalProblem("nosuch cannot be read"), as_json=False, typed=typed)
    assert capsys.readouterr().err == f"Error: {first} cannot be read.\n"


def test_the_arguments_of_a_command_line_are_what_was_typed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["verify", "--receipt", "nosuch"])
    assert capsys.readouterr().err.startswith("Error: nosuch cannot be read")
