"""The names of the states, events and delays of a publish on a terminal."""

from collections.abc import Mapping

from roar_publisher.state.machine import Event, State
from roar_publisher.state.reasons import Reason
from roar_publisher.state.record import Plan

PHASES = {
    State.PROBE: "Asking the registry",
    State.AUTH_SELECT: "Choosing a credential",
    State.OPEN: "Opening a session",
    State.STAGE: "Sending lineage",
    State.FINALIZE: "Publishing",
    State.FALLBACK: "Sending lineage",
}
"""What happens in each live state."""
PREPARING = "Reading the lineage"
READING = "Reading files"
STORING = "Storing files"

EVENT_MESSAGES = {
    Event.NO_STAGING: "the registry cannot stage this publish: what is sent is visible at once",
    Event.ALREADY_PUBLISHED: "the registry has this lineage already",
    Event.SESSION_LOST: "the registry lost the session: everything is sent again in a new one",
    Event.COUNTS_DIFFER: "the counts of the registry differ: everything is sent once more",
    Event.CREDENTIAL_REJECTED: "the credential was rejected: choosing again",
}
"""Messages for the events that are not ordinary progress."""

STOPPING = "Stopping: active requests are finished first"

DELAYS: dict[str, str] = {
    Reason.OFFLINE: "the registry cannot be reached",
    Reason.NO_ANSWER: "no answer yet",
    Reason.THROTTLED: "the registry asks to wait",
    Reason.INTERMEDIARY: "an intermediary answers in place of the registry",
    Reason.SERVER_FAILING: "the server fails",
    Reason.SERVER_FINALIZING: "the registry is still closing the session",
    Reason.DISK_FULL: "the disk is full",
}
"""Messages for the reasons of report.Waiting. A retry has its own text."""
STORE_DELAYS: Mapping[str, str] = DELAYS | {
    Reason.OFFLINE: "the object store cannot be reached",
    Reason.THROTTLED: "the object store asks to wait",
}
"""The same while files are being stored."""

REMEDIES: Mapping[str, str] = {
    Reason.AUTH: "sign in (roar login)",
    Reason.NO_SESSIONS: "have the registry upgraded, or cancel this and publish with --public",
    Reason.CREDENTIAL: "set the store's credential again, without line breaks and spaces",
    Reason.CERTIFICATE: "set SSL_CERT_FILE to the certificates of the server's authority",
    Reason.PROXY: "correct the proxy setting, or have the proxy allow the host",
    Reason.NO_BUCKET: "create the bucket",
    Reason.ACCESS_DENIED: "have the permission granted, or use other credentials",
    Reason.SSH_KEY: "make the key usable, or name another in ROAR_SSH_KEY",
    Reason.FILE_CHANGED: "put the file back as it was",
    Reason.UNREADABLE: "make the file readable",
    Reason.NOT_A_FILE: "put the file back as it was",
    Reason.DESTINATION: "make the folder usable",
    Reason.REGION: "name the bucket's region in AWS_REGION",
    Reason.USAGE: "fix the environment or the profile",
    Reason.CONFIG: "fix the configuration",
    Reason.DISK_FULL: "free some disk space",
    Reason.TOO_MANY_FILES: "raise the limit of open files (ulimit -n 1024)",
    Reason.CLOCK: "set this machine's clock",
    Reason.NEWER_JOURNAL: "pip install --upgrade roar-publisher",
}
"""What the user must do before a publish can continue, for the reasons that need it."""


def phase(state: State | None, *, files: bool) -> str | None:
    """Return what is happening in a live state, or before the first one (None). Return None once the publish has ended.

    files: whether the files of a put are being read or stored, not its lineage.
    """
    if state is None:
        return READING if files else PREPARING
    return STORING if files else PHASES.get(state)


def delay(reason: str, *, files: bool) -> str:
    """Return what is waited for. The reason of a retry is already a text. files: see `phase`."""
    return (STORE_DELAYS if files else DELAYS).get(reason, reason)


def watch_command(plan: Plan) -> str:
    """Return the command that shows the progress of a publish, whichever process works on it."""
    return f"roar publish --watch {plan.id}"
