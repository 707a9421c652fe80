"""The user's home folder, which may be missing: in a container with an arbitrary uid, or under a bare service."""

from pathlib import Path

from roar_publisher.state.errors import UsageProblem

NO_HOME = Path("/nonexistent")
"""The home of users without one, as Debian names it. It contains nothing to read."""


def home(instead: str | None = None) -> Path:
    """Return the home folder, for files that are written below it.

    instead: a setting that makes it unnecessary, like the `XDG_` variables. Raises UsageProblem if there is neither.
    """
    try:
        return Path.home()
    except RuntimeError:  # raised by pathlib
        if instead:
            return NO_HOME
        raise UsageProblem(
            "this user has no home folder: HOME is not set, and no passwd entry names one",
            next_step="set HOME to a folder of yours, or ROAR_STATE_DIR and the XDG_ variables to folders",
        ) from None


def home_to_read() -> Path:
    """Return the home folder, for files that may be missing; NO_HOME if there is none."""
    return home(instead=str(NO_HOME))
