"""What may be sent to a registry, by who named its address and who issued the sign-in."""

import json
from pathlib import Path

import pytest

from roar_publisher.auth.secret import Secret
from roar_publisher.auth.send_policy import SendPolicy
from roar_publisher.auth.signin import SignIn
from roar_publisher.auth.trust import Issuer, Trust, TrustStore
from roar_publisher.lineage.config import DEFAULT_REGISTRY
from roar_publisher.state.errors import Conclusion, LocalProblem, NeedsUser
from tests.support.send_policies import policy_for

OWN, THEIRS = "https://own.example", "https://theirs.example"
NOW = 1_700_000_000.0


def known(home: Path) -> TrustStore:
    return TrustStore(home / ".config" / "roar" / "registries.json")


def policy(home: Path, registry: str, *, named_by_user: bool = False, configured: str = OWN) -> SendPolicy:
    return policy_for(registry, home=home, named_by_user=named_by_user, configured=configured)


def sign_in(issuer: str = "", *, token: str = "t", provider: str = "treqs-device", sub: str = "alice") -> SignIn:
    return SignIn(Secret(token), provider=provider, sub=sub, issuer=issuer)


@pytest.mark.parametrize(
    ("registry", "named_by_user", "accepted"),
    [
        (THEIRS, False, False),
        ("http://127.0.0.1:8123", False, False),
        ("http://localhost:8123", False, False),
        (THEIRS, True, True),
        (OWN, False, True),
        (f"{OWN}/another/path", False, True),
        (f"{OWN}:8443", False, False),
        ("http://own.example", False, False),
        (DEFAULT_REGISTRY, False, True),
    ],
)
def test_a_registry_is_accepted_by_its_origin(
    tmp_path: Path, registry: str, named_by_user: bool, accepted: bool
) -> None:
    asked = policy(tmp_path, registry, named_by_user=named_by_user)
    assert asked.accepted is accepted
    assert (asked.why_token_denied() is None) is (accepted and registry != DEFAULT_REGISTRY)
    if not accepted:
        with pytest.raises(NeedsUser, match=asked.origin) as caught:
            asked.check("0badcafe")
        assert caught.value.conclusion is Conclusion.NEEDS_USER
        assert f"roar registry trust {asked.origin}" in caught.value.next_step
        assert "--resume 0badcafe" in caught.value.next_step


def test_a_token_goes_to_the_default_only_if_the_user_names_it(tmp_path: Path) -> None:
    """It may be for another registry, whose address a project replaces, or a pipeline lacks."""
    assert policy(tmp_path, DEFAULT_REGISTRY).why_token_denied() is not None
    denied = policy(tmp_path, DEFAULT_REGISTRY, configured=DEFAULT_REGISTRY).why_token_denied()
    assert denied is not None
    assert f"--registry {DEFAULT_REGISTRY}" in denied.remedy
    assert policy(tmp_path, DEFAULT_REGISTRY, named_by_user=True).why_token_denied() is None


def test_a_question_that_was_answered_lets_no_token_of_the_environment_through(tmp_path: Path) -> None:
    known(tmp_path).accept(THEIRS, NOW)
    assert policy(tmp_path, THEIRS).accepted
    assert policy(tmp_path, THEIRS).why_token_denied() is not None


@pytest.mark.parametrize(
    ("issuer", "provider", "configured", "home"),
    [
        ("", "treqs-device", OWN, OWN),
        ("", "treqs-device", DEFAULT_REGISTRY, DEFAULT_REGISTRY),
        (OWN, "treqs-device", DEFAULT_REGISTRY, OWN),
        ("https://OWN.example:443/", "treqs-device", DEFAULT_REGISTRY, OWN),
        (THEIRS, "treqs-device", OWN, THEIRS),
        ("dev-local-auth", "treqs-dev", OWN, OWN),
        ("https://user@own.example", "treqs-device", DEFAULT_REGISTRY, DEFAULT_REGISTRY),
        # The identity service behind the public registry's bearers is no registry.
        ("https://identity.example", "treqs-device", DEFAULT_REGISTRY, DEFAULT_REGISTRY),
        ("https://identity.example", "another", DEFAULT_REGISTRY, "https://identity.example"),
        ("https://identity.example", "treqs-device", OWN, "https://identity.example"),
    ],
)
def test_a_sign_in_belongs_to_one_origin_whichever_asks(
    tmp_path: Path, issuer: str, provider: str, configured: str, home: str
) -> None:
    known(tmp_path).accept(OWN, NOW)
    held = sign_in(issuer, provider=provider)
    for registry in (OWN, DEFAULT_REGISTRY, "https://third.example"):
        denied = policy(tmp_path, registry, named_by_user=True, configured=configured).why_sign_in_denied(held)
        assert (denied is None) is (registry == home)
        assert denied is None or home in denied.why


def test_a_recorded_issuer_takes_precedence(tmp_path: Path) -> None:
    policy(tmp_path, OWN).record_issuer(sign_in())
    elsewhere = policy(tmp_path, THEIRS, named_by_user=True, configured=THEIRS)
    assert elsewhere.issuer_of(sign_in(token="refreshed")) == OWN
    assert elsewhere.issuer_of(sign_in(sub="bob")) == THEIRS, "another user has signed in since"
    assert elsewhere.issuer_of(sign_in(issuer=THEIRS)) == THEIRS, "another registry has signed her in since"


def test_a_record_holds_nothing_of_the_sign_in(tmp_path: Path) -> None:
    policy(tmp_path, OWN).record_issuer(sign_in("https://issuer.example", token="canary-token", sub=""))
    text = known(tmp_path).path.read_text()
    assert "canary" not in text
    assert "issuer.example" not in text
    assert known(tmp_path).path.stat().st_mode & 0o777 == 0o600


def test_origins_are_accepted_and_forgotten(tmp_path: Path) -> None:
    registries = known(tmp_path)
    assert registries.read() == Trust()
    assert registries.accept(OWN, NOW)
    assert not registries.accept(OWN, NOW + 1)
    registries.record_issuer(Issuer(OWN, "mark"))
    assert registries.accept(THEIRS, NOW)
    assert registries.read() == Trust(
        {OWN: "2023-11-14T22:13:20Z", THEIRS: "2023-11-14T22:13:20Z"}, Issuer(OWN, "mark")
    )
    assert registries.revoke(OWN)
    assert registries.read() == Trust({THEIRS: "2023-11-14T22:13:20Z"})
    assert not registries.revoke(OWN)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{",
        b'{"version": 2}',
        b'{"version": 1, "accepted": ["https://theirs.example"]}',
        b'{"version": 1, "accepted": {}, "sign_in": {"origin": 1, "of": "x"}}',
        b"[" * 100_000,
        b" " * 2_000_000,
    ],
    ids=["empty", "list", "cut", "newer", "accepted", "sign-in", "nested", "large"],
)
def test_an_invalid_file_accepts_nothing(tmp_path: Path, content: bytes) -> None:
    path = known(tmp_path).path
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(LocalProblem, match="trust"):
        _ = policy(tmp_path, THEIRS).accepted


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_change_accepts_nothing(tmp_path: Path, mode: int) -> None:
    path = known(tmp_path).path
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"version": 1, "accepted": {THEIRS: "2026-01-01T00:00:00Z"}}))
    path.chmod(mode)
    with pytest.raises(LocalProblem, match="another user can change it"):
        _ = policy(tmp_path, THEIRS).accepted


def test_a_linked_file_stays_a_link_so_that_what_is_removed_there_is_not_trusted(tmp_path: Path) -> None:
    store, real = known(tmp_path), tmp_path / "repository" / "registries.json"
    store.accept(OWN, NOW)
    real.parent.mkdir()
    before = store.path.rename(real).read_bytes()
    store.path.symlink_to(real)
    store.accept(THEIRS, NOW)
    assert store.path.is_symlink()
    real.write_bytes(before)
    assert list(store.read().accepted) == [OWN]
