"""The sign-in state: what is read of it, what a refresh changes in it, and that roar-cli reads it the same way."""

import json
from importlib import import_module

import pytest

from roar_publisher.auth.signin import Document, TokenState
from roar_publisher.state.errors import NeedsUser
from tests.support.auth.signed_in import NOW, STATE

AT_NOW = "2023-11-14T22:13:20Z"
roar_store = import_module("roar.auth_store")


def document(**changes: object) -> Document:
    return Document({**STATE, **changes})


@pytest.mark.parametrize(
    ("expires_at", "refresh_token", "offset", "state"),
    [
        pytest.param(None, None, 0, TokenState.VALID, id="its end is not known"),
        pytest.param(AT_NOW, "r", -301, TokenState.VALID, id="far from its end"),
        pytest.param(AT_NOW, "r", -300, TokenState.DUE, id="five minutes before its end"),
        pytest.param(AT_NOW, "r", 9999, TokenState.DUE, id="long after its end"),
        pytest.param(AT_NOW, None, -1, TokenState.VALID, id="no refresh token, and not ended"),
        pytest.param(AT_NOW, None, 0, TokenState.EXPIRED, id="no refresh token, and ended"),
        pytest.param("2023-11-14T22:13:20", None, 0, TokenState.EXPIRED, id="a time without a zone is UTC"),
        pytest.param("2023-11-14T23:13:20+01:00", None, -1, TokenState.VALID, id="a time of another zone"),
    ],
)
def test_token_state(expires_at: str | None, refresh_token: str | None, offset: int, state: TokenState) -> None:
    sign_in = document(expires_at=expires_at, refresh_token=refresh_token).sign_in()
    assert sign_in.token_state(NOW + offset) is state


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"access_token": None}, "access_token is missing"),
        ({"access_token": " "}, "access_token is missing"),
        ({"access_token": "two words"}, "access_token is not a token"),
        ({"access_token": "line\nbreak"}, "access_token is not a token"),
        ({"refresh_token": "ümlaut"}, "refresh_token is not a token"),
        ({"expires_at": "soon"}, "expires_at is not a time"),
        ({"user": ["someone"]}, "user is not an object"),
    ],
)
def test_an_unusable_state_names_the_field_and_the_way_out(changes: dict[str, object], what: str) -> None:
    with pytest.raises(NeedsUser) as caught:
        document(**changes).sign_in()
    assert what in caught.value.what
    assert caught.value.next_step == "run `roar login`"


def test_a_refresh_changes_the_tokens_and_keeps_every_other_field() -> None:
    old = document()
    new = old.refreshed({"access_token": "a1", "refresh_token": "r1", "expires_in": 60}, NOW)
    assert dict(new) == {**STATE, "access_token": "a1", "refresh_token": "r1", "expires_at": "2023-11-14T22:14:20Z"}
    assert dict(old) == STATE


def test_a_refresh_token_that_is_not_rotated_stays() -> None:
    assert document().refreshed({"access_token": "a1"}, NOW)["refresh_token"] == STATE["refresh_token"]


def test_a_rotated_refresh_token_is_kept_even_without_an_access_token() -> None:
    new = document().refreshed({"refresh_token": "r1", "expires_in": 60}, NOW)
    assert (new["access_token"], new["refresh_token"]) == (STATE["access_token"], "r1")
    assert new["expires_at"] == STATE["expires_at"]


@pytest.mark.parametrize(
    ("lifetime", "expires_at"),
    [
        ({"expires_in": 3600}, "2023-11-14T23:13:20Z"),
        ({"expires_in": "3600.5"}, "2023-11-14T23:13:20Z"),
        ({"expires_at": "2023-11-15T00:00:00+01:00"}, "2023-11-14T23:00:00Z"),
        ({"expires_in": -5, "expires_at": AT_NOW}, AT_NOW),
        ({}, None),
        ({"expires_in": "NaN"}, None),
        ({"expires_in": 1e300}, None),
        ({"expires_in": [], "expires_at": "soon"}, None),
        ({"expires_at": "9999-12-31T23:59:59.9999999Z"}, None),
        ({"expires_at": "0001-01-01T00:00:00+01:00"}, None),
    ],
)
def test_the_end_of_the_new_token_is_counted_or_left_open(lifetime: dict[str, object], expires_at: str | None) -> None:
    assert document().refreshed({"access_token": "a1", **lifetime}, NOW)["expires_at"] == expires_at


@pytest.mark.parametrize("token", [None, "", 7, {"a": 1}, ["a"], "two words", "line\nbreak"])
def test_an_invalid_token_never_replaces_a_valid_one(token: object) -> None:
    assert dict(document().refreshed({"access_token": token, "refresh_token": token}, NOW)) == STATE


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000])
def test_only_a_json_object_is_a_document(content: bytes) -> None:
    assert Document.parse(content) is None


def test_roar_cli_reads_what_we_write() -> None:
    new = document().refreshed({"access_token": "a1", "refresh_token": "r1", "expires_in": 60}, NOW)
    theirs = roar_store.auth_state_from_dict(json.loads(new.serialised().reveal()))
    ours = new.sign_in()
    assert (theirs.access_token, theirs.refresh_token) == ("a1", "r1")
    assert (theirs.provider, theirs.user.sub, theirs.user.db_user_id) == (ours.provider, ours.sub, ours.db_user_id)
    assert roar_store.parse_auth_state_expiry(theirs.expires_at).timestamp() == ours.expires_at == NOW + 60
