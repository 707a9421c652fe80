"""Where a repair may write: what a stranger's lineage names is written only where the user says so."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from roar_publisher.checking.permitted import PermittedPlaces, named_place
from roar_publisher.inspection.subjects import Subject
from roar_publisher.state.errors import UsageProblem
from roar_publisher.state.record import ALLOWED_FOLDERS, Plan
from roar_publisher.storage.source import Content

DIGEST = "ab" * 32
PUT = cast(Content, SimpleNamespace(size=1))
"""What the journal of a put knows of its file."""


def plan_with(**intent: object) -> Plan:
    return cast(Plan, SimpleNamespace(intent=intent))


@pytest.mark.parametrize(
    ("url", "place", "permitted"),
    [
        ("s3://bucket/run/x", "s3://bucket/run", True),
        ("s3://bucket/run/x", "s3://bucket/run/", True),
        ("s3://bucket/run/x", "s3://bucket", True),
        ("s3://bucket/run/x", "s3://bucket/run/x", True),
        ("s3://bucket/run2/x", "s3://bucket/run", False),
        ("s3://bucket/x", "s3://bucket/run", False),
        ("s3://other/run/x", "s3://bucket/run", False),
        ("gs://bucket/run/x", "s3://bucket/run", False),
        ("file:///data/run/x", "/data/run", True),
        ("file:///data/run/x", "file:///data", True),
        ("file:///data/run2/x", "/data/run", False),
        ("file:///data/x", "s3://bucket", False),
        ("s3://bucket/x", "/", False),
        ("file:///data/run/.git/hooks/post-commit", "/data/run", False),
        ("file:///data/run/.ROAR/config.toml", "/data/run", False),
    ],
)
def test_a_place_that_the_user_names_holds_what_is_below_it(url: str, place: str, permitted: bool) -> None:
    subject = Subject(url, DIGEST)
    assert "--allow" in PermittedPlaces().why_not(subject) or "configuration" in PermittedPlaces().why_not(subject)
    assert (PermittedPlaces((named_place(place),)).why_not(subject) == "") is permitted


def test_a_link_below_a_named_folder_does_not_lead_out_of_it(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "home").mkdir()
    (tmp_path / "store" / "inner").symlink_to(tmp_path / "home")
    places = PermittedPlaces((named_place(str(tmp_path / "store")),))
    assert places.why_not(Subject((tmp_path / "store" / "x").as_uri(), DIGEST)) == ""
    assert places.why_not(Subject((tmp_path / "store" / "inner" / "x").as_uri(), DIGEST)) != ""


def test_a_named_folder_may_be_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert named_place("store").path == str(tmp_path / "store")
    assert named_place("~/store").path == str(tmp_path / "home" / "store")
    with pytest.raises(UsageProblem, match="destination"):
        named_place("ftp://host/x")


@pytest.mark.parametrize("proven", [True, False])
def test_what_was_put_here_is_written_and_a_lineage_that_differs_adds_nothing(proven: bool) -> None:
    places = PermittedPlaces.of((named_place("/data"),), plan_with(), proven=proven)
    assert places.why_not(Subject("file:///elsewhere/x", DIGEST, PUT)) == ""
    assert places.why_not(Subject("s3://bucket/x", DIGEST, PUT)) == ""
    added = places.why_not(Subject("file:///data/x", DIGEST))
    assert (added == "") is proven
    assert proven or "differs" in added


def test_an_imported_put_writes_in_its_folders_alone(tmp_path: Path) -> None:
    """A bundle's sender chose the addresses; a link may have been made in the project since."""
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "out").symlink_to(tmp_path)
    places = PermittedPlaces.of((), plan_with(**{ALLOWED_FOLDERS: [str(tmp_path / "project")]}), proven=True)
    assert places.why_not(Subject((tmp_path / "project" / "x").as_uri(), DIGEST, PUT)) == ""
    assert places.why_not(Subject((tmp_path / "project" / "out" / "x").as_uri(), DIGEST, PUT)) != ""
    assert places.why_not(Subject("s3://bucket/x", DIGEST, PUT)) == ""
