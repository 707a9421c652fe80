"""What is checked before a training begins, and what every record of a series says."""

import sys
from pathlib import Path

import pytest

from roar_publisher.checkpoints.series import WAITING
from roar_publisher.state.errors import LocalProblem, UsageProblem
from tests.support.checkpoints import Make


def test_mistakes_are_errors_before_the_training_begins(make: Make, captured: Path, tmp_path: Path) -> None:
    for options in ({"every": 0}, {"keep": -1}, {"mode": "best"}, {"message": " "}, {"visibility": "secret"}):
        with pytest.raises(UsageProblem):
            make(**options)
    with pytest.raises(UsageProblem, match="destination"):
        make("ftp://somewhere/run")
    with pytest.raises(LocalProblem, match="no roar project"):
        make(project=tmp_path)
    (captured / "untracked.py").write_text("")
    try:
        with pytest.raises(UsageProblem, match="uncommitted changes"):
            make()
    finally:
        (captured / "untracked.py").unlink()


def test_a_record_says_what_a_put_has_to_know(make: Make, captured: Path, model: Path, tmp_path: Path) -> None:
    inside = captured / "outputs" / "model.pt"
    inside.parent.mkdir(exist_ok=True)
    inside.write_bytes(b"weights")
    options = {"message": "baseline", "visibility": None, "yes": True, "keep": 2, "registry": "https://x.example"}
    try:
        make(**options).submit([inside, model], step=3, pin=True)
    finally:
        inside.unlink()
    make().submit(model, step=4, pin=True)
    record, other = make()._series.records(WAITING)
    assert (other.yes, other.keep, other.visibility) == (False, 0, "public")
    assert (record.message, record.visibility, record.yes, record.keep) == ("baseline, step 3", None, True, 2)
    assert record.registry == "https://x.example"
    assert [source.typed for source in record.sources] == ["outputs/model.pt", str(model)]
    assert record.destination == str(tmp_path / "store" / "step-00000003")


@pytest.mark.parametrize(
    ("destination", "found"),
    [("store", "{project}/store"), ("~/store/", "{home}/store"), ("{home}/a/../b/", "{home}/b")],
)
def test_a_destination_does_not_depend_on_the_current_folder(
    make: Make, captured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, destination: str, found: str
) -> None:
    monkeypatch.chdir(tmp_path)
    publisher = make(destination.format(home=tmp_path), project=captured)
    assert publisher._settings.destination == found.format(project=captured, home=tmp_path)


def test_a_store_with_and_without_a_last_slash_is_one_series(make: Make) -> None:
    assert make("s3://bucket/run/")._series.folder == make("s3://bucket/run")._series.folder


def test_a_store_without_its_extra_is_refused_before_the_training(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "botocore", None)
    with pytest.raises(UsageProblem, match="s3"):
        make("s3://bucket/run")
