"""No credential, and nothing that works like one, is in a file or in the output of a put."""

import base64
from collections.abc import Set
from pathlib import Path

import pytest

from roar_publisher.exit_codes import ExitCode
from tests.e2e.put.conftest import MakePlace
from tests.e2e.put.test_faults import after_bodies, sign_in
from tests.support.put.destinations import KINDS
from tests.support.put.forked_program import ProgramResult
from tests.support.put.place import Place
from tests.support.storage.proxy import Fault
from tests.support.storage.servers import SECRET_KEY

TOKEN = "the-session-token-of-nobody"
PRIVATE_MODE = 0o600


@pytest.mark.parametrize("kind", KINDS)
def test_a_put_that_ends_well_leaves_no_secret(kind: str, make_place: MakePlace) -> None:
    place = signed_in(make_place, kind)
    answers = [place.put("-v"), place.put("--json"), place.roar("journal", "list", "--json")]
    assert [answer.code for answer in answers] == [0, 0, 0]
    check_silent(place, answers, secrets_of(place))


@pytest.mark.parametrize("kind", ["s3", "gs"])
@pytest.mark.parametrize("given", ["-v", "--json"])
def test_an_interrupted_put_keeps_its_upload_ids_private(kind: str, given: str, make_place: MakePlace) -> None:
    """An upload id lets its bearer write to the store, so only one private file holds it, during the upload."""
    place = signed_in(make_place, kind)
    place.env["ROAR_DEBUG"] = "1"
    place.destination.weather(after_bodies(6, Fault.RESET))
    interrupted = place.put(given, short_waits=True)
    assert interrupted.code == ExitCode.INTERRUPTED
    journal = place.only_publish()
    assert journal.uploads, "the large file is under way"
    secrets = secrets_of(place) | set(journal.uploads)
    private = set((journal.paths.folder / "uploads").iterdir())
    assert {path.stat().st_mode & 0o777 for path in private} == {PRIVATE_MODE}
    shown = [interrupted, place.roar("journal", "show", journal.paths.id, "--json"), place.roar("journal", "list")]
    check_silent(place, shown, secrets, beside=private)

    place.destination.weather(lambda seen: None)
    resumed = place.resume(given)
    assert resumed.code == 0, resumed.err
    check_silent(place, [resumed], secrets)


def test_a_killed_put_leaves_no_secret(make_place: MakePlace) -> None:
    for moment in ("before commit of acknowledge_part", "after store POST uploads", "within a body"):
        place = signed_in(make_place, "s3")
        killed = place.put(kill_at=(moment, 1))
        assert killed.killed
        check_silent(place, [killed], secrets_of(place))


def signed_in(make_place: MakePlace, kind: str) -> Place:
    place = make_place(kind)
    if kind == "s3":
        sign_in(place, TOKEN)
    return place


def secrets_of(place: Place) -> set[str]:
    return {SECRET_KEY, TOKEN}


def check_silent(
    place: Place, answers: list[ProgramResult], secrets: Set[str], beside: Set[Path] = frozenset()
) -> None:
    """Assert that no output and no file of the state folder, the project or the store holds any of the secrets."""
    words = [form for secret in secrets for form in (secret.encode(), base64.b64encode(secret.encode()))]
    for answer in answers:
        output = (answer.out + answer.err).encode()
        assert [word for word in words if word in output] == []
    credentials = Path(place.env["HOME"]) / "credentials"
    for path in place.folder.rglob("*"):
        if path.is_file() and path != credentials and path not in beside and "outputs" not in path.parts:
            content = path.read_bytes()
            assert [word for word in words if word in content] == [], path
    output = repr(place.ask("log")).encode()
    assert [word for word in words if word in output] == []
