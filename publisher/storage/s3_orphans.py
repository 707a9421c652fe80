"""Finds uploads whose name was never received, because the reply was lost or the process was killed.

S3 lists the uploads in progress by key, but not who requested them. An upload counts as ours if all of this holds: it
has our key, it was begun when we requested one, and it has no part. Both ages are measured by one clock each, so the
clocks need not agree. Another client's upload can only match if it was begun for the same key within the minutes of our
request and has no acknowledged part. If that client is another run of this program, it begins again by itself.
"""

from contextlib import suppress
from datetime import datetime
from email.utils import parsedate_to_datetime

from roar_publisher.net.exchange import Reply
from roar_publisher.storage.s3_xml import NotXml, parse

LONGEST_REQUEST_SECONDS = 15 * 60
"""Generous limit for one request for an upload with all its attempts. A later upload belongs to another client."""
SLACK_SECONDS = 2
"""Rounding error of two times in whole seconds."""


def orphaned_uploads(listing: Reply, key: str, age_of_request: float) -> list[str]:
    """Return the ids in a ListMultipartUploads reply that may stem from our request `age_of_request` seconds ago.

    key: with the prefix.
    Empty if the store lists nothing, refuses, or returns no times.
    """
    if not listing.ok:
        return []
    found = []
    with suppress(NotXml, ValueError, TypeError):  # TypeError: a time without its zone
        now = parsedate_to_datetime(listing.headers.get("date", ""))
        for upload in parse(listing.body).iter("Upload"):
            age = (now - datetime.fromisoformat(upload.findtext("Initiated") or "")).total_seconds()
            in_time = age_of_request - LONGEST_REQUEST_SECONDS <= age <= age_of_request + SLACK_SECONDS
            if upload.findtext("Key") == key and in_time:
                found.append(upload.findtext("UploadId") or "")
    return found
