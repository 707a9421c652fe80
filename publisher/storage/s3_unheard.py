"""Uploads that were begun, but whose name nobody heard: the reply was lost, or the process was killed with it.

S3 lists the uploads under way by key, and tells nothing that says who wanted one.  An upload is taken for ours if all
of this holds: its key is ours, it was begun when we asked for one (both ages by their own clock, so the clocks need not
agree), and it has no part.  So an upload of somebody else can only be meant if he began it for the very key, in the
minutes of our request, and has sent nothing that was acknowledged; if he is one of us, he begins again by himself.
"""

from contextlib import suppress
from datetime import datetime
from email.utils import parsedate_to_datetime

from roar_publisher.storage.http import Reply
from roar_publisher.storage.s3_xml import NotXml, parse

ASKING_SECONDS = 15 * 60
"""How long one request for an upload, with all its attempts, may take by far; begun later, it is somebody else's."""
SLACK_SECONDS = 2
"""What two times lose that are told in whole seconds."""


def unheard_uploads(listing: Reply, key: str, asked_ago: float) -> list[str]:
    """The ids of the uploads in a ListMultipartUploads reply that may be what was asked for `asked_ago` seconds ago.

    key: with the prefix.  Empty where the store lists nothing, refuses, or tells no times.
    """
    if not listing.ok:
        return []
    found = []
    with suppress(NotXml, ValueError, TypeError):  # TypeError: a time without its zone
        now = parsedate_to_datetime(listing.headers.get("date", ""))
        for upload in parse(listing.body).iter("Upload"):
            age = (now - datetime.fromisoformat(upload.findtext("Initiated") or "")).total_seconds()
            in_time = asked_ago - ASKING_SECONDS <= age <= asked_ago + SLACK_SECONDS
            if upload.findtext("Key") == key and in_time:
                found.append(upload.findtext("UploadId") or "")
    return found
