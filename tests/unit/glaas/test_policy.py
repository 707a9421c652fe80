"""What a reply means, and how long to wait: tables."""

import random
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest

from roar_publisher.glaas.answers import redirect_target
from roar_publisher.net.documents import MAX_TEXT, error_text, parse
from roar_publisher.net.policy import (
    FIRST_BACKOFF_SECONDS,
    LONGEST_BACKOFF_SECONDS,
    LONGEST_RETRY_AFTER_SECONDS,
    MAX_ATTEMPTS,
    MAX_GARBLED,
    MAX_OUTAGES,
    Verdict,
    backoff,
    judge,
    retry_after,
)

NOW = 1_700_000_000.0


def date(seconds: float) -> str:
    return format_datetime(datetime.fromtimestamp(NOW + seconds, UTC), usegmt=True)


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, Verdict.ACCEPTED),
        (201, Verdict.ACCEPTED),
        (429, Verdict.BUSY),
        (503, Verdict.BUSY),
        (408, Verdict.FAILED),
        (425, Verdict.FAILED),
        (500, Verdict.FAILED),
        (501, Verdict.REFUSED),
        (502, Verdict.FAILED),
        (504, Verdict.FAILED),
        (599, Verdict.FAILED),
        (101, Verdict.FAILED),
        (300, Verdict.REDIRECTED),
        (301, Verdict.REDIRECTED),
        (307, Verdict.REDIRECTED),
        (400, Verdict.REFUSED),
        (401, Verdict.REFUSED),
        (404, Verdict.REFUSED),
        (413, Verdict.REFUSED),
        (418, Verdict.REFUSED),
    ],
)
def test_a_reply_is_judged_by_its_status(status: int, verdict: Verdict) -> None:
    assert judge(status) is verdict


@pytest.mark.parametrize(
    ("body", "document"),
    [
        (b'{"a": 1}', {"a": 1}),
        (b'{"success": true, "data": {"a": 1}}', {"success": True, "data": {"a": 1}}),
        (b"", None),
        (b"<html>", None),
        (b'{"a": ', None),
        (b"\xff\xfe\x00", None),
        (b"[" * 100_000, None),
        (b"9" * 10_000, None),
    ],
)
def test_a_body_is_json_or_nothing(body: bytes, document: object) -> None:
    assert parse(body) == document


@pytest.mark.parametrize(
    "document",
    [
        {"detail": "no"},
        {"message": "no"},
        {"error": "no"},
        {"error": {"detail": "no"}},
        {"error": {"message": "no"}},
        {"detail": "", "message": 3, "error": {"message": "no"}},
        {"detail": " \n no\x00\x1b "},
        {"detail": {"message": "no", "code": 7}},
        {"detail": [{"loc": ["body", "jobs", 0], "msg": "no", "type": "missing"}]},
        {"success": False, "error": {"code": "E1", "message": "no"}},
    ],
)
def test_the_servers_text_is_found_in_every_form(document: object) -> None:
    assert error_text(document, 400) == "no"


@pytest.mark.parametrize("document", [None, [], "text", {}, {"detail": None}, {"error": []}, {"detail": "\x1b\x00"}])
def test_without_a_text_the_status_is_shown(document: object) -> None:
    assert error_text(document, 418) == "HTTP 418"


def test_the_servers_text_is_bounded_and_on_one_line() -> None:
    text = error_text({"detail": "a\nb\r\n" * 10_000}, 400)
    assert len(text) <= MAX_TEXT
    assert text.startswith("a b a b")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 7.5 ", 7.5),
        ("-3", 0.0),
        ("1e99", LONGEST_RETRY_AFTER_SECONDS),
        ("inf", LONGEST_RETRY_AFTER_SECONDS),
        (date(30), 30.0),
        (date(-30), 0.0),
        (date(10**7), LONGEST_RETRY_AFTER_SECONDS),
        ("Tue, 14 Nov 2023 22:13:50", 30.0),
        ("", None),
        ("nan", None),
        ("soon", None),
        ("Tue, 99 Nov 2023 99:99:99 GMT", None),
        ("Tue, 14 Nov 99999 22:13:50 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_bounded(value: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": value}, NOW) == seconds


@pytest.mark.parametrize("skew", [-86_400.0, -45.0, 45.0, 86_400.0])
def test_a_retry_after_date_is_compared_with_the_clock_that_wrote_it(skew: float) -> None:
    headers = {"retry-after": date(skew + 30), "date": date(skew)}
    assert retry_after(headers, NOW) == 30.0


@pytest.mark.parametrize(
    ("sent", "until", "seconds"),
    [
        ("", 30, 30.0),
        ("soon", 30, 30.0),
        ("Tue, 99 Nov 2023 99:99:99 GMT", 30, 30.0),
        (date(60), 30, 0.0),
        (date(-(10**7)), 30, LONGEST_RETRY_AFTER_SECONDS),
    ],
)
def test_without_a_usable_date_the_local_clock_counts_and_every_wait_is_bounded(
    sent: str, until: float, seconds: float
) -> None:
    assert retry_after({"retry-after": date(until), "date": sent}, NOW) == seconds


def test_the_date_of_a_reply_does_not_change_a_retry_after_in_seconds() -> None:
    assert retry_after({"retry-after": "7", "date": date(500)}, NOW) == 7.0


def test_without_retry_after_there_is_no_wait() -> None:
    assert retry_after({}, NOW) is None


def test_nonsense_in_retry_after_never_raises() -> None:
    rng = random.Random(1)
    alphabet = '0123456789 :,;+-.eETueNovGMT()\\"\x00é'
    for _ in range(20_000):
        value = "".join(rng.choices(alphabet, k=rng.randint(0, 30)))
        seconds = retry_after({"retry-after": value}, NOW)
        assert seconds is None or 0 <= seconds <= LONGEST_RETRY_AFTER_SECONDS, repr(value)


def test_backoff_grows_with_full_jitter_up_to_a_bound() -> None:
    rng = random.Random(2)
    for attempt in range(1, 40):
        waits = [backoff(attempt, rng) for _ in range(300)]
        ceiling = min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2**attempt)
        assert 0 <= min(waits) < ceiling * 0.1
        assert ceiling * 0.9 < max(waits) <= ceiling


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("https://elsewhere.example/secret?token=abc", "elsewhere.example"),
        ("https://user:password@elsewhere.example/", "elsewhere.example"),
        ("/login", "another path of the same host"),
        ("", "another path of the same host"),
        ("http://[broken", "an address that cannot be read"),
    ],
)
def test_a_redirect_names_its_host_and_nothing_else(location: str, target: str) -> None:
    assert redirect_target({"location": location}) == target


def test_every_verdict_is_reached_by_a_status() -> None:
    verdicts = {judge(status) for status in range(100, 600)}
    assert verdicts == set(Verdict) - {Verdict.GARBLED, Verdict.INTERMEDIARY}


def test_one_request_is_repeated_a_bounded_number_of_times() -> None:
    """The numbers are part of what a registry's operator may expect of a client."""
    assert (MAX_ATTEMPTS, MAX_OUTAGES, MAX_GARBLED) == (8, 32, 4)
