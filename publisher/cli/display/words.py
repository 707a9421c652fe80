"""The names of the states, events and delays of a publish on a terminal."""

from collections.abc import Mapping

from roar_publisher.state.machine import Event, State
from roar_publisher.state.reasons import Reason

PHASES = {
    State.PROBE: "Asking the registry",
    State.AUTH_SELECT: "Choosing a credential",
    State.OPEN: "Opening a session",
    State.STAGE: "Sending lineage",
    State.FINALIZE: "Publishing",
    State.FALLBACK: "Sending lineage",
    State.VERIFY: "Verifying",
}
"""What happens in each live state."""
PREPARING = "Reading the lineage"
READING = "Reading files"
STORING = "Storing files"

EVENT_MESSAGES = {
    Event.NO_STAGING: "the registry cannot stage this publish: what is sent is visible at once",
    Event.ALREADY_PUBLISHED: "the registry already has this lineage",
    Event.SESSION_LOST: "the registry lost the session: everything is sent again in a new one",
    Event.COUNTS_DIFFER: "the counts of the registry differ: everything is sent once more",
    Event.CREDENTIAL_REJECTED: "the credential was rejected: choosing again",
}
"""Messages for the events that are not ordinary progress."""

STOPPING = "Stopping as soon as the active requests have finished"

DELAYS: dict[str, str] = {
    Reason.OFFLINE: "the registry cannot be reached",
    Reason.NO_ANSWER: "no answer yet",
    Reason.THROTTLED: "the registry asks to wait",
    Reason.INTERMEDIARY: "an intermediary answers in place of the registry",
    Reason.SERVER_FAILING: "the server answers with errors",
    Reason.SERVER_FINALIZING: "the registry is still closing the session",
    Reason.DISK_FULL: "the disk is full",
}
"""Messages for the reasons of report.Waiting. A retry has its own text."""
STORE_DELAYS: Mapping[str, str] = DELAYS | {
    Reason.OFFLINE: "the object store cannot be reached",
    Reason.THROTTLED: "the object store asks to wait",
}
"""The same while files are being stored."""


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
