"""The put of a checkpoint: which files it reads, and what it says of them."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from roar_publisher.auth.choice import Flag
from roar_publisher.checkpoints.order import order_of
from roar_publisher.checkpoints.record import HeldSource, Record
from roar_publisher.state.record import NamedBy

FILES = {"": (7, 1)}


@pytest.fixture
def record(tmp_path: Path) -> Record:
    """A checkpoint of a file in the project, and of one elsewhere."""
    return Record(
        name="step-00000001",
        step=1,
        created_at=1.0,
        metrics={},
        pinned=False,
        size=14,
        home=str(tmp_path / "home"),
        sources=(HeldSource("model.pt", FILES), HeldSource("/elsewhere/log.txt", FILES)),
        destination="s3://bucket/run/step-00000001",
        message="checkpoint, step 1",
        visibility="private",
        registry="https://registry.example",
        yes=False,
        project=str(tmp_path / "project"),
        commit="ab" * 20,
        keep=0,
    )


@pytest.mark.parametrize("yes", [False, True])
@pytest.mark.parametrize(
    ("visibility", "flag"), [("private", Flag.PRIVATE), ("public", Flag.PUBLIC), (None, Flag.NONE)]
)
def test_it_says_what_the_training_did(record: Record, visibility: str | None, flag: Flag, yes: bool) -> None:
    order = order_of(replace(record, visibility=visibility, yes=yes))
    assert (order.cwd, order.flag, order.yes) == (Path(record.project), flag, yes)
    assert (order.registry, order.named_by) == ("https://registry.example", NamedBy.OPTION)
    by_project = replace(record, named_by=NamedBy.PROJECT)
    assert order_of(by_project).named_by is NamedBy.PROJECT, "the user has to accept that one"
    assert Record.from_json(by_project.as_json()) == by_project
    assert order.detach, "the daemon carries it out"
    put = order.put
    assert put is not None
    assert (put.destination, put.message, put.commit) == (record.destination, record.message, record.commit)
    assert put.sources == ("model.pt", "/elsewhere/log.txt")
    assert put.tag is False, "a tag for each checkpoint would fill the repository"


@pytest.mark.parametrize("cloned", [False, True])
def test_it_reads_the_clone_only_if_the_record_says_so(record: Record, tmp_path: Path, cloned: bool) -> None:
    for name in ("held-0/model.pt", "clone-0/model.pt", "held-1/log.txt"):
        path = record.snapshot / name
        path.parent.mkdir(parents=True)
        path.touch()
    put = order_of(replace(record, cloned=cloned)).put
    assert put is not None
    read = {name: (snapshot.path, snapshot.files) for name, snapshot in put.snapshots.items()}
    assert read == {
        "model.pt": (record.snapshot / ("clone-0" if cloned else "held-0") / "model.pt", FILES),
        "/elsewhere/log.txt": (record.snapshot / "held-1" / "log.txt", FILES),
    }


def test_it_reads_the_file_itself_where_nothing_is_held(record: Record) -> None:
    put = order_of(record).put
    assert put is not None
    paths = [snapshot.path for snapshot in put.snapshots.values()]
    assert paths == [Path(record.project) / "model.pt", Path("/elsewhere/log.txt")]
