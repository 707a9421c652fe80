"""Which of the uploads that S3 lists may be the one whose name was not heard."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from roar_publisher.net.exchange import Reply
from roar_publisher.storage.s3_orphans import LONGEST_REQUEST_SECONDS, SLACK_SECONDS, orphaned_uploads

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
ASKED_AGO = 3 * LONGEST_REQUEST_SECONDS
"""Seconds since the upload was asked for."""
KEY = "a folder/large"


def listing(*uploads: tuple[str, str, float], status: int = 200, date: str | None = None, zone: str = "Z") -> Reply:
    """A reply that lists (id, key, age in seconds)."""
    rows = []
    for id_, key, age in uploads:
        initiated = (NOW - timedelta(seconds=age)).strftime("%Y-%m-%dT%H:%M:%S.000") + zone
        rows.append(f"<Upload><Key>{key}</Key><UploadId>{id_}</UploadId><Initiated>{initiated}</Initiated></Upload>")
    namespace = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
    body = f"<ListMultipartUploadsResult {namespace}>{''.join(rows)}</ListMultipartUploadsResult>"
    headers = {"date": format_datetime(NOW, usegmt=True) if date is None else date}
    return Reply(status, headers, body.encode())


def test_an_orphan_has_the_key_and_the_time_of_the_request() -> None:
    earliest, latest = ASKED_AGO + SLACK_SECONDS, ASKED_AGO - LONGEST_REQUEST_SECONDS
    found = orphaned_uploads(
        listing(
            ("too early", KEY, earliest + 1),
            ("at once", KEY, earliest),
            ("after a wait", KEY, latest),
            ("too late", KEY, latest - 1),
            ("of another key", f"{KEY}.more", ASKED_AGO),
            ("of its folder", "a folder", ASKED_AGO),
        ),
        KEY,
        ASKED_AGO,
    )
    assert found == ["at once", "after a wait"]


def test_clocks_need_not_agree() -> None:
    """Ages are compared: the store's from its own two times, ours from our own."""
    years_ahead = listing(("ours", KEY, 60))
    assert orphaned_uploads(years_ahead, KEY, age_of_request=61.5) == ["ours"]


@pytest.mark.parametrize(
    "reply",
    [
        listing(("ours", KEY, ASKED_AGO), status=403),
        listing(("ours", KEY, ASKED_AGO), date=""),
        listing(("ours", KEY, ASKED_AGO), date="yesterday"),
        listing(("ours", KEY, ASKED_AGO), zone=""),
        listing(("ours", KEY, ASKED_AGO), zone="?"),
        Reply(200, {"date": format_datetime(NOW, usegmt=True)}, b"<html>"),
        Reply(200, {"date": format_datetime(NOW, usegmt=True)}, b""),
    ],
    ids=["refused", "without a time", "a time that is none", "without a zone", "a zone that is none", "html", "empty"],
)
def test_a_listing_without_usable_times_yields_no_orphans(reply: Reply) -> None:
    assert orphaned_uploads(reply, KEY, ASKED_AGO) == []
