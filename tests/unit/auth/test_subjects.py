"""The answer to a refresh that names another user is discarded."""

import json
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest

from roar_publisher.auth.bearer_store import RefreshRefused
from roar_publisher.auth.secret import Secret
from roar_publisher.auth.signin import Document
from roar_publisher.auth.subjects import names_different_user
from tests.support.auth.signed_in import ACCESS, NOW, STATE, auth_json, store


def jwt(**claims: object) -> str:
    payload = urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{payload}.c2ln"


ATTACKS: dict[str, dict[str, object]] = {
    "user": {"user": {"sub": "the-attacker"}},
    "user's id": {"user": {"sub": "user-1", "id": "the-attackers"}},
    "access context": {"access_context": {"user": {"sub": "the-attacker"}}},
    "subject": {"sub": "the-attacker"},
    "access token": {"access_token": jwt(sub="the-attacker")},
    "id token": {"id_token": jwt(sub="the-attacker")},
    "one of two": {"id_token": jwt(sub="user-1"), "user": {"sub": "the-attacker"}},
}
HONEST: dict[str, dict[str, object]] = {
    "nobody": {},
    "the user": {"user": {"sub": "user-1", "id": "db-1"}},
    "tokens": {"access_token": jwt(sub="user-1"), "id_token": jwt(sub="user-1")},
    "no token": {"access_token": "a.b.c", "id_token": "a.W10.c"},
    "odd shapes": {"user": [], "access_context": {"user": 3}, "sub": None},
}


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.anyio
async def test_an_answer_for_another_user_never_replaces_the_sign_in(tmp_path: Path, attack: str) -> None:
    bearer = store(tmp_path)
    before = auth_json(tmp_path).read_bytes()

    async def hostile(body: Document) -> dict[str, object]:
        return {"access_token": "the-attackers", "refresh_token": "the-attackers", "expires_in": 60} | ATTACKS[attack]

    outcome = await bearer.refresh(hostile, Secret(ACCESS), NOW)
    assert isinstance(outcome, RefreshRefused)
    assert "another user" in outcome.why
    assert auth_json(tmp_path).read_bytes() == before


@pytest.mark.parametrize("case", HONEST)
def test_an_answer_for_the_same_user_is_taken(case: str) -> None:
    assert not names_different_user(STATE, HONEST[case])


def test_a_subject_that_the_old_token_named_is_the_same_user() -> None:
    assert not names_different_user(
        STATE | {"access_token": jwt(sub="other-form")}, {"access_token": jwt(sub="other-form")}
    )


@pytest.mark.anyio
async def test_an_answer_does_not_change_who_issued_the_sign_in(tmp_path: Path) -> None:
    bearer = store(tmp_path)

    async def hostile(body: Document) -> dict[str, object]:
        return {"access_token": "new", "issuer": "https://theirs.example", "provider": "theirs", "client_id": "x"}

    await bearer.refresh(hostile, Secret(ACCESS), NOW)
    kept = json.loads((tmp_path / "roar" / "auth.json").read_text())
    assert kept["access_token"] == "new"
    assert [kept[name] for name in ("issuer", "provider", "client_id")] == [
        STATE[name] for name in ("issuer", "provider", "client_id")
    ]
