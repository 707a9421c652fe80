"""The remote uids of a lineage are roar-cli's in every case of `auth-cases.json`, whichever client publishes first.

roar-cli derives them from the hash that its publish would have, and finds the jobs again by them: what we publish under
others, its `label sync` does not find.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from roar_publisher.auth.choice import Capabilities, Decision, Flag, HeldCredentials, Key, Probe
from roar_publisher.auth.decide import decide, lineage_names_owner
from roar_publisher.auth.scope import RepoScope
from tests.support.auth.desk import BY_BEARER, BY_KEY, BY_NOBODY, SUB, Desk, alices_desk
from tests.support.auth.front import Front, Seen, front
from tests.support.cli.roar_cli import run_roar_cli
from tests.support.sampling import EXHAUSTIVE
from tests.unit.auth.test_recorded_cases import CASES, CONFIGS, Case, name

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="roar-cli signs with ssh-keygen")
SAMPLE = {"ssh-unset--private", "ssh-project-private-no-flag"}
"""What real programs publish by default: the cases whose uids differed."""
TIMEOUT_SECONDS = 120
STAGES = Capabilities(anonymous_public=True, server_hash=True)
PUBLISHING = [case for case in CASES if case["exit_code"] == 0]
SAME_FOR_BOTH = [case for case in PUBLISHING if "we_differ" not in case]

ROAR_CLI_NAMES = """
import io, json, os, sys, urllib.request
from pathlib import Path
from roar.cli.publish_intent import resolve_publish_intent
from roar import publish_auth as auth

def owner(request, timeout):
    return io.BytesIO(json.dumps({"data": {"creatorIdentity": sys.argv[2]}}).encode())

urllib.request.urlopen = owner
for case in json.loads(sys.argv[1]):
    os.environ["HOME"] = case["home"]
    os.chdir(case["repo"])
    public = {"--public": True, "--private": False}.get(case["flag"])
    intent = resolve_publish_intent(public, case["flag"] == "--anonymous", start_dir=case["repo"])
    auth.set_requested_publish_visibility(public)
    context = auth.load_publish_auth_context(
        case["repo"], allow_public_without_binding=intent.public, force_anonymous=intent.anonymous
    )
    print(auth.resolve_publish_creator_identity(context))
"""
"""Asks roar-cli's own modules whom the hash names that the uids follow from."""


def toml(config: dict[str, object]) -> str:
    """The tables of a configuration as a file has them."""
    lines = []
    for table, values in config.items():
        assert isinstance(values, dict)
        lines += [f"[{table}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    return "\n".join(lines) + "\n"


def homes(folder: Path) -> dict[str, Path]:
    """A home without a credential, one with a sign-in, and one with a key."""
    found = {credential: folder / credential for credential in ("none", "bearer", "ssh")}
    for home in found.values():
        home.mkdir()
    auth_json = found["bearer"] / ".config" / "roar" / "auth.json"
    auth_json.parent.mkdir(parents=True)
    state = {"version": 1, "provider": "treqs", "issuer": "i", "client_id": "roar-cli", "access_token": "t"}
    auth_json.write_text(json.dumps(state | {"user": {"sub": SUB, "db_user_id": "u", "email": "e", "username": "n"}}))
    (found["ssh"] / ".ssh").mkdir()
    key = found["ssh"] / ".ssh" / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    return found


def ours(case: Case) -> str:
    """Whom the hash names that our uids follow from."""
    held = {
        "none": HeldCredentials(bearer=False),
        "bearer": HeldCredentials(bearer=True),
        "ssh": HeldCredentials(bearer=False, key=Key.USUAL),
    }[case["credential"]]
    flag, scope = Flag(case["flag"] or ""), RepoScope.from_config(CONFIGS[case["scope"]])
    decision = decide(flag, scope, held, STAGES, Probe.ACCEPTED).decision
    by_key = BY_KEY if lineage_names_owner(flag, scope) else BY_NOBODY
    return {Decision.BEARER: BY_BEARER, Decision.SSH: by_key}.get(decision, BY_NOBODY)


def test_the_uids_follow_from_the_same_hash_in_every_case(tmp_path: Path) -> None:
    home = homes(tmp_path)
    asked = []
    for scope, config in CONFIGS.items():
        repo = tmp_path / f"repo-{scope}"
        (repo / ".roar").mkdir(parents=True)
        (repo / ".roar" / "config.toml").write_text(toml(config))
    for case in PUBLISHING:
        repo = tmp_path / f"repo-{case['scope']}"
        asked.append({"home": str(home[case["credential"]]), "repo": str(repo), "flag": case["flag"]})
    done = subprocess.run(
        [sys.executable, "-c", ROAR_CLI_NAMES, json.dumps(asked), BY_KEY],
        env={"PATH": os.environ["PATH"], "GLAAS_URL": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    theirs = dict(zip(map(name, PUBLISHING), done.stdout.split(), strict=True))
    assert {name(case): ours(case) for case in PUBLISHING} == theirs
    assert set(theirs.values()) == {BY_BEARER, BY_KEY, BY_NOBODY}


# ---------------------------------------------------------------- the real programs, on one registry


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with alices_desk(tmp_path) as desk:
        yield desk


def roar_cli(desk: Desk, *arguments: str) -> None:
    run_roar_cli(*arguments, cwd=desk.program.cwd, env=desk.program.env | {"DO_NOT_TRACK": "1"}).output()


def prepared(desk: Desk, case: Case) -> None:
    """Give Alice the case's credential, and her repo its scope."""
    if case["credential"] == "bearer":
        desk.sign_in()
    if case["credential"] == "ssh":
        desk.make_key()
    config = CONFIGS[case["scope"]]
    if "treqs" in config:
        visibility = "public" if case["scope"] == "project-public" else "private"
        desk.admin("owner", "add", "acme")
        desk.admin("project", "add", "acme/models", "--visibility", visibility)
        desk.admin("project", "member", "acme/models", "alice")
        (owner,) = json.loads(desk.admin("owner", "list", "--json"))
        (project,) = json.loads(desk.admin("project", "list", "--json"))
        binding = config["treqs"]
        assert isinstance(binding, dict)
        config = config | {"treqs": binding | {"owner_id": owner["id"], "project_id": project["id"]}}
    file = desk.program.cwd / ".roar" / "config.toml"
    before = file.read_text() if file.exists() else ""
    file.write_text(f"{before}\n{toml(config)}")


def uids(seen: list[Seen]) -> set[str]:
    """The uids of every job that was sent."""
    bodies = [json.loads(one.body) for one in seen if one.path.endswith("/jobs/batch")]
    return {job["job_uid"] for body in bodies for job in body["jobs"]}


def published_by(client: str, desk: Desk, fore: Front, case: Case) -> set[str]:
    """Publish, then sync a label of each job as roar-cli does; the uids that were sent."""
    flags = [case["flag"]] if case["flag"] else []
    sent = len(fore.seen)
    if client == "ours":
        desk.publish(*flags)
    else:
        roar_cli(desk, "register", "-y", *flags)
    found = uids(fore.seen[sent:])
    if case["credential"] != "none":
        for step in ("@1", "@2"):
            roar_cli(desk, "label", "set", "job", step, f"published={client}")
        sent = len(fore.seen)
        roar_cli(desk, "label", "sync", "-y")
        synced = [seen for seen in fore.seen[sent:] if seen.path.startswith("/api/v1/labels/")]
        assert [seen.status for seen in synced] == [200], synced
        labels: list[dict[str, Any]] = json.loads(synced[0].body)["labels"]
        assert found <= {label.get("job_uid") for label in labels}
    return found


@pytest.mark.parametrize("first", ["ours", "theirs"])
@pytest.mark.parametrize("case", [c for c in SAME_FOR_BOTH if EXHAUSTIVE or name(c) in SAMPLE], ids=name)
def test_both_clients_publish_the_same_jobs_one_after_the_other(desk: Desk, case: Case, first: str) -> None:
    prepared(desk, case)
    second = "theirs" if first == "ours" else "ours"
    with front(desk.url) as fore:
        seat = desk.with_environment(GLAAS_URL=fore.url, ROAR_GLAAS__URL=fore.url)
        by_first = published_by(first, seat, fore, case)
        by_second = published_by(second, seat, fore, case)
    assert len(by_first) == 2
    assert by_second in (by_first, set())
