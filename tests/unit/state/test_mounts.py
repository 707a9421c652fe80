"""Which file systems keep a state folder safe, from mount tables as Linux writes them."""

import os
from pathlib import Path

import pytest

from roar_publisher.state import mounts
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.lock import Lock
from roar_publisher.state.mounts import mount_of

LOCAL = "30 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard"
NFS = "rw,vers=4.2,rsize=1048576,hard,proto=tcp,sec=sys,clientaddr=10.0.1.2,local_lock=none,addr=10.0.1.1"
CASES = [
    ("nfs4", NFS, ""),
    ("nfs", "rw,vers=3,mountaddr=10.0.1.1,mountproto=tcp,local_lock=none", ""),
    ("nfs", "rw,vers=3,nolock,local_lock=all", "nfs mounted with nolock"),
    ("nfs", "rw,vers=3,local_lock=flock", "nfs mounted with local_lock=flock"),
    ("nfs", "rw,vers=3,local_lock=posix", "nfs mounted with local_lock=posix"),
    ("lustre", "rw,flock,lazystatfs", ""),
    ("lustre", "rw,localflock,lazystatfs", "lustre mounted with localflock"),
    ("cifs", "rw,vers=3.1.1,soft", "whose locks keep others from reading"),
    ("fuse.sshfs", "rw,user_id=0,group_id=0", "whose locks do not reach other machines"),
    ("fuse.rclone", "rw,user_id=0,group_id=0", "whose locks do not reach other machines"),
    ("fuse.ossfs2", "rw,user_id=0,group_id=0", "whose locks do not reach other machines"),
    ("fuse mountpoint-s3", "rw,user_id=0,group_id=0", "whose locks do not reach other machines"),
    ("fuse hf-mount", "rw,user_id=0,group_id=0,default_permissions", "whose locks do not reach other machines"),
    ("fuse blobfuse2", "rw,user_id=0,group_id=0", "whose locks do not reach other machines"),
    ("fuse", "rw,user_id=0,group_id=0", ""),
    ("9p", "rw,trans=virtio", ""),
    ("overlay", "rw,lowerdir=/a,upperdir=/b,workdir=/c", ""),
    ("gpfs", "rw", ""),
]


def at(point: Path, kind: str, options: str = "rw") -> str:
    """Return a line of the table. kind: as for `mount -t`, and after a space the source, if that matters."""
    name = str(point).replace(" ", "\\040")
    kind, _, source = kind.partition(" ")
    return f"64 30 0:58 / {name} rw,relatime shared:34 master:2 - {kind} {source or 'server:/export'} {options}"


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that stands in for the system's table."""
    path = tmp_path / "mountinfo"
    monkeypatch.setattr(mounts, "MOUNT_TABLE", path)
    return path


@pytest.mark.parametrize(("kind", "options", "why"), CASES, ids=[f"{kind} {why[-20:]}" for kind, _, why in CASES])
def test_a_folder_is_refused_where_locks_do_not_protect(
    table: Path, tmp_path: Path, kind: str, options: str, why: str
) -> None:
    shared = tmp_path / "a home"
    shared.mkdir()
    table.write_text(f"{LOCAL}\n{at(shared, kind, options)}\n")
    lock = Lock(shared / "lock")
    if not why:
        with lock:
            return
    with pytest.raises(LocalProblem) as refused, lock:
        pass
    assert why in refused.value.what
    assert "two processes could then work on the same publish" in refused.value.what
    assert "ROAR_STATE_DIR" in refused.value.next_step
    assert not (shared / "lock").exists()


@pytest.mark.parametrize(("kind", "times"), [("nfs4", 1), ("ext4", 0)])
def test_other_machines_see_at_once_who_has_the_lock(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, times: int
) -> None:
    """A client of NFS keeps what is written until the file is closed: the lock would seem to be free until then."""
    table.write_text(f"{LOCAL}\n{at(tmp_path, kind)}\n")
    written: list[bytes] = []
    monkeypatch.setattr("roar_publisher.state.lock.os.fsync", lambda handle: written.append(os.pread(handle, 20, 0)))
    with Lock(tmp_path / "lock"):
        assert [int(text) for text in written] == [os.getpid()] * times


def test_the_mount_is_the_nearest_and_of_those_the_last(table: Path, tmp_path: Path) -> None:
    outer, inner = tmp_path / "a", tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    odd = Path(os.fsdecode(b"/not \xff utf-8"))
    lines = [
        LOCAL,
        at(odd, "ext4"),
        at(inner, "autofs"),
        at(inner, "nfs4", NFS),
        at(outer, "fuse.sshfs"),
        at(tmp_path / "a/bc", "cifs"),
    ]
    table.write_bytes(os.fsencode("\n".join([*lines, "", "not a mount"])))
    link = tmp_path / "link"
    link.symlink_to(inner)
    found = [mount_of(path) for path in (inner, inner / "not yet" / "there", link, tmp_path / "a/b c", tmp_path)]
    assert [mount and mount.kind for mount in found] == ["nfs4", "nfs4", "nfs4", "fuse.sshfs", "ext4"]
    assert [mount and mount.shared for mount in found] == [True, True, True, True, False]


def test_a_system_without_a_mount_table_is_trusted(table: Path, tmp_path: Path) -> None:
    assert mount_of(tmp_path) is None
    with Lock(tmp_path / "lock"):
        pass


def test_the_table_of_this_system_can_be_read(tmp_path: Path) -> None:
    mount = mount_of(tmp_path)
    assert mount is not None
    assert tmp_path.is_relative_to(mount.point)
