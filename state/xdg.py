"""The folders of the XDG Base Directory Specification."""

import os
from collections.abc import Mapping
from pathlib import Path

from roar_publisher.state.home import home as own_home


def base_folder(environ: Mapping[str, str], variable: str, default: str, home: Path | None = None) -> Path:
    """Return the folder that `variable` names, else `default` below the home folder. A relative path is ignored.

    The specification: "All paths set in these environment variables must be absolute. If an implementation encounters a
    relative path in any of these variables it should consider the path invalid and ignore it."
    home: this user's by default. Raises UsageProblem if it is needed and there is none.
    """
    named = environ.get(variable, "")
    return Path(named) if os.path.isabs(named) else (home or own_home()) / default
