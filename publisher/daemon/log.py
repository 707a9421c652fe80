"""The daemon's log: one line for each event, rotated, readable only by this user, without credentials.

    2026-03-01T03:00:12.345Z INFO 1f2e3d4c published https://…

Times are in UTC. `-` marks a line that is not about a publish. Log lines consist of texts of reports and errors,
which hold no credentials by contract; as a second defence they are redacted with the built-in patterns of
`protocol.md §8`. Neither a full disk nor an unwritable file stops the caller.
"""

import contextlib
import io
import logging
import os
import time
import traceback
from collections.abc import Callable, Iterator
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TextIO

from roar_publisher.state.safe_open import PRIVATE_MODE, open_own

MOST_BYTES = 1024 * 1024
"""The maximum size of one file."""
FILES = 3
"""The log and its two predecessors, `daemon.log.1` and `.2`."""
POLL_SECONDS = 0.25
"""How often a follower of the log checks for new lines."""
NAME = "roar_publisher.daemon"

Log = logging.Logger | logging.LoggerAdapter[logging.Logger]


def open_log(path: Path, *, echo: TextIO | None = None) -> logging.Logger:
    """Return the daemon's logger, writing to `path`. echo: a stream that also gets every line.

    The file is opened when the first line is written, so that a second daemon that exits without logging does not
    touch it. A repeated call closes the previous handlers.
    """
    log = logging.getLogger(NAME)
    log.setLevel(logging.INFO)
    log.propagate = False
    for old in tuple(log.handlers):
        log.removeHandler(old)
        old.close()
    handlers: list[logging.Handler] = [_File(path)]
    if echo is not None:
        handlers.append(_Echo(echo))
    for handler in handlers:
        handler.setFormatter(_Line())
        log.addHandler(handler)
    return log


def about(log: logging.Logger, publish_id: str) -> Log:
    """Return the same log, for lines about one publish."""
    return logging.LoggerAdapter(log, {"publish_id": publish_id})


class _Line(logging.Formatter):
    """Formats one printable line.

    Of an exception it shows the type and location, not the text, which may contain anything.
    """

    def __init__(self) -> None:
        super().__init__()
        from roar_publisher.lineage.redaction.redactor import Redactor
        from roar_publisher.lineage.redaction.settings import OmitConfig

        self._redact: Callable[[str], str] = Redactor(OmitConfig()).text

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        publish_id = getattr(record, "publish_id", "-")
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text = f"{text}: {_kind_and_place(record.exc_info[1])}"
        return f"{moment}.{int(record.msecs):03d}Z {record.levelname} {publish_id} {escaped(self._redact(text))}"


class _File(RotatingFileHandler):
    """The rotating file. The first line that cannot be written is reported on stderr; later ones are dropped."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, maxBytes=MOST_BYTES, backupCount=FILES - 1, encoding="utf-8", delay=True)
        self.errors = "backslashreplace"
        self._reported = False

    def _open(self) -> io.TextIOWrapper:
        descriptor = open_own(Path(self.baseFilename), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.fchmod(descriptor, PRIVATE_MODE)
        return open(descriptor, "a", encoding=self.encoding, errors=self.errors)

    def handleError(self, record: logging.LogRecord) -> None:
        if not self._reported:
            self._reported = True
            with contextlib.suppress(Exception):  # the line itself may be the cause
                _write_to_stderr(
                    f"{self.baseFilename} cannot be written; the daemon continues without it: {self.format(record)}"
                )

    def close(self) -> None:
        with contextlib.suppress(OSError):
            super().close()


class _Echo(logging.StreamHandler[TextIO]):
    """An additional stream, which may be closed."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Ignore the error, because the reader is gone."""


def _write_to_stderr(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        os.write(2, f"{text}\n".encode(errors="backslashreplace"))


def escaped(text: str) -> str:
    """Return the text with all unprintable characters, such as line ends and terminal controls, written as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _kind_and_place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__, limit=-1)
    place = f" in {frames[0].name} ({Path(frames[0].filename).name}:{frames[0].lineno})" if frames else ""
    return f"{type(error).__name__}{place}"


def last_lines(path: Path, number: int) -> list[str]:
    """Return up to `number` last lines of the log, including rotated files as far as needed.

    Raises OSError if a file cannot be read. A missing file counts as empty.
    """
    file = _open_log(path)
    try:
        return _with_older(path, file, number)
    finally:
        if file is not None:
            file.close()


def follow(path: Path, number: int, *, sleep: Callable[[float], None] = time.sleep) -> Iterator[str]:
    """Yield the last lines of the log, then each new line as it is written, across rotations. Never ends by itself.

    Waits for a log that does not exist yet. Raises OSError if it cannot be read.
    """
    file = _open_log(path)
    try:
        yield from _with_older(path, file, number)
        while True:
            rotated = file is None or not _has_name(file, path)  # checked first: a renamed file gets no more lines
            if file is not None:
                yield from _whole_lines(file)
            if rotated:
                if file is not None:
                    file.close()
                file = _open_log(path)
            if file is None or not rotated:
                sleep(POLL_SECONDS)
    finally:
        if file is not None:
            file.close()


def _with_older(path: Path, newest: io.BufferedReader | None, number: int) -> list[str]:
    """Return up to `number` last lines of the log, whose newest file is open and read to its end."""
    lines = list(_whole_lines(newest)) if newest is not None else []
    read = {_identity(newest)} if newest is not None else set()
    for age in range(1, FILES):
        if len(lines) >= number:
            break
        older = _open_log(path.with_name(f"{path.name}.{age}"))
        if older is None:
            continue
        with older:
            if _identity(older) not in read:  # a rotation gives a file that was read the next number
                lines = [*_whole_lines(older), *lines]
                read.add(_identity(older))
    return lines[-number:] if number else []


def _identity(file: io.BufferedReader) -> tuple[int, int]:
    found = os.fstat(file.fileno())
    return found.st_dev, found.st_ino


def _open_log(path: Path) -> io.BufferedReader | None:
    try:
        return os.fdopen(open_own(path, os.O_RDONLY), "rb")
    except FileNotFoundError:
        return None


def _whole_lines(file: io.BufferedReader) -> Iterator[str]:
    """Yield all complete lines from here on. An incomplete line is left for the next call."""
    while (line := file.readline()).endswith(b"\n"):
        yield line[:-1].decode("utf-8", errors="backslashreplace")
    file.seek(-len(line), os.SEEK_CUR)


def _has_name(file: io.BufferedReader, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
