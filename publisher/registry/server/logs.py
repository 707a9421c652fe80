"""The registry's log: one JSON object in each line of stderr, with the id of the request that it is about."""

import json
import logging
from datetime import UTC, datetime

from roar_publisher.registry.http.request_ids import REQUEST_ID

LOGGER = "roar_publisher"


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


def write_logs(*, each_request: bool) -> None:
    """Write what the registry logs to stderr. With `each_request`, also a line for every request."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logger = logging.getLogger(LOGGER)
    logger.addHandler(handler)
    logger.propagate = False
    logging.getLogger("roar_publisher.registry.access").setLevel(logging.INFO if each_request else logging.WARNING)
