"""Files that lead out of the project are published only if the user asks for it."""

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from roar_publisher.planning.put import prepare
from roar_publisher.planning.put.prepare import digest_sources
from roar_publisher.planning.put.request import Digested, Source
from roar_publisher.planning.put.sources import resolve_sources
from roar_publisher.state.errors import LocalProblem, UsageProblem
from tests.support.put.projects import request
from tests.unit.planning.put.test_sources import keys, notes, refusal, root

__all__ = ["root"]


def secret(root: Path) -> Path:
    """Make a folder of this user outside of the project, with a file that no project should send."""
    folder = root.parent / "home"
    folder.mkdir(exist_ok=True)
    (folder / "id_secret").write_text("secret")
    return folder


def a_link_to_a_file(root: Path) -> str:
    (root / "out").mkdir()
    (root / "out" / "weights.bin").symlink_to(secret(root) / "id_secret")
    return "out"


def a_link_in_a_deeper_folder(root: Path) -> str:
    (root / "out" / "deep").mkdir(parents=True)
    (root / "out" / "deep" / "weights.bin").symlink_to("../../../home/id_secret")
    secret(root)
    return "out"


def a_link_over_a_link(root: Path) -> str:
    (root / "first").symlink_to(secret(root))
    (root / "out").mkdir()
    (root / "out" / "weights.bin").symlink_to("../first/id_secret")
    return "out"


def a_linked_folder(root: Path) -> str:
    (root / "out").symlink_to(secret(root))
    return "out"


def a_linked_folder_on_the_way(root: Path) -> str:
    (root / "out").symlink_to(secret(root))
    return "out/id_secret"


def a_link_that_is_typed(root: Path) -> str:
    (root / "weights.bin").symlink_to(secret(root) / "id_secret")
    return "weights.bin"


def a_path_in_roar_db(root: Path) -> str:
    outputs(root, secret(root) / "id_secret")
    return "@2"


def a_linked_output(root: Path) -> str:
    (root / "model.bin").unlink()
    (root / "model.bin").symlink_to(secret(root) / "id_secret")
    return "@2"


def outputs(root: Path, path: Path) -> None:
    with closing(sqlite3.connect(root / ".roar" / "roar.db")) as roar, roar:
        roar.execute(
            "UPDATE job_outputs SET path = ? WHERE job_id = (SELECT id FROM jobs WHERE step_number = 2)", [str(path)]
        )


OUTSIDE = [
    a_link_to_a_file,
    a_link_in_a_deeper_folder,
    a_link_over_a_link,
    a_linked_folder,
    a_linked_folder_on_the_way,
    a_link_that_is_typed,
    a_path_in_roar_db,
    a_linked_output,
]


@pytest.mark.parametrize("way", OUTSIDE)
def test_a_path_that_leads_out_of_the_project_is_refused_without_follow_links(
    root: Path, way: Callable[[Path], str]
) -> None:
    typed = way(root)
    error = refusal(root, typed)
    assert str(secret(root)) in error, "the place that it leads to"
    assert "--follow-links" in error
    followed = resolve_sources(request(root, typed, follow_links=True))
    assert [source.path.resolve() for source in followed] == [secret(root) / "id_secret"]


def test_a_session_output_that_leads_out_of_the_project_is_refused(root: Path) -> None:
    a_path_in_roar_db(root)
    error = refusal(root)
    assert error.count("id_secret") == 1, "it is no link, so it is named once"


def test_a_path_outside_that_is_typed_itself_is_accepted(root: Path) -> None:
    folder = secret(root)
    for typed in (str(folder / "id_secret"), str(folder), "../home", "../home/id_secret"):
        assert keys(root, typed) == ["id_secret"]


def test_a_typed_folder_outside_does_not_admit_links_to_a_third_folder(root: Path) -> None:
    (root.parent / "data").mkdir()
    (root.parent / "data" / "f").symlink_to(secret(root) / "id_secret")
    assert "id_secret" in refusal(root, "../data")


def test_a_project_below_a_linked_home_is_accepted_under_both_paths(root: Path) -> None:
    """`~/project/out` is a path of the project even if `~` is a link, so a link in it was not typed itself."""
    linked = root.parent / "linked"
    linked.symlink_to(root.parent)
    (root / "out").symlink_to(secret(root))
    for typed in ("out", "out/id_secret"):
        assert str(secret(root)) in refusal(root, str(linked / root.name / typed))
    (root / "mine").mkdir()
    (root / "mine" / "f").touch()
    assert keys(root, str(linked / root.name / "mine")) == ["f"]
    assert keys(linked / root.name, str(root / "mine")) == ["f"]
    assert "home" in refusal(linked / root.name, str(root / "out"))
    assert keys(root, str(linked / "home")) == ["id_secret"]


@pytest.mark.parametrize("path", ["../home/id_secret", "file://{}/id_secret", "{}/../home/id_secret", "{}/id_secret"])
def test_no_spelling_of_a_path_in_roar_db_leads_out_of_the_project(
    root: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.chdir(root)
    folder = secret(root)
    with closing(sqlite3.connect(root / ".roar" / "roar.db")) as roar, roar:
        roar.execute(
            "UPDATE job_outputs SET path = ? WHERE job_id = (SELECT id FROM jobs WHERE step_number = 2)",
            [path.format(folder)],
        )
    for typed in ((), ("@2",)):
        assert re.search("published only if you ask|no longer exist", refusal(root, *typed))


def replaced_file(root: Path) -> None:
    (root / "out" / "f").unlink()
    (root / "out" / "f").symlink_to(secret(root) / "id_secret")


def replaced_folder(root: Path) -> None:
    (root / "out").rename(root / "away")
    (root / "out").symlink_to(secret(root))


def back_again(root: Path) -> None:
    """Restore the file or folder after it was read."""
    if (root / "out").is_symlink():
        (root / "out").unlink()
        (root / "away").rename(root / "out")
    else:
        (root / "out" / "f").unlink()
        (root / "out" / "f").write_text("xx")


@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("replace", [replaced_file, replaced_folder])
def test_a_file_replaced_by_a_link_between_check_and_read_is_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch, replace: Callable[[Path], None], back: bool
) -> None:
    (root / "out").mkdir()
    (root / "out" / "f").write_text("xx")
    (secret(root) / "f").write_text("yy")

    def replace_after(*arguments: Any) -> tuple[Source, ...]:
        sources = resolve_sources(*arguments)
        replace(root)
        return sources

    async def back_after(*arguments: Any, **more: Any) -> tuple[Digested, ...]:
        read = await digest_sources(*arguments, **more)
        if back:
            back_again(root)
        return read

    monkeypatch.setattr(prepare, "resolve_sources", replace_after)
    monkeypatch.setattr(prepare, "digest_sources", back_after)
    with pytest.raises((UsageProblem, LocalProblem)) as caught:
        notes(root, "out")
    assert ("changed" if back else "published only if you ask") in caught.value.what


def test_links_inside_the_project_are_accepted(root: Path) -> None:
    (root / "out").mkdir()
    (root / "out" / "latest").symlink_to("../model.bin")
    (root / "alias").symlink_to("out")
    assert keys(root, "alias") == ["latest"]
