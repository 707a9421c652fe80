"""This user's home folder, also where there is none: in a container with an arbitrary uid, or under a bare service."""

from pathlib import Path

from roar_publisher.state.errors import UsageProblem

NOBODYS = Path("/nonexistent")
"""The home of users without one, as Debian names it: nothing is there to be read."""


def home(instead: str | None = None) -> Path:
    """The home folder, for what is written below it.

    instead: a setting that makes it unneeded, as the `XDG_` variables do.  Raises UsageProblem where there is neither.
    """
    try:
        return Path.home()
    except RuntimeError:  # pathlib's word for it
        if instead:
            return NOBODYS
        raise UsageProblem(
            "this user has no home folder: HOME is not set, and no passwd entry names one",
            next_step="set HOME to a folder of yours, or ROAR_STATE_DIR and the XDG_ variables to folders",
        ) from None


def home_to_read() -> Path:
    """The home folder, for what may be missing there; NOBODYS where there is none."""
    return home(instead=str(NOBODYS))
