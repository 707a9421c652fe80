"""Reasons why a publish is not running: a short stable code each.

The journal stores the code with the state, and `roar journal show ID --why --json` prints it. Every code of an error in
this program is here, including those that only end a command. `state.meanings` says what each means.
"""

from enum import StrEnum


class Reason(StrEnum):
    """The reason of a publish. The value is the code."""

    # no obstacle
    QUEUED = "queued"
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
    INTERMEDIARY = "intermediary"
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
    ADDRESSING = "addressing"
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
    DIFFERS = "differs"
    STORED_OBJECT_DIFFERS = "stored object differs"
    FAILED = "failed"
    NO_PLAN = "no plan"
    # codes that only end a command
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


def reason_of(code: str, *, otherwise: Reason) -> Reason:
    """Return the reason with a stored code; `otherwise` for a code that only a newer release knows."""
    return Reason(code) if code in _CODES else otherwise


_CODES = frozenset(Reason)
