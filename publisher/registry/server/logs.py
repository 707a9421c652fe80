"""The registry's log: one JSON object in each line of stderr, with the id of the request that it is about."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from roar_publisher.registry.api.requests import access_log
from roar_publisher.registry.http.request_ids import REQUEST_ID


class JsonLines(logging.Formatter):
    """Formats a record as a JSON object. Its `fields`, if there are any, are keys of the object."""

    def format(self, record: logging.LogRecord) -> str:
        document: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request_id := REQUEST_ID.get():
            document["request_id"] = request_id
        document |= getattr(record, "fields", {})
        if record.exc_info:
            document["traceback"] = self.formatException(record.exc_info)
        return json.dumps(document)


@contextmanager
def written_logs(*, each_request: bool) -> Iterator[None]:
    """Write what is logged during the block to stderr, also by libraries, and Python's warnings.

    With `each_request`, also a line for every request.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    root, level = logging.getLogger(), access_log.level
    access_log.setLevel(logging.INFO if each_request else logging.WARNING)
    root.addHandler(handler)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.removeHandler(handler)
        access_log.setLevel(level)
