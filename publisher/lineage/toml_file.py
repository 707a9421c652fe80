"""Read configuration files that may have come with a clone: only regular files of limited size and depth.

A project's files are untrusted. A name may lead to a FIFO or to `/dev/zero`, a file may hold a gigabyte, and a few
kilobytes of TOML may nest so deep, or chain so many keys, that parsing would not end.
"""

import re
import tomllib
from pathlib import Path

from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.reasons import Reason
from roar_publisher.state.safe_open import read_bounded
from roar_publisher.state.system_errors import exhausted

CONFIG_LIMIT = 1024 * 1024
"""The most bytes of a configuration file."""
KEY_DEPTH_LIMIT = 32
"""The most parts of a dotted key or of a table's name; tomllib takes quadratic time over them."""

_PART = r"(?:[A-Za-z0-9_-]++|\"[^\"\n]*+\"|'[^'\n]*+')"
_DEEP_KEY = re.compile(
    rf"(?:^|[{{,\[])[ \t]*+\[{{0,2}}[ \t]*+{_PART}(?:[ \t]*+\.[ \t]*+{_PART}){{{KEY_DEPTH_LIMIT},}}+", re.MULTILINE
)


def read_toml(path: Path) -> dict[str, object] | None:
    """Return the file's table, or None if there is no such file. A byte order mark is skipped.

    Raises LocalProblem if the file is not a regular file, too large, nested too deep, unreadable or not valid TOML.
    """
    data = _bytes(path)
    if data is None:
        return None
    try:
        text = data.decode("utf-8-sig")
        if _DEEP_KEY.search(text):
            raise _unreadable(path, f"a key of more than {KEY_DEPTH_LIMIT} parts")
        return tomllib.loads(text)
    except RecursionError:
        raise _unreadable(path, "it is nested too deep") from None
    except (ValueError, OverflowError) as error:
        raise LocalProblem(
            f"{path} cannot be read as TOML: {error}", next_step=f"correct {path} and try again", reason=Reason.CONFIG
        ) from error


def _bytes(path: Path) -> bytes | None:
    try:
        return read_bounded(path, CONFIG_LIMIT)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise exhausted(error) or _unreadable(path, error.strerror or str(error)) from error


def _unreadable(path: Path, why: str) -> LocalProblem:
    return LocalProblem(
        f"{path} cannot be read: {why}",
        kept="Nothing was sent.",
        next_step=f"check {path}, and try again",
        reason=Reason.CONFIG,
    )
