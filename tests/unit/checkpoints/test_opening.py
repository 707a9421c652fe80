"""What is checked before a training begins, and what every record of a series says."""

import os
import sys
from pathlib import Path

import pytest

from roar_publisher.checkpoints.order import order_of
from roar_publisher.checkpoints.series import WAITING
from roar_publisher.lineage.config import DEFAULT_REGISTRY
from roar_publisher.publishing.request import read_request
from roar_publisher.state.errors import LocalProblem, UsageProblem
from roar_publisher.state.record import NamedBy
from tests.support.checkpoints import Make


def test_mistakes_are_errors_before_the_training_begins(make: Make, captured: Path, tmp_path: Path) -> None:
    for options in ({"every": 0}, {"keep": -1}, {"mode": "best"}, {"message": " "}, {"visibility": "secret"}):
        with pytest.raises(UsageProblem):
            make(**options)
    for registry in ("", "ftp://x.example", "http://x.example"):
        with pytest.raises(UsageProblem, match=r"registry|unencrypted"):
            make(registry=registry)
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
    assert (record.registry, record.named_by) == ("https://x.example", NamedBy.OPTION)
    assert [source.typed for source in record.sources] == ["outputs/model.pt", str(model)]
    assert record.destination == str(tmp_path / "store" / "step-00000003")


@pytest.mark.parametrize("named_by", [NamedBy.ENVIRONMENT, NamedBy.PROJECT, NamedBy.DEFAULT])
def test_the_registry_is_the_one_of_the_training_and_not_that_of_the_daemon(
    make: Make, captured: Path, model: Path, monkeypatch: pytest.MonkeyPatch, named_by: NamedBy
) -> None:
    """The daemon may have been started elsewhere, long before. Its consent is asked as for the training's own."""
    config = captured / ".roar" / "config.toml"
    before = config.read_text() if config.exists() else None
    monkeypatch.delenv("GLAAS_URL", raising=False)
    if named_by is NamedBy.ENVIRONMENT:
        monkeypatch.setenv("GLAAS_URL", "https://Team.example:443/")
    config.write_text('[glaas]\nurl = "https://team.example"\n' if named_by is NamedBy.PROJECT else "")
    try:
        make().submit(model, step=1)
        (record,) = make()._series.records(WAITING)
        monkeypatch.setenv("GLAAS_URL", "https://daemon.example")
        request = read_request(order_of(record), os.environ)
    finally:
        config.unlink(missing_ok=True)
        if before is not None:
            config.write_text(before)
    assert request.named_by is named_by
    assert request.registry == (DEFAULT_REGISTRY if named_by is NamedBy.DEFAULT else "https://team.example")


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
