"""What each reason means, who must act, and how a command that meets it ends.

Who must act decides what the daemon does: it parks what needs the user, and retries everything else.
"""

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

from roar_publisher.state.errors import Conclusion
from roar_publisher.state.reasons import Reason


class Turn(StrEnum):
    """Who has to act before the publish can continue."""

    NONE = "nobody"
    DAEMON = "daemon"
    NETWORK = "network"
    SERVER = "server"
    MACHINE = "machine"
    USER = "person"


class Meaning(Struct, frozen=True):
    """The meaning of a code. turn: who must act next. text: a short explanation.

    conclusion: how `roar publish` ends with this reason if there is a publish. INTERRUPTED becomes FAILED if there is
    nothing to resume yet.
    """

    turn: Turn
    text: str
    conclusion: Conclusion


def _resumable(turn: Turn, text: str) -> Meaning:
    return Meaning(turn, text, Conclusion.INTERRUPTED)


def _needs_user(text: str, conclusion: Conclusion = Conclusion.NEEDS_USER) -> Meaning:
    return Meaning(Turn.USER, text, conclusion)


def _final(text: str) -> Meaning:
    return Meaning(Turn.USER, text, Conclusion.FAILED)


MEANINGS: Mapping[Reason, Meaning] = {
    Reason.QUEUED: _resumable(Turn.DAEMON, "left to the daemon, not started yet"),
    Reason.PUBLISHED: Meaning(Turn.NONE, "published", Conclusion.PUBLISHED),
    Reason.OWED: Meaning(Turn.DAEMON, "published, but follow-up work is not finished", Conclusion.PUBLISHED),
    Reason.OWNED: Meaning(Turn.NONE, "another process is working on it", Conclusion.OWNED),
    Reason.INTERRUPTED: Meaning(Turn.DAEMON, "stopped on request (Ctrl-C, SIGTERM)", Conclusion.STOPPED),
    Reason.CRASHED: _resumable(Turn.DAEMON, "its process ended unexpectedly"),
    Reason.CANCELLED: Meaning(Turn.NONE, "cancelled by the user", Conclusion.USAGE),
    Reason.EXPORTED: _needs_user("moved to another machine with `roar journal export`", Conclusion.INTERRUPTED),
    Reason.IMPORTED: _needs_user("imported with `roar journal import`; nothing is sent until you resume it"),
    Reason.OFFLINE: _resumable(Turn.NETWORK, "the registry or the object store cannot be reached"),
    Reason.NO_ANSWER: _resumable(Turn.SERVER, "the registry received a request but does not answer it"),
    Reason.THROTTLED: _resumable(Turn.SERVER, "the server asked roar to wait until a certain time"),
    Reason.SERVER_FAILING: _resumable(Turn.SERVER, "the server answers with errors"),
    Reason.SERVER_FINALIZING: _resumable(Turn.SERVER, "the registry is still closing the session"),
    Reason.SESSION_LOST: _resumable(Turn.SERVER, "the registry repeatedly loses the session"),
    Reason.NOT_GLAAS: _resumable(Turn.SERVER, "what answers is not a GLaaS registry: a proxy, or a wrong address"),
    Reason.INTERMEDIARY: _resumable(
        Turn.SERVER, "a proxy, a firewall or a sign-in page answers instead of the registry"
    ),
    Reason.NOT_S3: _resumable(Turn.SERVER, "what answers is not an S3-compatible store"),
    Reason.NOT_GCS: _resumable(Turn.SERVER, "what answers is not Google's object store"),
    Reason.UPLOAD_VANISHED: _resumable(Turn.SERVER, "the object store lost an upload; it is started again"),
    Reason.DISK_FULL: _resumable(Turn.MACHINE, "a disk is full"),
    Reason.DISK: _resumable(Turn.MACHINE, "a file of this user cannot be read or written"),
    Reason.TOO_MANY_FILES: _resumable(Turn.MACHINE, "too many files are open (ulimit -n)"),
    Reason.STATE_DIRECTORY: _resumable(Turn.MACHINE, "the state folder cannot be used"),
    Reason.JOURNAL: _resumable(Turn.MACHINE, "the journal cannot be read or written"),
    Reason.DATABASE: _resumable(Turn.MACHINE, "roar.db cannot be used"),
    Reason.BUSY: _resumable(Turn.MACHINE, "another process has locked roar.db"),
    Reason.READ_ONLY: _resumable(Turn.MACHINE, "roar.db cannot be read without writing next to it"),
    Reason.DAEMON: _resumable(Turn.MACHINE, "the daemon cannot be started, stopped or installed"),
    Reason.CLOCK: _resumable(Turn.MACHINE, "this machine's clock is wrong"),
    Reason.LOCAL: _resumable(Turn.MACHINE, "a problem on this machine prevents it"),
    Reason.AUTH: _needs_user("a sign-in is missing, has expired or is not accepted"),
    Reason.CREDENTIAL: _needs_user(
        "a credential of a store contains characters that a request cannot carry, such as a line break"
    ),
    Reason.CERTIFICATE: _needs_user("a server's certificate is not trusted, or the trusted ones cannot be read"),
    Reason.PROXY: _needs_user("a proxy refuses, requires a sign-in, or its setting is invalid"),
    Reason.NO_BUCKET: _needs_user("the bucket of the destination does not exist"),
    Reason.SSH_KEY: _needs_user("the SSH key cannot be used"),
    Reason.NEEDS_CONFIRMATION: _needs_user("it needs your confirmation"),
    Reason.UNTRUSTED_REGISTRY: _needs_user(
        "its registry was named by a project or a bundle, and you have not accepted it"
    ),
    Reason.NO_SESSIONS: _needs_user("without registration sessions, the registry would make everything public at once"),
    Reason.FILE_CHANGED: _needs_user("a file differs from what was planned", Conclusion.INTERRUPTED),
    Reason.UNREADABLE: _needs_user("a file cannot be read", Conclusion.INTERRUPTED),
    Reason.NOT_A_FILE: _needs_user("the path of a file no longer leads to a file", Conclusion.INTERRUPTED),
    Reason.DESTINATION: _needs_user("the destination folder cannot be used", Conclusion.INTERRUPTED),
    Reason.REGION: _needs_user("the bucket is in another region, which the store does not name"),
    Reason.ADDRESSING: _needs_user("the store accepts a bucket as part of its host name only, not in the path"),
    Reason.ACCESS_DENIED: _needs_user("the credentials do not allow writing there"),
    Reason.CONFIG: _needs_user("a config.toml cannot be read, or is invalid", Conclusion.INTERRUPTED),
    Reason.CORRUPT: _needs_user("roar.db is damaged", Conclusion.INTERRUPTED),
    Reason.NO_DATABASE: _needs_user("there is no roar.db", Conclusion.INTERRUPTED),
    Reason.SCHEMA: _needs_user("this release does not know the schema of roar.db", Conclusion.INTERRUPTED),
    Reason.USAGE: _needs_user("the command line, the environment or a profile is invalid", Conclusion.USAGE),
    Reason.NEWER_JOURNAL: _needs_user("a newer release wrote its journal", Conclusion.FAILED),
    Reason.DAMAGED_JOURNAL: _needs_user("the journal is damaged: publish it again", Conclusion.FAILED),
    Reason.DEFECT: _needs_user("a defect of this program", Conclusion.FAILED),
    Reason.REJECTED: _final("the server refused it, and would refuse it again"),
    Reason.OVERLAP: _final("some of its jobs belong to another published lineage"),
    Reason.COUNTS_DIFFER: _final("the registry's counts of jobs or links differ from what was sent"),
    Reason.RECEIPT: _final("the registry reports success, but its receipt does not match what was sent"),
    Reason.DIFFERS: _final("it is published, but what is served or stored differs from what was sent"),
    Reason.STORED_OBJECT_DIFFERS: _final("what the object store holds differs from what was sent"),
    Reason.FAILED: _final("it cannot be published"),
    Reason.NO_PLAN: _final("planning was never finished; nothing was sent"),
    Reason.NO_PROJECT: _final("this folder is not in a roar project"),
    Reason.NO_SESSION: _final("no roar session is active"),
    Reason.NOTHING_TO_PUBLISH: _final("the session has nothing to publish"),
    Reason.INCOMPLETE_JOB: _final("roar recorded a job without its uid or step"),
    Reason.INCOMPLETE_DATASET: _final("roar recorded neither every file of a dataset nor their index"),
    Reason.TOO_LARGE: _final("roar recorded a text that is too large or too deeply nested for a registry"),
    Reason.PROJECT_PATH: _final("the path of the project is not UTF-8, which a journal and a registry require"),
    Reason.NO_BLAKE3: _final("the package blake3 is not installed"),
    Reason.NO_COMMIT: _final("the project has no commit that a put could record"),
    Reason.GIT: _final("git cannot read the project's repository"),
    Reason.FILE_NAME: _final("a file's name cannot be an object's key"),
    Reason.REGISTRY: _final("the registry's data cannot be used, or its address is taken"),
}


ELSEWHERE = frozenset({Reason.EXPORTED, Reason.IMPORTED})
"""Reasons of publishes that only their id selects: they were moved away, or the user has not accepted them here yet."""
