"""An impossible put ends with one clear message and the documented exit code; nothing is sent or published."""

import os
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from roar_publisher.exit_codes import ExitCode
from tests.e2e.put.conftest import MakePlace
from tests.support.put.place import MESSAGE, Place
from tests.support.storage.servers import BUCKET

Prepare = Callable[[Place], None]


def nothing(place: Place) -> None:
    """Leave the place unchanged."""


def empty_folder(place: Place) -> None:
    (place.project / "outputs" / "hollow").mkdir()


def change_code(place: Place) -> None:
    (place.project / "train.py").write_text("print('other')\n")


def forget_credentials(place: Place) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        place.env.pop(name)


def wrong_secret(place: Place) -> None:
    place.env["AWS_SECRET_ACCESS_KEY"] = "not-the-secret-of-anybody"


def dangling_link(place: Place) -> None:
    (place.project / "outputs" / "hollow").symlink_to("nowhere")


def unreadable(place: Place) -> None:
    path = place.project / "outputs" / "copy.bin"
    if os.geteuid():
        path.chmod(0)
    else:  # root reads everything but this
        path.unlink()
        path.symlink_to("/proc/self/mem")


def no_utf8(place: Place) -> None:
    (place.project / "outputs" / os.fsdecode(b"gr\xf6\xdfe")).write_bytes(b"x")


def same_name(place: Place) -> None:
    (place.project / "outputs" / "raw.bin").write_bytes(b"another")


def forget_output(place: Place) -> None:
    (place.project / "raw.bin").unlink()


def no_project(place: Place) -> None:
    (place.project / ".roar" / "roar.db").unlink()


@dataclass(frozen=True)
class Case:
    """The arguments of `roar put` ({} stands for the destination), the exit code and the words of the message."""

    typed: tuple[str, ...]
    code: ExitCode
    words: tuple[str, ...]
    prepare: Prepare = nothing
    kind: str = "file"


CASES = {
    "no such file": Case(("missing.bin", "{}"), ExitCode.USAGE, ("there is no missing.bin",)),
    "no such step": Case(("@9", "{}"), ExitCode.USAGE, ("no step @9", "roar dag")),
    "no such digest": Case(("ab" * 32, "{}"), ExitCode.USAGE, ("neither a file",)),
    "an empty folder": Case(("outputs/hollow", "{}"), ExitCode.USAGE, ("has no files",), empty_folder),
    "a link to nowhere": Case(("outputs/hollow", "{}"), ExitCode.USAGE, ("there is no",), dangling_link),
    "a device": Case(("/dev/null", "{}"), ExitCode.USAGE, ("neither a file nor a folder",)),
    "outputs that are gone": Case(("{}",), ExitCode.USAGE, ("no longer exist", "raw.bin"), forget_output),
    "uncommitted changes": Case(("outputs", "{}"), ExitCode.USAGE, ("uncommitted changes",), change_code),
    "clashing keys": Case(
        ("raw.bin", "outputs/raw.bin", "{}"), ExitCode.USAGE, ("differ", "would be stored as raw.bin"), same_name
    ),
    "an unreadable file": Case(
        ("outputs", "{}", "--follow-links"),
        ExitCode.FAILED,
        ("copy.bin", "cannot be read", "nothing was sent or kept"),
        unreadable,
    ),
    "a name that is not valid UTF-8": Case(("outputs", "{}"), ExitCode.FAILED, ("is not valid UTF-8",), no_utf8),
    "no destination": Case(("outputs",), ExitCode.USAGE, ("destination", "s3://")),
    "an unknown scheme": Case(("outputs", "ftp://host/x"), ExitCode.USAGE, ("destination", "s3://")),
    "a bucket without a name": Case(("outputs", "s3:///x"), ExitCode.USAGE, ("destination",)),
    "a relative folder": Case(("outputs", "stored"), ExitCode.USAGE, ("destination", "absolute path")),
    "a destination that leaves itself": Case(("outputs", "s3://bucket/a/../b"), ExitCode.USAGE, ("'..' segment",)),
    "a destination that is a file": Case(("outputs", "/dev/null/x"), ExitCode.USAGE, ("is a file", "name a folder")),
    "no message": Case(("outputs", "{}", "--no-message"), ExitCode.USAGE, ("no such option",)),
    "a rate that is none": Case(("outputs", "{}", "--limit-rate", "fast"), ExitCode.USAGE, ("not a rate",)),
    "no jobs": Case(("outputs", "{}", "--jobs", "0"), ExitCode.USAGE, ("--jobs",)),
    "no roar.db": Case(("outputs", "{}"), ExitCode.FAILED, ("roar.db",), no_project),
    "no credentials": Case(("outputs", "{}"), ExitCode.NEEDS_USER, ("no AWS credentials",), forget_credentials, "s3"),
    "a wrong secret": Case(("outputs", "{}"), ExitCode.NEEDS_USER, ("does not accept",), wrong_secret, "s3"),
}


@pytest.mark.parametrize("name", CASES)
def test_an_impossible_put_is_refused_with_one_message(name: str, make_place: MakePlace) -> None:
    case = CASES[name]
    place = make_place(case.kind)
    case.prepare(place)
    typed = [word.format(place.destination.url) for word in case.typed]
    answer = place.roar("put", *typed, "-m", MESSAGE, "--public", "-y")
    blames(answer.code, answer.err, case.code, *case.words)
    assert place.ask("published")[0] == 0
    assert place.destination.keys() == []


def test_a_missing_destination_is_seen_before_a_missing_sign_in(make_place: MakePlace) -> None:
    place = make_place("file")
    for typed in (("outputs",), ("outputs", "--dry-run")):
        answer = place.roar("put", *typed, "-m", MESSAGE, "--private", "-y")
        blames(answer.code, answer.err, ExitCode.USAGE, "destination", "s3://")
    answer = place.roar("put", "outputs", place.destination.url, "-m", MESSAGE, "--private", "-y")
    blames(answer.code, answer.err, ExitCode.NEEDS_USER)


@pytest.mark.parametrize(("kind", "url"), [("s3", "s3://nobodys-bucket/x"), ("gs", "gs://nobodys-bucket/x")])
def test_a_missing_bucket_needs_the_user_and_can_be_resumed(kind: str, url: str, make_place: MakePlace) -> None:
    place = make_place(kind)
    answer = place.roar("put", "outputs", url, "-m", MESSAGE, "--public", "-y")
    blames(answer.code, answer.err, ExitCode.NEEDS_USER, "the bucket does not exist", "nobodys-bucket", "--resume")
    assert BUCKET in place.destination.url
    place.check_not_published()


def test_a_put_without_credentials_resumes_once_they_exist(make_place: MakePlace) -> None:
    place = make_place("s3")
    secret = place.env["AWS_SECRET_ACCESS_KEY"]
    wrong_secret(place)
    assert place.put().code == ExitCode.NEEDS_USER
    place.env["AWS_SECRET_ACCESS_KEY"] = secret
    assert place.resume().code == 0
    place.check_published_once()


def blames(code: int, err: str, expected: ExitCode, *words: str) -> None:
    """Assert one clear message with this code and these words, and no traceback."""
    text = " ".join(err.split()).lower()
    assert code == expected, err
    assert text.count("error: ") == 1, err
    assert "traceback" not in text
    assert "defect" not in text
    for word in words:
        assert word.lower() in text, f"{word!r} is not in: {err}"
