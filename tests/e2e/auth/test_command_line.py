"""Publishing with an identity through the real command line, to a registry that really runs, with real credentials.

The hashes are those that real roar-cli 0.4.7 reached with the same credentials.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.auth.desk import BY_BEARER, BY_KEY, BY_NOBODY, Desk, alices_desk, recorded_hash
from tests.support.auth.front import front
from tests.support.auth.openssh import PASSPHRASE, add_to_agent, make_key, running_agent


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Alice, without a credential yet."""
    with alices_desk(tmp_path) as desk:
        yield desk


def is_private_to_alice(desk: Desk, lineage_hash: str) -> None:
    """Assert that she reads the lineage, and that for anybody else there is none."""
    desk.admin("user", "add", "bob")
    assert desk.read(lineage_hash)[0] == 404
    assert desk.page(lineage_hash) == 404
    assert desk.read(lineage_hash, desk.token("bob"))[0] == 404
    status, lineage = desk.read(lineage_hash, desk.token())
    assert (status, lineage["visibility"], lineage["jobs_count"]) == (200, "private", 2)


def is_public_and_names(desk: Desk, lineage_hash: str, creator: str) -> None:
    status, lineage = desk.read(lineage_hash)
    assert (status, lineage["visibility"], lineage["creator"]) == (200, "public", creator)


@pytest.mark.parametrize("flags", [["--private"], []], ids=["private", "no flag"])
def test_a_bearer_publishes_privately_into_its_users_own_space(desk: Desk, flags: list[str]) -> None:
    desk.sign_in()
    event = desk.publish(*flags)
    assert event["hash"] == recorded_hash("bearer")
    is_private_to_alice(desk, event["hash"])


@pytest.mark.parametrize("flags", [["--private"], []], ids=["private", "no flag"])
def test_an_ssh_key_publishes_privately_into_its_users_own_space(desk: Desk, flags: list[str]) -> None:
    desk.make_key()
    event = desk.publish(*flags)
    assert event["hash"] == recorded_hash("ssh")
    is_private_to_alice(desk, event["hash"])


def test_the_registry_is_asked_about_a_key_once(desk: Desk) -> None:
    desk.make_key()
    with front(desk.url) as fore:
        desk.with_environment(GLAAS_URL=fore.url).publish("--public")
    assert len(fore.replies("/auth/me")) == 1
    assert fore.replies("/sessions?limit=1") == []


@pytest.mark.parametrize("journals", ["kept", "gone"])
def test_public_lineage_stays_public_and_a_private_request_is_refused(
    desk: Desk, tmp_path: Path, journals: str
) -> None:
    desk.sign_in()
    public = desk.publish("--public")
    if journals == "gone":
        desk = desk.with_environment(ROAR_STATE_DIR=str(tmp_path / "another-state"))
    again = desk.roar("publish", "-y", "--json", "--private")
    assert (again.code, again.last["hash"]) == (0, public["hash"])
    notes = [event["text"] for event in again.events if event["event"] == "note"]
    said = {
        "kept": "has this lineage as public",
        "gone": "does not make it private",  # the registry knows the jobs: nothing is finalized
    }[journals]
    assert any(said in note for note in notes), again.out
    assert again.last["visibility"] == "public"
    is_public_and_names(desk, public["hash"], BY_BEARER)


@pytest.mark.parametrize("journals", ["kept", "gone"])
@pytest.mark.parametrize("credential", ["bearer", "ssh"])
def test_what_was_published_privately_becomes_public_when_its_owner_says_so(
    desk: Desk, tmp_path: Path, credential: str, journals: str
) -> None:
    """With the journals the key goes by which the same session is met again."""
    if credential == "bearer":
        desk.sign_in()
    else:
        desk.make_key()
    private = desk.publish("--private")
    assert desk.read(private["hash"])[0] == 404
    if journals == "gone":
        desk = desk.with_environment(ROAR_STATE_DIR=str(tmp_path / "another-state"))
    again = desk.roar("publish", "-y", "--json", "--private")
    assert (again.code, again.last["hash"]) == (0, private["hash"])
    notes = [event["text"] for event in again.events if event["event"] == "note"]
    # Without the journals, the registry is asked about the jobs, and says that the user's binding is private.
    assert [note for note in notes if "does not make it private" in note] == notes
    assert len(notes) == (1 if journals == "kept" else 0)
    assert desk.read(private["hash"])[0] == 404
    assert desk.publish("--public")["hash"] == private["hash"]
    is_public_and_names(desk, private["hash"], BY_BEARER if credential == "bearer" else BY_KEY)
    assert desk.page(private["hash"]) == 200


@pytest.mark.parametrize("journals", ["kept", "gone"])
def test_what_is_in_a_private_project_does_not_become_public_beside_it(
    desk: Desk, tmp_path: Path, journals: str
) -> None:
    """Its project decides about it; the publish says so and changes nothing."""
    desk.admin("owner", "add", "acme")
    desk.admin("project", "add", "acme/models")
    desk.admin("project", "member", "acme/models", "alice")
    desk.sign_in()
    assert desk.roar("scope", "use", "acme/models").code == 0
    lineage_hash = desk.publish()["hash"]
    if journals == "gone":
        desk = desk.with_environment(ROAR_STATE_DIR=str(tmp_path / "another-state"))
    desk.roar("publish", "-y", "--public").blames(1, "published already, as private in a project")
    assert desk.read(lineage_hash)[0] == 404


def test_an_encrypted_key_publishes_through_its_agent(desk: Desk, tmp_path: Path) -> None:
    key = desk.make_key(passphrase=PASSPHRASE)
    desk.roar("publish", "--private").blames(4, "is locked, and no SSH agent holds it")
    with running_agent(tmp_path) as socket:
        add_to_agent(socket, key, tmp_path)
        event = desk.with_environment(SSH_AUTH_SOCK=socket).publish("--private")
    assert event["hash"] == recorded_hash("ssh")


def test_a_token_of_the_environment_publishes_and_leaves_no_file(desk: Desk) -> None:
    event = desk.with_environment(ROAR_ACCESS_TOKEN=desk.token()).publish("--private")
    assert event["hash"] == recorded_hash("bearer")
    assert not desk.auth_json.exists()
    is_private_to_alice(desk, event["hash"])


def test_public_lineage_names_its_signer(desk: Desk) -> None:
    event = desk.publish("--public")
    assert event["hash"] == recorded_hash("none")
    is_public_and_names(desk, event["hash"], BY_NOBODY)
    desk.make_key()
    event = desk.publish("--public")
    assert event["hash"] == recorded_hash("ssh")
    is_public_and_names(desk, event["hash"], BY_KEY)
    desk.sign_in()
    event = desk.publish("--public")
    assert event["hash"] == recorded_hash("bearer")
    is_public_and_names(desk, event["hash"], BY_BEARER)


def test_an_anonymous_publish_sends_no_credential(desk: Desk) -> None:
    desk.sign_in()
    desk.make_key()
    event = desk.publish("--anonymous")
    assert event["hash"] == recorded_hash("none")
    is_public_and_names(desk, event["hash"], BY_NOBODY)


@pytest.mark.parametrize("credential", ["bearer", "ssh"])
def test_a_project_that_the_repo_is_bound_to_takes_the_lineage(desk: Desk, credential: str) -> None:
    """Bound by roar-cli's own `roar scope use`, which our program hands on."""
    desk.admin("owner", "add", "acme")
    desk.admin("project", "add", "acme/models")
    desk.admin("project", "member", "acme/models", "alice")
    desk.sign_in()
    bound = desk.roar("scope", "use", "acme/models")
    assert bound.code == 0, bound.out + bound.err
    if credential == "ssh":
        desk.auth_json.unlink()
        desk.make_key()
    event = desk.publish()
    assert event["hash"] == recorded_hash(credential)
    is_private_to_alice(desk, event["hash"])
    desk.admin("project", "member", "acme/models", "bob", "--access", "read")
    assert desk.read(event["hash"], desk.token("bob"))[0] == 200


def test_a_project_that_may_only_be_read_takes_nothing_and_says_so(desk: Desk) -> None:
    desk.admin("owner", "add", "acme")
    desk.admin("project", "add", "acme/models")
    desk.admin("project", "member", "acme/models", "alice")
    desk.sign_in()
    assert desk.roar("scope", "use", "acme/models").code == 0
    desk.admin("project", "member", "acme/models", "alice", "--access", "read")
    done = desk.roar("publish", "-y")
    done.blames(done.code, "but not write to it")
    assert done.code in (1, 4)
    assert desk.read(recorded_hash("bearer"), desk.token())[0] == 404


# ---------------------------------------------------------------- what cannot continue


def test_a_dead_token_of_the_environment_does_not_make_it_anonymous(desk: Desk) -> None:
    """A publish that was to name Alice is never anonymous, not even with -y, and never Bob's, whose key is there."""
    key = desk.home / ".ssh" / "id_ed25519"
    key.parent.mkdir(mode=0o700)
    make_key(key, "ed25519")
    desk.admin("user", "add", "bob")
    desk.admin("key", "add", "bob", f"{key}.pub")
    dead = desk.with_environment(ROAR_ACCESS_TOKEN="dead")
    for flag in ("--public", "--private"):
        done = dead.roar("publish", "-y", flag)
        done.blames(4, "does not accept the token of ROAR_ACCESS_TOKEN", "set ROAR_ACCESS_TOKEN to a token")
        assert "roar login" not in done.err
    assert desk.read(recorded_hash("none"))[0] == 404
    assert desk.program.publishes == [], "nothing is kept that cannot be resumed"


@pytest.mark.parametrize("flag", ["--public", "--private"])
def test_a_named_key_that_does_not_exist_needs_the_user(desk: Desk, flag: str) -> None:
    seat = desk.with_environment(ROAR_SSH_KEY="/nonexistent")
    done = seat.roar("publish", "-y", "--json", flag)
    assert (done.code, done.last["reason"]) == (4, "ssh key")
    assert "ROAR_SSH_KEY" in done.last["next"]


def test_an_ended_sign_in_does_not_make_it_anonymous(desk: Desk) -> None:
    desk.sign_in()
    document = json.loads(desk.auth_json.read_text()) | {"refresh_token": None, "expires_at": "2020-01-01T00:00:00Z"}
    desk.auth_json.write_text(json.dumps(document))
    desk.roar("publish", "-y", "--public").blames(4, "the sign-in has", "roar login", "--anonymous")
    assert desk.publish("--anonymous")["hash"] == recorded_hash("none")


@pytest.mark.parametrize("flag", ["--private", "--public"])
def test_a_sign_in_that_the_registry_does_not_renew_gives_way_to_a_key(desk: Desk, flag: str) -> None:
    desk.make_key()
    desk.sign_in(seconds=240)
    desk.admin("token", "revoke", json.loads(desk.admin("token", "list", "--json"))[0]["id"])
    assert desk.publish(flag)["hash"] == recorded_hash("ssh")


def test_a_key_that_the_registry_gets_to_know_later_publishes_then(desk: Desk) -> None:
    key = desk.make_key()
    fingerprint = json.loads(desk.admin("key", "list", "--json"))[0]["fingerprint"]
    desk.admin("key", "remove", fingerprint)
    desk.roar("publish", "-y", "--private").blames(4, "does not accept the SSH key", fingerprint)
    desk.admin("key", "add", "alice", f"{key}.pub")
    assert desk.publish("--private")["hash"] == recorded_hash("ssh")


def test_a_sign_in_that_is_revoked_half_way_is_resumed_after_the_next_one(desk: Desk) -> None:
    desk.sign_in()
    grant = json.loads(desk.admin("token", "list", "--json"))[0]["id"]
    desk.admin("token", "revoke", grant)
    done = desk.roar("publish", "--private", "--json")
    assert (done.code, done.last["reason"]) == (4, "auth")
    assert "roar login" in done.last["next"]
    assert f"--resume {done.last['publish_id']}" in done.last["next"]
    desk.sign_in()
    event = desk.publish("--resume")
    assert (event["hash"], event["publish_id"]) == (recorded_hash("bearer"), done.last["publish_id"])


def test_a_sign_in_close_to_its_end_is_renewed_first_and_the_new_one_kept(desk: Desk) -> None:
    desk.sign_in(seconds=240)
    before = json.loads(desk.auth_json.read_text())
    desk.publish("--private")
    after = json.loads(desk.auth_json.read_text())
    assert after["access_token"] != before["access_token"]
    assert after["refresh_token"] != before["refresh_token"]
    assert after["user"] == before["user"]
    assert desk.auth_json.stat().st_mode & 0o777 == 0o600


# ---------------------------------------------------------------- what is said before


@pytest.mark.parametrize(
    ("credential", "flags", "row", "why", "identity"),
    [
        ("bearer", ["--private"], "private-flag/bearer", "the bearer token signs", BY_BEARER),
        ("bearer", [], "unset/own-bearer", "so it stays private", BY_BEARER),
        ("environment", ["--public"], "public-flag/public-bearer", "the bearer token signs", "the registry names"),
        ("ssh", ["--private"], "private-flag/ssh", "so the SSH key signs", "the registry names"),
        ("bearer", ["--anonymous"], "anonymous-flag/none-wanted/session", "no credential is used", BY_NOBODY),
    ],
)
def test_a_dry_run_shows_the_row_the_reason_and_the_identity(
    desk: Desk, credential: str, flags: list[str], row: str, why: str, identity: str
) -> None:
    seat = desk
    if credential == "bearer":
        desk.sign_in()
    elif credential == "ssh":
        desk.make_key()
    else:
        seat = desk.with_environment(ROAR_ACCESS_TOKEN=desk.token())
    shown = " ".join(seat.roar("publish", "--dry-run", *flags).out.split())
    assert row in shown
    assert why in shown
    assert f"as {identity}" in shown or identity in shown
    assert ("anonymous" in shown) is (identity == BY_NOBODY)
    routes: list[dict[str, Any]] = seat.roar("publish", "--dry-run", "--json", *flags).last["routes"]
    assert routes[0]["row"] == row
    assert why in routes[0]["why"]


def test_a_session_is_published_privately_by_the_hash_that_roar_prints(desk: Desk) -> None:
    """roar prints the hash with the key's owner in it, whatever is published."""
    desk.make_key()
    printed = desk.roar("session", "hash").out.strip()
    assert len(printed) == 64
    assert desk.publish("--private", printed)["hash"] == recorded_hash("ssh")
