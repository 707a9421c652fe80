"""Reasons why a publish is not running: a short stable code each, who must act, and what it means.

The journal stores the code with the state, and `roar journal show ID --why --json` prints it. Who must act decides what
the daemon does: it parks what the user must settle, and retries everything else.

Every code of an error in this program is here, including those that only end a command.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from roar_publisher.state.errors import ExitCode


class Turn(StrEnum):
    """Who has to act before the publish can continue."""

    ANONYMOUS_CALLER = "nobody"
    DAEMON = "daemon"
    NETWORK = "network"
    SERVER = "server"
    MACHINE = "machine"
    PERSON = "person"


class Reason(StrEnum):
    """The reason of a publish. The value is the code."""

    # no obstacle
    QUEUED = "queued"
    RUNNING = "running"
    PUBLISHED = "published"
    OWNED = "owned"
    OWED = "owed"
    # stopped by the user or the system
    INTERRUPTED = "interrupted"
    CRASHED = "crashed"
    CANCELLED = "cancelled"
    EXPORTED = "exported"
    IMPORTED = "imported"
    # the network and the servers
    OFFLINE = "offline"
    NO_ANSWER = "no answer"
    THROTTLED = "throttled"
    SERVER_FAILING = "server failing"
    SERVER_FINALIZING = "server finalizing"
    SESSION_LOST = "session lost"
    NOT_GLAAS = "not glaas"
    FRONT = "front"
    NOT_S3 = "not s3"
    NOT_GCS = "not gcs"
    UPLOAD_VANISHED = "upload vanished"
    # this machine
    DISK_FULL = "disk full"
    DISK = "disk"
    TOO_MANY_FILES = "too many files"
    STATE_DIRECTORY = "state directory"
    JOURNAL = "journal"
    DATABASE = "database"
    BUSY = "busy"
    READ_ONLY = "read-only"
    DAEMON = "daemon"
    CLOCK = "clock"
    LOCAL = "local"
    # the user must act
    AUTH = "auth"
    CREDENTIAL = "credential"
    CERTIFICATE = "certificate"
    PROXY = "proxy"
    NO_BUCKET = "no bucket"
    SSH_KEY = "ssh key"
    NEEDS_CONFIRMATION = "needs confirmation"
    UNTRUSTED_REGISTRY = "untrusted registry"
    NO_SESSIONS = "no sessions"
    FILE_CHANGED = "file changed"
    UNREADABLE = "unreadable"
    NOT_A_FILE = "not a file"
    DESTINATION = "destination"
    REGION = "region"
    ACCESS_DENIED = "access denied"
    CONFIG = "config"
    CORRUPT = "corrupt"
    NO_DATABASE = "no database"
    SCHEMA = "schema"
    USAGE = "usage"
    NEWER_JOURNAL = "newer journal"
    DAMAGED_JOURNAL = "damaged journal"
    DEFECT = "defect"
    # final refusals
    REJECTED = "rejected"
    OVERLAP = "overlap"
    COUNTS_DIFFER = "counts differ"
    RECEIPT = "receipt"
    STORED_OBJECT_DIFFERS = "stored object differs"
    FAILED = "failed"
    NO_PLAN = "no plan"
    # codes that only end a command
    OUTPUT = "output"
    NO_PROJECT = "no project"
    NO_SESSION = "no session"
    NOTHING_TO_PUBLISH = "nothing to publish"
    INCOMPLETE_JOB = "incomplete job"
    INCOMPLETE_DATASET = "incomplete dataset"
    TOO_LARGE = "too large"
    PROJECT_PATH = "project path"
    NO_BLAKE3 = "no blake3"
    NO_COMMIT = "no commit"
    GIT = "git"
    FILE_NAME = "file name"
    REGISTRY = "registry"


@dataclass(frozen=True, slots=True)
class Meaning:
    """The meaning of a code. turn: who must act next. text: a short explanation.

    code: the exit code of `roar publish` for this reason if there is a publish. INTERRUPTED becomes FAILED if there is
    nothing to resume yet.
    """

    turn: Turn
    text: str
    code: ExitCode


def _resumable(turn: Turn, text: str) -> Meaning:
    return Meaning(turn, text, ExitCode.INTERRUPTED)


def _person(text: str, code: ExitCode = ExitCode.NEEDS_USER) -> Meaning:
    return Meaning(Turn.PERSON, text, code)


def _final(text: str) -> Meaning:
    return Meaning(Turn.PERSON, text, ExitCode.FAILED)


MEANINGS: Mapping[Reason, Meaning] = {
    Reason.QUEUED: _resumable(Turn.DAEMON, "left to the daemon, not begun yet"),
    Reason.RUNNING: _resumable(Turn.ANONYMOUS_CALLER, "on its way"),
    Reason.PUBLISHED: Meaning(Turn.ANONYMOUS_CALLER, "published", ExitCode.PUBLISHED),
    Reason.OWED: Meaning(Turn.DAEMON, "published, but something that follows is still owed", ExitCode.PUBLISHED),
    Reason.OWNED: Meaning(Turn.ANONYMOUS_CALLER, "another process works on it", ExitCode.OWNED),
    Reason.INTERRUPTED: Meaning(Turn.DAEMON, "asked to stop (Ctrl-C, SIGTERM)", ExitCode.CTRL_C),
    Reason.CRASHED: _resumable(Turn.DAEMON, "its process ended unexpectedly"),
    Reason.CANCELLED: Meaning(Turn.ANONYMOUS_CALLER, "cancelled by the user", ExitCode.USAGE),
    Reason.EXPORTED: _person("moved to another machine with `roar journal export`", ExitCode.INTERRUPTED),
    Reason.IMPORTED: _person("brought in with `roar journal import`; nothing is sent before you resume it"),
    Reason.OFFLINE: _resumable(Turn.NETWORK, "the registry or the object store cannot be reached"),
    Reason.NO_ANSWER: _resumable(Turn.SERVER, "the registry has a request and does not answer it"),
    Reason.THROTTLED: _resumable(Turn.SERVER, "the server asked to be left alone until a certain time"),
    Reason.SERVER_FAILING: _resumable(Turn.SERVER, "the server answers with failures"),
    Reason.SERVER_FINALIZING: _resumable(Turn.SERVER, "the registry is still closing the session"),
    Reason.SESSION_LOST: _resumable(Turn.SERVER, "the registry keeps losing the session"),
    Reason.NOT_GLAAS: _resumable(Turn.SERVER, "what answers is no GLaaS registry: a proxy, or a wrong address"),
    Reason.FRONT: _resumable(Turn.SERVER, "a proxy, a firewall or a sign-in page answers in the registry's place"),
    Reason.NOT_S3: _resumable(Turn.SERVER, "what answers is no S3-compatible store"),
    Reason.NOT_GCS: _resumable(Turn.SERVER, "what answers is not Google's object store"),
    Reason.UPLOAD_VANISHED: _resumable(Turn.SERVER, "the object store forgot an upload; it begins anew"),
    Reason.DISK_FULL: _resumable(Turn.MACHINE, "no room is left on a disk"),
    Reason.DISK: _resumable(Turn.MACHINE, "a file of this user cannot be read or written"),
    Reason.TOO_MANY_FILES: _resumable(Turn.MACHINE, "no more files may be opened (ulimit -n)"),
    Reason.STATE_DIRECTORY: _resumable(Turn.MACHINE, "the state folder cannot be used"),
    Reason.JOURNAL: _resumable(Turn.MACHINE, "the journal cannot be read or written"),
    Reason.DATABASE: _resumable(Turn.MACHINE, "roar.db cannot be worked with"),
    Reason.BUSY: _resumable(Turn.MACHINE, "another process holds roar.db"),
    Reason.READ_ONLY: _resumable(Turn.MACHINE, "roar.db cannot be read without writing beside it"),
    Reason.DAEMON: _resumable(Turn.MACHINE, "the daemon cannot be started, stopped or installed"),
    Reason.CLOCK: _resumable(Turn.MACHINE, "this machine's clock is off"),
    Reason.LOCAL: _resumable(Turn.MACHINE, "this machine stands in the way"),
    Reason.AUTH: _person("a sign-in is missing, has expired or is not accepted"),
    Reason.CREDENTIAL: _person("a credential of a store holds what no request can carry, such as a line break"),
    Reason.CERTIFICATE: _person("a server's certificate is not trusted, or the trusted ones cannot be read"),
    Reason.PROXY: _person("a proxy refuses, wants a sign-in, or its setting makes no sense"),
    Reason.NO_BUCKET: _person("the bucket of the destination does not exist"),
    Reason.SSH_KEY: _person("the SSH key cannot be used"),
    Reason.NEEDS_CONFIRMATION: _person("only a person may decide that this becomes public"),
    Reason.UNTRUSTED_REGISTRY: _person("its registry was named by a project or a bundle, and nobody has accepted it"),
    Reason.NO_SESSIONS: _person("the registry has no registration sessions, without which all would be public at once"),
    Reason.FILE_CHANGED: _person("a file is no longer what was planned", ExitCode.INTERRUPTED),
    Reason.UNREADABLE: _person("a file cannot be read", ExitCode.INTERRUPTED),
    Reason.NOT_A_FILE: _person("what was a file is none any more", ExitCode.INTERRUPTED),
    Reason.DESTINATION: _person("the folder that files go to cannot be used", ExitCode.INTERRUPTED),
    Reason.REGION: _person("the bucket is in another region, which it does not name"),
    Reason.ACCESS_DENIED: _person("these credentials may not write there"),
    Reason.CONFIG: _person("a config.toml cannot be read, or makes no sense", ExitCode.INTERRUPTED),
    Reason.CORRUPT: _person("roar.db is damaged", ExitCode.INTERRUPTED),
    Reason.NO_DATABASE: _person("there is no roar.db", ExitCode.INTERRUPTED),
    Reason.SCHEMA: _person("roar.db is not one that this release knows", ExitCode.INTERRUPTED),
    Reason.USAGE: _person("the command line, the environment or a profile makes no sense", ExitCode.USAGE),
    Reason.NEWER_JOURNAL: _person("a newer release journaled it", ExitCode.FAILED),
    Reason.DAMAGED_JOURNAL: _person("the journal is damaged: publish it again", ExitCode.FAILED),
    Reason.DEFECT: _person("a defect of this program", ExitCode.FAILED),
    Reason.REJECTED: _final("the server's final no"),
    Reason.OVERLAP: _final("some of its jobs belong to another published lineage"),
    Reason.COUNTS_DIFFER: _final("the registry counts other jobs or links than were sent"),
    Reason.RECEIPT: _final("the registry says that it published, but what it says does not match what was sent"),
    Reason.STORED_OBJECT_DIFFERS: _final("the object store holds something else than was sent"),
    Reason.FAILED: _final("it cannot be published"),
    Reason.NO_PLAN: _final("planning was never finished; nothing was sent"),
    Reason.OUTPUT: _final("stdout cannot be written"),
    Reason.NO_PROJECT: _final("this is no folder of a roar project"),
    Reason.NO_SESSION: _final("no roar session is active"),
    Reason.NOTHING_TO_PUBLISH: _final("the session has nothing to publish"),
    Reason.INCOMPLETE_JOB: _final("roar recorded a job without its uid or step"),
    Reason.INCOMPLETE_DATASET: _final("roar recorded neither every file of a dataset nor their index"),
    Reason.TOO_LARGE: _final("roar recorded a text that is larger or nested deeper than a registry takes"),
    Reason.PROJECT_PATH: _final("the path of the project is not UTF-8, which a journal and a registry need"),
    Reason.NO_BLAKE3: _final("the package blake3 is not installed"),
    Reason.NO_COMMIT: _final("the project has no commit that a put could name"),
    Reason.GIT: _final("git cannot read the project's repository"),
    Reason.FILE_NAME: _final("a file's name cannot be an object's key"),
    Reason.REGISTRY: _final("the registry's data cannot be used, or its address is taken"),
}


ELSEWHERE = frozenset({Reason.EXPORTED, Reason.IMPORTED})
"""Reasons of publishes that only their id selects: they were moved away, or the user has not accepted them here yet."""


def meaning(code: str) -> Meaning:
    """Return what a code means. An unknown code (of a newer release) needs the user."""
    try:
        return MEANINGS[Reason(code)]
    except ValueError:
        return _person(code, ExitCode.FAILED)
