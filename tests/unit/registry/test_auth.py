"""Who is asking: signatures of every kind of key, their window and their one use; bearers and how they are renewed."""

import shutil
from base64 import b64encode
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from pathlib import Path

import asyncssh
import httpx2
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from roar_publisher.glaas.signature import authorization, fingerprint, framed, signing_payload, sshsig
from roar_publisher.registry.accounts import grants, public_keys
from roar_publisher.registry.accounts.grants import ACCESS_LIFETIME, REFRESH_LIFETIME
from roar_publisher.registry.accounts.signatures import WINDOW
from roar_publisher.registry.store import keys, sign_ins
from roar_publisher.registry.store import users as accounts
from roar_publisher.registry.store.errors import NotFound
from roar_publisher.registry.store.users import Accounts
from tests.support.auth.fake_agent import SoftwareSecurityKey
from tests.support.auth.openssh import KEY_TYPES, make_key, public_blob, ssh_keygen_signs
from tests.support.registry.harness import Json, Registry, job, refused, succeeded
from tests.support.registry.people import Bearer, Ssh, add_person
from tests.support.registry.processes import PATIENCE, served

pytestmark = pytest.mark.anyio

ME = "/api/v1/auth/me"
PROBE = "/api/v1/sessions?limit=1"


async def me(registry: Registry, header: str) -> Json:
    body: Json = succeeded(await registry.client.get(ME, headers={"Authorization": header}))["data"]
    return body


async def test_a_person_has_one_id_and_an_identity_by_credential(registry: Registry) -> None:
    alice = registry.person("alice", sub="sub-alice", user_id="u-ssh")
    by_bearer, by_key = await me(registry, alice.bearer), await me(registry, alice.signed("GET", ME))
    assert by_bearer["creatorIdentity"] == "treqs:user:sub-alice"
    assert by_key["creatorIdentity"] == "glaas:user:u-ssh"
    assert by_bearer["user"] == by_key["user"] == {"id": "u-ssh", "username": "alice", "email": "alice@example.org"}


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="OpenSSH is the judge here")
@pytest.mark.parametrize("kind", KEY_TYPES)
async def test_signatures_of_ssh_keygen_are_accepted(registry: Registry, tmp_path: Path, kind: str) -> None:
    private = make_key(tmp_path / "key", kind)
    store = registry.store.accounts
    store.write(accounts.add_user, "alice")
    key = public_keys.parse_key((tmp_path / "key.pub").read_text())
    store.write(keys.add_key, "alice", key)
    ts = int(registry.clock())
    blob = ssh_keygen_signs(private, signing_payload(ts, "GET", ME, None))
    assert key.public.endswith(public_line_of(private))
    assert (await me(registry, authorization(key.fingerprint, ts, blob)))["user"]["username"] == "alice"


async def test_a_security_key_is_accepted_with_its_counter_and_the_touch(registry: Registry) -> None:
    token = SoftwareSecurityKey()
    store = registry.store.accounts
    store.write(accounts.add_user, "alice")
    line = f"sk-ssh-ed25519@openssh.com {b64encode(token.public).decode()}"
    store.write(keys.add_key, "alice", public_keys.parse_key(line))
    ts = int(registry.clock())
    signature = token.sign(framed(signing_payload(ts, "GET", ME, None)))
    header = authorization(fingerprint(token.public), ts, sshsig(token.public, signature))
    assert (await me(registry, header))["user"]["username"] == "alice"
    other = authorization(fingerprint(token.public), ts + 1, sshsig(token.public, signature))
    refused(await registry.client.get(ME, headers={"Authorization": other}), 401)


def public_line_of(private: Path) -> str:
    return b64encode(public_blob(private)).decode()


@pytest.mark.parametrize("off", [-WINDOW, 0, WINDOW])
async def test_a_signature_is_good_within_its_window(registry: Registry, off: int) -> None:
    alice = registry.person("alice")
    header = alice.signed("GET", PROBE, ts=registry.clock() + off)
    assert succeeded(await registry.client.get(PROBE, headers={"Authorization": header})) == {"sessions": []}


@pytest.mark.parametrize(("off", "words"), [(-WINDOW - 1, "301 s behind"), (7200, "7200 s ahead of")])
async def test_a_wrong_clock_is_reported_with_its_offset(registry: Registry, off: int, words: str) -> None:
    header = registry.person("alice").signed("GET", PROBE, ts=registry.clock() + off)
    response = await registry.client.get(PROBE, headers={"Authorization": header})
    assert words in refused(response, 401)
    assert parsedate_to_datetime(response.headers["date"]).timestamp() == registry.clock()


async def test_every_reply_has_one_date(registry: Registry) -> None:
    for path in ("/api/v1/health", "/api/v1/nowhere", "/", ME):
        assert len((await registry.client.get(path)).headers.get_list("date")) == 1


async def test_equal_requests_of_one_second_are_both_answered(registry: Registry) -> None:
    """Most keys sign the same request in the same second with the same bytes: several processes share one key."""
    alice = registry.person("alice")
    for method, path in (("GET", ME), ("GET", PROBE), ("POST", "/api/v1/registration-sessions")):
        header = {"Authorization": alice.signed(method, path)}
        first, second = [await registry.client.request(method, path, headers=header) for _ in range(2)]
        assert (first.is_success, second.is_success) == (True, True), path
        if method == "POST":
            ids = {reply.json()["registration_session_id"] for reply in (first, second)}
            assert len(ids) == 2, "each process stages into a session of its own"


@pytest.mark.parametrize("late", [WINDOW + 1, 288 * WINDOW])
async def test_a_body_that_takes_its_time_does_not_prolong_a_signature(registry: Registry, late: int) -> None:
    alice = registry.person("alice")
    path, body = "/api/v1/registration-sessions", b'{"client_session_id": "x"}'
    header = {"Authorization": alice.signed("POST", path, body)}
    assert succeeded(await registry.client.post(path, content=body, headers=header))["created"]

    async def slowly() -> AsyncIterator[bytes]:
        yield body[:3]
        registry.clock.now += late
        assert (await me(registry, alice.signed("GET", ME)))["user"]["id"] == alice.user.id
        yield body[3:]

    refused(await registry.client.post(path, content=slowly(), headers=header), 401)


async def test_a_signed_body_past_the_limit_is_not_read_to_check_it(registry: Registry) -> None:
    alice = registry.person("alice")
    path, body = "/api/v1/registration-sessions", b'{"client_session_id": "' + b"x" * 200_000 + b'"}'
    header = alice.signed("POST", path, body)
    refused(await registry.client.post(path, content=body, headers={"Authorization": header}), 413)


async def test_a_certificate_in_the_place_of_the_key_is_not_accepted(registry: Registry) -> None:
    alice = registry.person("alice")
    certificate = asyncssh.generate_private_key("ssh-ed25519").generate_user_certificate(alice.key, "alice")
    ts = int(registry.clock())
    signed = asyncssh.create_sshsig(
        (alice.key, certificate), signing_payload(ts, "GET", ME, None), namespace="glaas", raw=True
    )
    for keyid in (alice.keyid, fingerprint(certificate.public_data)):
        header = {"Authorization": authorization(keyid, ts, signed)}
        refused(await registry.client.get(ME, headers=header), 401)


async def test_below_a_prefix_clients_sign_the_path_without_it(registry: Registry) -> None:
    alice = registry.person("alice")
    below = Starlette(routes=[Mount("/base", registry.app)])
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(below), base_url="http://host/base") as client:
        header = {"Authorization": alice.signed("GET", PROBE)}
        assert succeeded(await client.get(PROBE, headers=header)) == {"sessions": []}


def test_a_served_reply_has_one_date(tmp_path: Path) -> None:
    with served(tmp_path) as url:
        assert len(httpx2.get(f"{url}/api/v1/health", timeout=PATIENCE).headers.get_list("date")) == 1


async def refresh(registry: Registry, token: str) -> httpx2.Response:
    body = {"refresh_token": token, "client_id": "roar-cli"}
    return await registry.client.post("/api/v1/auth/refresh", json=body)


async def test_a_refresh_replaces_the_refresh_token(registry: Registry) -> None:
    alice = registry.person("alice")
    new = succeeded(await refresh(registry, alice.tokens.refresh_token))
    assert new["expires_in"] == ACCESS_LIFETIME
    assert (await me(registry, f"Bearer {new['access_token']}"))["user"]["username"] == "alice"
    newer = succeeded(await refresh(registry, new["refresh_token"]))
    assert len({alice.tokens.refresh_token, new["refresh_token"], newer["refresh_token"]}) == 3
    assert (await me(registry, alice.bearer))["user"]["username"] == "alice", "requests under way carry the old one"


async def test_tokens_end(registry: Registry) -> None:
    alice = registry.person("alice")
    registry.clock.now += ACCESS_LIFETIME
    refused(await registry.client.get(ME, auth=Bearer(alice)), 401)
    registry.clock.now += REFRESH_LIFETIME
    refused(await refresh(registry, alice.tokens.refresh_token), 401)


@pytest.mark.parametrize("body", [{}, {"refresh_token": ""}, {"refresh_token": 1}, {"refresh_token": "a\0b"}])
async def test_a_refresh_without_a_token_is_422(registry: Registry, body: Json) -> None:
    refused(await registry.client.post("/api/v1/auth/refresh", json=body), 422)


async def test_revoking_ends_access_and_refresh(registry: Registry) -> None:
    alice = registry.person("alice")
    registry.store.accounts.write(sign_ins.revoke, alice.tokens.grant_id)
    refused(await registry.client.get(ME, auth=Bearer(alice)), 401)
    refused(await refresh(registry, alice.tokens.refresh_token), 401)
    with pytest.raises(NotFound):
        registry.store.accounts.write(sign_ins.revoke, alice.tokens.grant_id)


async def logout(registry: Registry, header: str | None) -> httpx2.Response:
    headers = {} if header is None else {"Authorization": header}
    return await registry.client.post("/api/v1/auth/logout", headers=headers)


async def test_a_logout_ends_only_this_sign_in(registry: Registry) -> None:
    alice = registry.person("alice")
    _, elsewhere = registry.store.accounts.write(grants.issue, "alice", now=registry.clock())
    assert succeeded(await logout(registry, alice.bearer))["success"] is True
    refused(await registry.client.get(ME, auth=Bearer(alice)), 401)
    refused(await refresh(registry, alice.tokens.refresh_token), 401)
    assert (await me(registry, f"Bearer {elsewhere.access_token}"))["user"]["username"] == "alice"
    assert "no sign-in" in refused(await logout(registry, alice.bearer), 401)


async def test_a_logout_with_an_expired_bearer_ends_the_refresh_token(registry: Registry) -> None:
    alice = registry.person("alice")
    registry.clock.now += ACCESS_LIFETIME
    succeeded(await logout(registry, alice.bearer))
    refused(await refresh(registry, alice.tokens.refresh_token), 401)


async def test_a_logout_with_an_expired_bearer_works_after_others_have_signed_in(registry: Registry) -> None:
    """What others do deletes expired tokens, but each sign-in keeps its last one."""
    alice, _ = registry.person("alice"), registry.person("bob")
    registry.clock.now += ACCESS_LIFETIME
    tokens = succeeded(await refresh(registry, alice.tokens.refresh_token))
    registry.clock.now += ACCESS_LIFETIME
    registry.store.accounts.write(grants.issue, "bob", now=registry.clock())
    assert "no sign-in" in refused(await logout(registry, alice.bearer), 401)
    succeeded(await logout(registry, f"Bearer {tokens['access_token']}"))
    refused(await refresh(registry, tokens["refresh_token"]), 401)


async def test_a_logout_without_a_bearer_ends_nothing(registry: Registry) -> None:
    alice = registry.person("alice")
    signed = alice.signed("POST", "/api/v1/auth/logout")
    for header in (None, signed, "Bearer", "Bearer unknown", f"Bearer {alice.tokens.refresh_token}"):
        refused(await logout(registry, header), 401)
    assert (await me(registry, alice.bearer))["user"]["username"] == "alice"


async def test_a_removed_user_and_a_removed_key_are_out(registry: Registry) -> None:
    alice, bob = registry.person("alice"), registry.person("bob")
    registry.store.accounts.write(accounts.remove_user, "alice")
    registry.store.accounts.write(keys.remove_key, bob.keyid)
    for auth in (Bearer(alice), Ssh(alice), Ssh(bob)):
        refused(await registry.client.get(PROBE, auth=auth), 401)
    succeeded(await registry.client.get(PROBE, auth=Bearer(bob)))


async def test_a_session_may_change_the_credential_of_its_owner_and_keeps_the_identity(registry: Registry) -> None:
    alice = registry.person("alice")
    session = await registry.open("mine", auth=Bearer(alice))
    await session.add_jobs(job(1))
    session.auth = Ssh(alice)
    assert "registration_session_token" not in session.opened
    receipt = await session.finalize()
    lineage = await registry.lineage(receipt["hash"])
    assert lineage["creator"] == f"treqs:user:{alice.user.sub}"


async def test_two_users_may_name_their_sessions_alike(registry: Registry) -> None:
    alice, bob = registry.person("alice"), registry.person("bob")
    hers, his = await registry.open("mine", auth=Bearer(alice)), await registry.open("mine", auth=Bearer(bob))
    assert hers.root != his.root
    assert (await registry.open("mine", auth=Ssh(alice))).root == hers.root


def test_no_token_is_in_the_files_and_no_repr_shows_one(tmp_path: Path) -> None:
    store = Accounts.open(tmp_path)
    alice = add_person(store, "alice", lambda: 0.0)
    store.close()
    secrets = [alice.tokens.access_token, alice.tokens.refresh_token]
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert not [secret for secret in secrets if secret.encode() in content or secret in repr(alice.tokens)]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not one line"),
        ("one two\nthree four", "not one line"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY-----", "not one line"),
        ("ssh-dss AAAA", "kind of key"),
        ("ssh-ed25519-cert-v01@openssh.com AAAA", "kind of key"),
        ("ssh-ed25519 ####", "damaged"),
        ("ssh-ed25519 AAAA", "damaged"),
        ('command="x" ssh-ed25519 AAAA', "kind of key"),
    ],
)
def test_an_invalid_public_key_is_refused(text: str, why: str) -> None:
    with pytest.raises(public_keys.InvalidKey, match=why):
        public_keys.parse_key(text)


def test_a_short_rsa_key_is_not_taken(tmp_path: Path) -> None:
    import asyncssh

    short = asyncssh.generate_private_key("ssh-rsa", key_size=1024).export_public_key().decode()
    with pytest.raises(public_keys.InvalidKey, match="1024 bits"):
        public_keys.parse_key(short)
