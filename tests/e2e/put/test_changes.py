"""A file that changes during a put, at any time and in any way, is noticed before anything is published.

The moment is the arrival of a body at the store, where the proxy holds the put up for as long as the change takes.
Both the moment and the place in the file come from a seed.
"""

import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import pytest

from roar_publisher.exit_codes import ExitCode
from tests.e2e.put.conftest import MakePlace
from tests.support.put.destinations import KINDS
from tests.support.put.place import Place
from tests.support.put.project import git
from tests.support.sampling import sample
from tests.support.storage.proxy import Fault, Seen

SEEDS = range(3)
BODIES = 6
"""The change happens during one of the first bodies, of which a put sends a few more."""


@dataclass(frozen=True)
class Change:
    """A change of a file, and its restoration: name, content, inode and times."""

    make: Callable[[Path, random.Random], None]
    undo: Callable[[Path, bytes, os.stat_result], None]


def write_at(path: Path, offset: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def append(path: Path, rng: random.Random) -> None:
    with path.open("ab") as file:
        file.write(rng.randbytes(rng.randrange(1, 1000)))


def truncate(path: Path, rng: random.Random) -> None:
    os.truncate(path, rng.randrange(path.stat().st_size))


def rewrite(path: Path, rng: random.Random) -> None:
    """Change one byte; size, inode and modification time stay."""
    before = path.stat()
    offset = rng.randrange(before.st_size)
    with path.open("rb") as file:
        file.seek(offset)
        byte = file.read(1)
    write_at(path, offset, bytes([byte[0] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace(path: Path, rng: random.Random) -> None:
    """Replace the file by another one of the same size and time."""
    before = path.stat()
    os.link(path, aside(path))
    other = path.with_name("other")
    other.write_bytes(rng.randbytes(before.st_size))
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)


def rename(path: Path, rng: random.Random) -> None:
    path.rename(aside(path))


def in_place(path: Path, content: bytes, before: os.stat_result) -> None:
    with path.open("r+b") as file:
        file.write(content)
        file.truncate()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def from_aside(path: Path, content: bytes, before: os.stat_result) -> None:
    aside(path).replace(path)


def aside(path: Path) -> Path:
    return path.parents[1] / "aside"


CHANGES = {
    "append": Change(append, in_place),
    "truncate": Change(truncate, in_place),
    "rewrite": Change(rewrite, in_place),
    "replace": Change(replace, from_aside),
    "rename": Change(rename, from_aside),
}
DURING = sample(
    "changes during a put",
    [(kind, name, seed) for kind in ("s3", "gs") for name in CHANGES for seed in SEEDS],
    0,
    lambda case: case[:2],
    lambda case: case[0::2],
)
"""(store, change, seed): each change at each store, and each seed at each store."""


@pytest.mark.parametrize(("kind", "name", "seed"), DURING)
def test_a_change_during_a_put_stops_it_before_anything_is_published(
    kind: str, name: str, seed: int, make_place: MakePlace
) -> None:
    rng = random.Random(f"{kind} {name} {seed}")
    change, key = CHANGES[name], rng.choice(["large-0.bin", "deeper/small-1.bin", "copy.bin"])
    place = make_place(kind)
    path = place.project / "outputs" / key
    before = path.stat()
    number = rng.randrange(1, BODIES + 1)
    happened = meanwhile(place, number, lambda: change.make(path, rng))

    one_by_one = ("--jobs", "1") if seed == 0 else ()

    answer = place.put(*one_by_one)

    assert happened
    assert answer.code == ExitCode.INTERRUPTED, answer.out + answer.err
    assert path.name in answer.err
    assert "--resume" in answer.err
    place.check_not_published()
    journal, seen = place.only_publish(), len(place.seen)
    # One by one, two bodies were answered before the third came, and at most one of them only began an upload.
    assert not one_by_one or number <= 2 or journal.stored or journal.parts, "the rest is kept"

    again = place.resume()
    assert again.code == ExitCode.INTERRUPTED, "it is as changed as before"
    place.check_not_published()

    change.undo(path, place.files[key], before)
    resumed = place.resume()
    assert resumed.code == 0, resumed.err
    assert place.check_published_once() == journal.provisional
    sent = place.destination.parts_sent(place.seen[seen:], journal.uploads)
    assert not set(sent) & journal.parts
    assert not {key for key, _ in sent} & journal.stored


@pytest.mark.parametrize("kind", ["s3", "gs"])
def test_a_change_before_a_resume_stops_the_resume(kind: str, make_place: MakePlace) -> None:
    place = make_place(kind)
    assert place.put(kill_at=("after commit of acknowledge_part", 2)).killed
    path = place.project / "outputs" / "large-0.bin"
    rewrite(path, random.Random(0))
    answer = place.resume()
    assert answer.code == ExitCode.INTERRUPTED, answer.err
    assert "large-0.bin has changed" in answer.err
    place.check_not_published()


@pytest.mark.parametrize("kind", ["s3", "gs"])
def test_a_touched_file_is_not_a_changed_file(kind: str, make_place: MakePlace) -> None:
    """Permissions and links change a file's change time; its content is read again and is unchanged."""
    place = make_place(kind)
    path = place.project / "outputs" / "large-0.bin"

    def touch() -> None:
        path.chmod(0o600)
        os.link(path, aside(path))

    happened = meanwhile(place, 2, touch)
    answer = place.put()
    assert happened
    assert answer.code == 0, answer.err
    place.check_published_once()


def copied_over(path: Path) -> None:
    """Replace the file by a copy with another inode and time, as `rsync` without `-t` does."""
    copy = path.with_name(".copy")
    shutil.copyfile(path, copy)
    copy.replace(path)


def checked_out(path: Path) -> None:
    """Let git remove the file and write it again, as when switching branches and back."""
    git(path.parent, "add", "--force", path.name)
    git(path.parent, "commit", "--quiet", "-m", "with the file")
    path.unlink()
    git(path.parent, "checkout", "--quiet", "--", path.name)


@pytest.mark.parametrize("restore", [copied_over, checked_out], ids=lambda restore: restore.__name__)
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_restored_before_a_resume_is_not_a_changed_file(
    kind: str, restore: Callable[[Path], None], make_place: MakePlace
) -> None:
    place = make_place(kind)
    assert place.put(kill_at=("after commit of acknowledge_part", 2)).killed
    path = place.project / "outputs" / "large-0.bin"
    before, journal, seen = path.stat(), place.only_publish(), len(place.seen)
    restore(path)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) != (before.st_ino, before.st_mtime_ns)
    answer = place.resume()
    assert answer.code == 0, answer.err
    assert place.check_published_once() == journal.provisional
    assert not set(place.destination.parts_sent(place.seen[seen:], journal.uploads)) & journal.parts


@pytest.mark.parametrize("number", sample("files restored", range(1, BODIES + 1), 3))
def test_a_file_restored_during_a_put_is_not_a_changed_file(number: int, make_place: MakePlace) -> None:
    place = make_place("s3")
    happened = meanwhile(place, number, lambda: copied_over(place.project / "outputs" / "large-0.bin"))
    answer = place.put()
    assert happened
    assert answer.code == 0, answer.err
    place.check_published_once()


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_with_one_changed_byte_stops_the_put(kind: str, make_place: MakePlace) -> None:
    for seed in SEEDS:
        place = make_place(kind)
        assert place.put(kill_at=("after commit of acknowledge_part", 2)).killed
        path = place.project / "outputs" / "large-0.bin"
        copied_over(path)
        rewrite(path, random.Random(seed))
        answer = place.resume()
        assert answer.code == ExitCode.INTERRUPTED, answer.err
        assert "large-0.bin has changed" in answer.err
        place.check_not_published()
        place.discard()


def test_a_changed_file_is_noticed_with_a_folder_store(make_place: MakePlace) -> None:
    """A folder has no proxy, so the put is killed, and the change happens between the digest and the first byte."""
    for name, change in CHANGES.items():
        place = make_place("file")
        assert place.put(kill_at=("after commit of freeze", 1)).killed
        path = place.project / "outputs" / "large-0.bin"
        before = path.stat()
        change.make(path, random.Random(name))
        answer = place.resume()
        assert answer.code == ExitCode.INTERRUPTED, answer.err
        assert "large-0.bin" in answer.err
        place.check_not_published()
        change.undo(path, place.files["large-0.bin"], before)
        assert place.resume().code == 0
        place.check_published_once()
        assert place.destination.uploads() == set()


def meanwhile(place: Place, number: int, act: Callable[[], None]) -> list[str]:
    """Run `act` when body `number` arrives, before it is passed on; the returned list is filled then."""
    happened: list[str] = []
    arrived, lock = 0, Lock()

    def plan(seen: Seen) -> Fault | None:
        nonlocal arrived
        with lock:
            arrived += seen.body_bytes > 0
            if arrived == number and not happened:
                act()
                happened.append(seen.path)
        return None

    place.destination.weather(plan)
    return happened
