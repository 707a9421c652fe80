"""A put whose connection to the store fails is published, or is resumable and then published."""

import random
from pathlib import Path
from threading import Lock

import pytest

from roar_publisher.exit_codes import ExitCode
from tests.e2e.put.conftest import MakePlace
from tests.support.put.destinations import KINDS, S3
from tests.support.put.place import Place
from tests.support.put.project import PART_BYTES
from tests.support.sampling import sample
from tests.support.storage.proxy import Fault, Plan, Seen, once
from tests.support.storage.servers import ACCESS_KEY, SECRET_KEY

BROKEN = (Fault.RESET, Fault.CUT_BODY, Fault.STALL, Fault.LOST_REPLY, Fault.CUT_REPLY, Fault.SLOW_DOWN)
S3_REQUESTS = {
    "a part": ("PUT", "partNumber=2"),
    "a small file": ("PUT", "deeper/small-1.bin"),
    "the beginning": ("POST", "?uploads"),
    "the completion": ("POST", "?uploadId"),
}
GCS_REQUESTS = {
    "a part": ("PUT", f"bytes {PART_BYTES}-"),
    "the last part": ("PUT", f"bytes {2 * PART_BYTES}-"),
    "a small file": ("POST", "small-1.bin"),
    "the beginning": ("POST", "uploadType=resumable"),
}
REQUESTS = [("s3", what, *request) for what, request in S3_REQUESTS.items()]
REQUESTS += [("gs", what, *request) for what, request in GCS_REQUESTS.items()]
FAULTS = sample(
    "faults of puts",
    [(*request, fault) for request in REQUESTS for fault in BROKEN],
    0,
    lambda case: case[:2],
    lambda case: (case[0], case[-1]),
)
"""Each request of each store fails, and the requests of each store fail in each way."""
SEEDS = sample("storms of puts", range(4), 1)
MOST_RESUMES = 30


def sent_again(place: Place) -> int:
    """Return how many bodies were sent more than once."""
    sent = place.destination.parts_sent(place.seen, {})
    return len(sent) - len(set(sent))


@pytest.mark.parametrize(("kind", "what", "method", "holding", "fault"), FAULTS, ids=str)
def test_one_fault_costs_one_request(
    kind: str, what: str, method: str, holding: str, fault: Fault, make_place: MakePlace
) -> None:
    place = make_place(kind)
    hit = plan_of(place, once(fault, method, holding))
    answer = place.put(short_waits=True)
    assert answer.code == 0, answer.err
    assert hit, f"nothing asked for {what}"
    place.check_published_once()
    assert sent_again(place) <= 1


def test_an_upload_whose_creation_reply_was_lost_leaves_nothing_behind(make_place: MakePlace) -> None:
    place = make_place("s3")
    assert isinstance(place.destination, S3)
    theirs = place.destination.begin("large-0.bin", parts=1)
    place.seen.clear()
    plan_of(place, once(Fault.LOST_REPLY, "POST", "?uploads", times=2))
    assert place.put(short_waits=True).code == 0
    place.check_published_once()
    assert place.destination.uploads() == {theirs}
    assert sent_again(place) == 0


def test_a_completion_whose_reply_was_lost_sends_no_part_again(make_place: MakePlace) -> None:
    place = make_place("s3")
    plan_of(place, once(Fault.LOST_REPLY, "POST", "?uploadId"))
    assert place.put(short_waits=True).code == 0
    place.check_published_once()
    assert sent_again(place) == 0
    assert sum(seen.method == "POST" and seen.path.endswith("?uploads=") for seen in place.seen) == 1
    assert place.destination.uploads() == set()


@pytest.mark.parametrize("step", ["jobs/batch", "finalize"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_object_deleted_before_a_resume_is_sent_again(kind: str, step: str, make_place: MakePlace) -> None:
    """The object is deleted before anything links to it."""
    place = make_place(kind)
    died = place.put(kill_at=(f"before registry POST /api/v1/registration-sessions/{step}", 1))
    assert died.killed
    journal = place.only_publish()
    assert journal.stored == set(place.files)
    place.destination.delete("deeper/small-1.bin")
    place.seen.clear()
    resumed = place.resume()
    assert resumed.code == 0, resumed.err
    assert f"1 of {len(place.files)} stored objects are missing from the store" in resumed.err
    assert place.check_published_once() == journal.provisional
    if place.destination.proxy:
        assert place.destination.parts_sent(place.seen, {}) == [("deeper/small-1.bin", 1)]


def test_credentials_that_expired_before_a_resume_need_the_user(make_place: MakePlace) -> None:
    """A resume begins with HEAD requests, whose error replies have no body."""
    place = make_place("s3")
    assert place.put(kill_at=("after commit of acknowledge_stored", 1)).killed
    place.destination.weather(lambda seen: Fault.EXPIRED)
    stopped = place.resume()
    assert stopped.code == ExitCode.NEEDS_USER, stopped.err
    assert "credentials expired" in stopped.err
    place.destination.weather(lambda seen: None)
    assert place.resume().code == 0
    place.check_published_once()


def test_an_upload_that_the_store_dropped_is_restarted(make_place: MakePlace) -> None:
    """The user need not do anything."""
    place = make_place("s3")
    assert isinstance(place.destination, S3)
    assert place.put(kill_at=("after commit of acknowledge_part", 2)).killed
    place.destination.drop_uploads()
    answer = place.resume()
    assert answer.code == 0, answer.err
    place.check_published_once()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", ["s3", "gs"])
def test_a_storm_ends_with_everything_published(kind: str, seed: int, make_place: MakePlace) -> None:
    place = make_place(kind)
    place.destination.weather(storm(seed, 0.3))
    answer = place.put(short_waits=True)
    for _ in range(MOST_RESUMES):
        if answer.code != ExitCode.INTERRUPTED:
            break
        place.check_not_published()
        answer = place.resume(short_waits=True)
    assert answer.code == 0, answer.err
    place.destination.weather(lambda seen: None)
    place.check_published_once()


@pytest.mark.parametrize("kind", ["s3", "gs"])
def test_an_unreachable_store_leaves_a_resumable_put(kind: str, make_place: MakePlace) -> None:
    place = make_place(kind)
    place.destination.weather(after_bodies(3, Fault.RESET))
    answer = place.put(short_waits=True)
    assert answer.code == ExitCode.INTERRUPTED, answer.err
    assert "the object store cannot be reached" in answer.err.lower()
    assert "roar publish --resume" in answer.err
    place.destination.weather(lambda seen: None)
    place.check_not_published()
    journal, before = place.only_publish(), len(place.seen)
    assert place.resume().code == 0
    place.check_published_once()
    again = place.destination.parts_sent(place.seen[before:], journal.uploads)
    assert not set(again) & journal.parts
    assert not {key for key, _ in again} & journal.stored


def test_credentials_that_expire_within_a_file_are_read_again(make_place: MakePlace) -> None:
    place = make_place("s3")
    expire = once(Fault.EXPIRED, "PUT", "partNumber=2")
    sign_in(place, "the-first-session")

    def plan(seen: Seen) -> Fault | None:
        fault = expire(seen)
        if fault:
            sign_in(place, "the-next-session")
        return fault

    hit = plan_of(place, plan)
    answer = place.put()
    assert answer.code == 0, answer.err
    assert hit
    place.check_published_once()
    assert sent_again(place) == 1


def test_credentials_that_stay_expired_need_the_user(make_place: MakePlace) -> None:
    place = make_place("s3")
    sign_in(place, "the-first-session")
    place.destination.weather(once(Fault.EXPIRED, "PUT", "partNumber=3", times=1_000_000))
    answer = place.put()
    assert answer.code == ExitCode.NEEDS_USER, answer.err
    assert "expired" in answer.err
    assert "roar publish --resume" in answer.err
    place.destination.weather(lambda seen: None)
    place.check_not_published()
    journal, before = place.only_publish(), len(place.seen)
    sign_in(place, "the-next-session")
    assert place.resume().code == 0
    place.check_published_once()
    assert not set(place.destination.parts_sent(place.seen[before:], journal.uploads)) & journal.parts


def sign_in(place: Place, token: str) -> None:
    """Write credentials with a session token to a file, and remove those in the environment."""
    path = Path(place.env["HOME"]) / "credentials"
    lines = ["[default]", f"aws_access_key_id = {ACCESS_KEY}", f"aws_secret_access_key = {SECRET_KEY}"]
    path.write_text("\n".join([*lines, f"aws_session_token = {token}", ""]))
    place.env["AWS_SHARED_CREDENTIALS_FILE"] = str(path)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        place.env.pop(name, None)


def plan_of(place: Place, plan: Plan) -> list[Fault]:
    """Apply a plan of faults, and return the list of faults that it causes."""
    hit: list[Fault] = []

    def watched(seen: Seen) -> Fault | None:
        fault = plan(seen)
        if fault:
            hit.append(fault)
        return fault

    place.destination.weather(watched)
    return hit


def storm(seed: int, share: float) -> Plan:
    """Return a plan with a fault for that share of the requests, chosen by the seed."""
    rng, lock = random.Random(seed), Lock()

    def plan(seen: Seen) -> Fault | None:
        with lock:
            return rng.choice([fault for fault in BROKEN if fault is not Fault.STALL]) if rng.random() < share else None

    return plan


def after_bodies(count: int, fault: Fault) -> Plan:
    """Return a plan with `fault` for every request after that many bodies."""
    remaining, lock = count, Lock()

    def plan(seen: Seen) -> Fault | None:
        nonlocal remaining
        with lock:
            remaining -= seen.body_bytes > 0
            return fault if remaining < 0 else None

    return plan
