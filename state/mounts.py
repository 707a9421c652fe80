"""Whether locks on a folder reach the other machines that may use it, as the mount table of Linux tells.

Two processes must never own one publish, and SQLite needs the same locks. File systems that machines share have them,
except those named here: on some, each machine has locks of its own (with two mounts of one folder by sshfs or rclone,
both got the lock), on others a lock keeps everyone from reading. What is not named is accepted.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

MOUNT_TABLE = Path("/proc/self/mountinfo")
LOCAL_LOCKS = frozenset(
    "afs davfs fuse.blobfuse fuse.blobfuse2 fuse.bosfs fuse.cosfs fuse.curlftpfs fuse.gcsfuse fuse.geesefs fuse.goofys"
    " fuse.hf-mount fuse.mount-s3 fuse.mountpoint-s3 fuse.obsfs fuse.ossfs fuse.ossfs2 fuse.rclone fuse.s3fs"
    " fuse.sshfs".split()
)
"""Kinds whose locks are this machine's alone, whatever their options."""
MANDATORY_LOCKS = frozenset({"cifs", "smb3"})
"""Kinds whose locks keep others from reading, or, with `nobrl`, are this machine's alone."""
CLUSTER_LOCKS = frozenset("beegfs ceph fuse.ceph fuse.ceph-fuse fuse.glusterfs gpfs lustre nfs nfs4".split())
"""Kinds whose locks reach all machines, unless an option says otherwise. BeeGFS keeps its option elsewhere."""
_OF_NFS = re.compile(r"nolock|local_lock=(?!none).*")
LOCAL_OPTIONS = {"nfs": _OF_NFS, "nfs4": _OF_NFS, "lustre": re.compile("localflock")}
"""Options by kind that make locks this machine's alone."""


class Mount(Struct, frozen=True):
    """A mounted file system. kind: as for `mount -t`. options: those of the mount and of the file system."""

    point: str
    kind: str
    options: tuple[str, ...]

    @property
    def shared(self) -> bool:
        """Whether other machines may use it at the same time."""
        return self.kind in LOCAL_LOCKS | MANDATORY_LOCKS | CLUSTER_LOCKS

    @property
    def flaw(self) -> str:
        """Why its locks do not protect, to follow "it is on …"; empty if they do."""
        if self.kind in MANDATORY_LOCKS:
            return f"{self.kind}, whose locks keep others from reading"
        if self.kind in LOCAL_LOCKS:
            return f"{self.kind}, whose locks do not reach other machines"
        local = LOCAL_OPTIONS.get(self.kind)
        found = next((option for option in self.options if local and local.fullmatch(option)), None)
        return f"{self.kind} mounted with {found}, so its locks do not reach other machines" if found else ""


def mount_of(path: Path) -> Mount | None:
    """Return what is mounted where `path` is, or would be; None if the system does not tell (it is not Linux)."""
    try:
        table = MOUNT_TABLE.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return None
    place = os.path.join(os.path.realpath(path), "")
    found = None
    for mount in _mounts(table):
        # Of two mounts on one folder, the later one is seen.
        if place.startswith(os.path.join(mount.point, "")) and (found is None or len(mount.point) >= len(found.point)):
            found = mount
    return found


def _mounts(table: str) -> Iterator[Mount]:
    """Yield the mounts of a table. Its format is in proc(5): fields, optional ones, a hyphen, and three more."""
    for line in table.splitlines():
        before, _, after = line.partition(" - ")
        first, last = before.split(" "), after.split(" ")
        if len(first) > 5 and len(last) > 2:
            # Mountpoint for S3, blobfuse2 and hf-mount have no kind of their own; their source is their name.
            named = f"{last[0]}.{last[1]}"
            kind = named if named in LOCAL_LOCKS else last[0]
            yield Mount(_unescaped(first[4]), kind, (*first[5].split(","), *last[2].split(",")))


def _unescaped(point: str) -> str:
    r"""Return a mount point without its escapes: a space is written as `\040`."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), point)
