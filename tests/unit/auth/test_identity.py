"""The name of who publishes, in the words of the lineage hash."""

from importlib import import_module

import pytest

from roar_publisher.auth import identity
from roar_publisher.auth.secret import Secret
from roar_publisher.auth.signin import SignIn

roar_auth = import_module("roar.publish_auth")
TOKEN = Secret("canary-access-0")


@pytest.mark.parametrize(
    ("provider", "sub", "db_user_id", "name"),
    [
        ("treqs", "s1", "d1", "treqs:user:s1"),
        ("TReqs-device", "s1", "", "treqs:user:s1"),
        ("treqs", "", "d1", "glaas:user:d1"),
        ("other", "s1", "d1", "glaas:user:d1"),
    ],
)
def test_a_sign_in_names_its_user_as_roar_cli_does(provider: str, sub: str, db_user_id: str, name: str) -> None:
    theirs = roar_auth.PublishAuthContext("t", None, auth_provider=provider, user_sub=sub, db_user_id=db_user_id)
    sign_in = SignIn(TOKEN, provider=provider, sub=sub, db_user_id=db_user_id)
    assert identity.identity_of_sign_in(sign_in) == roar_auth.resolve_publish_creator_identity(theirs) == name


@pytest.mark.parametrize(("provider", "sub"), [("", ""), ("other", "s1"), ("treqs", "s\ud800"), ("treqs", "s" * 300)])
def test_a_sign_in_without_an_identity_leaves_it_to_the_server(provider: str, sub: str) -> None:
    assert identity.identity_of_sign_in(SignIn(TOKEN, provider=provider, sub=sub)) is None


@pytest.mark.parametrize(
    ("me", "name"),
    [
        ({"user": {"id": "d1"}, "creatorIdentity": "glaas:user:d1"}, "glaas:user:d1"),
        ({"user": {"id": "d1"}, "creatorIdentity": "treqs:user:s1"}, "treqs:user:s1"),
        ({"user": {"id": "d1"}, "creator_identity": " treqs:user:s1 "}, "treqs:user:s1"),
        ({"user": {"id": 7}}, "glaas:user:7"),
        ({"user": {"id": " "}}, None),
        ({"creatorIdentity": "glaas:user:\ud800"}, None),
        ({"creatorIdentity": "glaas:user:\x1b]0;x\x07"}, None),
        ({"creatorIdentity": "glaas:user:" + "x" * 100_000}, None),
        ({"creatorIdentity": ["glaas:user:d1"]}, None),
        ({"user": {"id": "d\n1"}}, None),
        ({"user": {"id": {"id": "d1"}}}, None),
        ({"user": "d1"}, None),
        ({}, None),
    ],
)
def test_the_server_names_its_user(me: dict[str, object], name: str | None) -> None:
    assert identity.identity_of_me(me) == name
