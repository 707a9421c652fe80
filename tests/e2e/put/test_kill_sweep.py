"""SIGKILL around every journal write, private file, store request and registry request of a put, in real processes.

Whatever the moment, `roar publish --resume` (or, where nothing was frozen yet, the same put again) ends with the very
bytes in the store, one published lineage, one put job in roar.db, and nothing sent again that was acknowledged.
"""

import os
from collections.abc import Callable

import pytest

from roar_publisher.state.machine import State
from tests.e2e.put.conftest import MakePlace
from tests.support.put.destinations import KINDS, S3
from tests.support.put.forked_program import ProgramResult
from tests.support.put.place import JournalState, Place
from tests.support.sampling import EXHAUSTIVE, sample
from tests.support.storage.proxy import Fault

PORTIONS = 4
"""The number of tests among which the moments of a sweep are divided, to run concurrently."""
CHUNK_BYTES = 256 * 1024
"""Bytes that a folder store writes at once."""
FIRST = 2
"""Of one kind of moment around an upload, the first ones, which every run reaches; one of them is tried by default."""
SHARED = ("registry", "commit", "make_tag", "record_put", "mark_published", "forget_session_token")
"""Moments that do not depend on the destination, so that one sweep covers them."""
MOST_OF_A_KIND = 50
"""How many of the same kind an exhaustive sweep tries: all, but for the chunks of a folder and the like."""
Moment = tuple[str, int]


def moments_of(passed: dict[str, int], kind: str) -> list[Moment]:
    """Return which moments of a reference run are tried: one of each kind, or many."""
    found = []
    for what, count in sorted(passed.items()):
        if EXHAUSTIVE:
            found += [(what, number) for number in range(1, count + 1, -(-count // MOST_OF_A_KIND))]
        elif kind == "file" or not any(word in what for word in SHARED) or "acknowledge_part" in what:
            found += [(what, number) for number in sample(f"put {kind} {what}", range(1, count + 1), 1)]
    return found


@pytest.mark.parametrize("portion", range(PORTIONS))
@pytest.mark.parametrize("kind", KINDS)
def test_a_put_killed_at_any_moment_is_published_once(
    kind: str, portion: int, reference: Callable[[str], dict[str, int]], make_place: MakePlace
) -> None:
    moments = moments_of(reference(kind), kind)[portion::PORTIONS]
    assert moments
    reached = 0
    for moment in moments:
        # How often something happens varies, with what happens side by side, but nearly all happens once.
        reached += check_moment(make_place, kind, moment) or check_moment(make_place, kind, (moment[0], 1))
    assert reached > 0.8 * len(moments)


def check_moment(make_place: MakePlace, kind: str, moment: Moment) -> bool:
    """Kill at the moment, resume and check. Return False if the run ended before that moment."""
    place = make_place(kind)
    try:
        return killed_and_published(place, moment)
    except AssertionError as error:
        error.add_note(f"killed at {moment} on the way to {kind}")
        raise
    finally:
        place.discard()


def killed_and_published(place: Place, moment: Moment) -> bool:
    killed = place.put(kill_at=moment)
    if not killed.killed:
        assert killed.code == 0, killed.err
        place.check_published_once()
        return False
    place.destination.settle()
    journal = place.only_publish()
    present = set(place.destination.keys())
    before = len(place.seen)
    if journal.state is not State.DONE:
        again = place.resume("-v") if journal.interrupted else place.put("-v")
        assert again.code == 0, again.err
        check_not_sent_again(place, journal, before, present, again)
    lineage_hash = place.check_published_once()
    assert not journal.provisional or lineage_hash == journal.provisional
    assert place.destination.uploads() == set(), "nothing is left under way, whether its name was known or not"
    return True


def check_not_sent_again(
    place: Place, journal: JournalState, before: int, present: set[str], again: ProgramResult
) -> None:
    """Assert that nothing that was acknowledged or stored is sent again."""
    sent = place.destination.parts_sent(place.seen[before:], journal.uploads)
    assert not set(sent) & journal.parts
    assert not {key for key, _ in sent} & (journal.stored | present)
    twice = [one for one in set(sent) if sent.count(one) > 1]
    assert len(twice) <= failed_requests(again), f"{twice} twice, but nothing failed:\n{again.err}"
    if journal.interrupted and place.destination.proxy is None:
        assert again.passed.get("before folder _write", 0) <= chunks_missing(place, journal)


def failed_requests(answer: ProgramResult) -> int:
    """Return the least number of requests to the store that failed, as some do on a busy machine."""
    asked = sum(count for what, count in answer.passed.items() if what.startswith("before store "))
    answered = sum(count for what, count in answer.passed.items() if what.startswith("after store "))
    return asked - answered + answer.err.count("  attempt ")


def chunks_missing(place: Place, journal: JournalState) -> int:
    return sum(
        -(-length // CHUNK_BYTES)
        for key in journal.missing
        for number, length in place.part_sizes(key)
        if (key, number) not in journal.parts
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_reference_run_passes_through_every_kind_of_moment(
    kind: str, reference: Callable[[str], dict[str, int]]
) -> None:
    passed = " ".join(reference(kind))
    wanted = ["commit of acknowledge_part", "commit of checkpoint", "write_private", "/finalize", "record_put"]
    wanted += {
        "s3": ["PUT partNumber,uploadId body", "POST uploads", "POST uploadId", "PUT  body", "within a body"],
        "gs": ["POST name,uploadType", "PUT name,uploadType,upload_id body", "within a body"],
        "file": ["folder _reserve", "folder _write", "folder _publish"],
    }[kind]
    assert [what for what in wanted if what not in passed] == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_put_killed_repeatedly_still_ends(kind: str, make_place: MakePlace) -> None:
    """Each process gets a little further than the one before, and repeats nothing that was done."""
    place = make_place(kind)
    answer = place.put(kill_at=("after commit of freeze", 1))
    runs = 1
    while answer.killed:
        runs += 1
        answer = place.resume(kill_at=("after commit of acknowledge_part", 1) if runs < 6 else None)
    assert answer.code == 0, answer.err
    assert runs >= place.parts_of_large
    place.check_published_once()
    sent = place.destination.parts_sent(place.seen, {})
    assert len(sent) <= len(set(sent)) + runs * 16


UNHEARD = {
    "s3": ("before commit of forget_parts", "before store POST uploads", "after store POST uploads", "within a body"),
    "file": ("before folder _reserve", "after folder _reserve", "after folder _write", "before folder _publish"),
}
"""Moments around the creation of an upload, and during it."""


@pytest.mark.parametrize(("kind", "what"), [(kind, what) for kind, whats in UNHEARD.items() for what in whats])
def test_cancelling_a_killed_put_leaves_nothing_in_the_store(
    kind: str, what: str, reference: Callable[[str], dict[str, int]], make_place: MakePlace
) -> None:
    for number in sample(f"cancel {kind} {what}", range(1, min(reference(kind)[what], FIRST) + 1), 1):
        place = make_place(kind)
        killed = place.put(kill_at=(what, number))
        journal = place.only_publish()
        assert killed.killed
        assert journal.interrupted
        answer = place.roar("journal", "cancel", journal.paths.id)
        assert answer.code == 0, answer.err
        assert "could not be aborted" not in answer.out
        assert place.destination.uploads() == set()
        place.discard()


@pytest.mark.parametrize(("kind", "what"), [(kind, what) for kind, whats in UNHEARD.items() for what in whats])
def test_an_upload_of_an_object_stored_meanwhile_is_aborted(
    kind: str, what: str, reference: Callable[[str], dict[str, int]], make_place: MakePlace
) -> None:
    for number in sample(f"meanwhile {kind} {what}", range(1, min(reference(kind)[what], FIRST) + 1), 1):
        place = make_place(kind)
        assert place.put(kill_at=(what, number)).killed
        journal = place.only_publish()
        assert place.put("-n", "another put").code == 0
        answer = place.roar("publish", "--resume", journal.paths.id, "-y")
        assert answer.code == 0, answer.err
        assert place.destination.objects() == place.files
        assert place.destination.uploads() == set()
        place.discard()


def test_pruning_a_cancelled_put_leaves_nothing_in_the_store(make_place: MakePlace) -> None:
    """The store was unreachable when the publish was cancelled."""
    place = make_place("s3")
    assert place.put(kill_at=("after store POST uploads", 1)).killed
    assert len(place.destination.uploads()) == 1
    place.destination.weather(lambda seen: Fault.RESET)
    answer = place.roar("journal", "cancel", place.only_publish().paths.id, short_waits=True)
    assert "could not be aborted" in answer.out
    place.destination.weather(lambda seen: None)
    assert place.roar("journal", "prune", "--all").code == 0
    assert place.publishes() == []
    assert place.destination.uploads() == set()


def test_uploads_of_other_clients_are_not_touched(make_place: MakePlace) -> None:
    """An earlier upload of the same key, one that has a part, and one of another key."""
    place = make_place("s3")
    assert isinstance(place.destination, S3)
    others = {place.destination.begin(f"large-0.bin{more}", parts) for more, parts in (("", 1), (".more", 0))}
    assert place.put(kill_at=("after store POST uploads", 1)).killed
    others.add(place.destination.begin("large-0.bin", parts=1))
    assert len(place.destination.uploads() - others) == 1
    assert place.resume().code == 0
    place.check_published_once()
    assert place.destination.uploads() == others


@pytest.mark.parametrize("kind", KINDS)
def test_an_unfinished_plan_is_pruned(kind: str, make_place: MakePlace) -> None:
    place = make_place(kind)
    assert place.put(kill_at=("before commit of freeze", 1)).killed
    (journal,) = place.publishes()
    os.utime(journal.paths.folder, (0, 0))
    assert place.roar("journal", "prune").code == 0
    assert place.publishes() == []
    place.check_not_published()
