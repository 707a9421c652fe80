"""What we published comes back: real roar-cli reproduces, compares, shows, fetches and labels it from our registry."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from blake3 import blake3

from roar_publisher.registry.store import projects
from roar_publisher.registry.store.users import Accounts
from tests.support.auth.front import front
from tests.support.cli.program import PATIENCE, run
from tests.support.fork_server import Order
from tests.support.interop.clients import published, running_registry
from tests.support.interop.releases import (
    INSTALLED,
    TIMEOUT_SECONDS,
    Desk,
    Finished,
    add_user,
    captured,
    desk_of,
    git_commit,
    run_release,
    sign_in,
)
from tests.support.sampling import sample
from tests.support.storage.servers import BUCKET, moto

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="what is reproduced is cloned with git")

OUTPUTS = ("raw.bin", "model.bin")


@dataclass
class Scene:
    """Alice published a private lineage of two jobs, and a public one that has a put, too.

    token: her bearer.  owner, project: ids of `acme/models`, a private project.  made: digests by file name.
    """

    alice: Desk
    token: str
    owner: str
    project: str
    private: str
    public: str
    made: dict[str, str]

    def empty_clone(self, folder: Path) -> Path:
        """A clone of the repository as another person has it, with a `.roar` of its own and no outputs."""
        subprocess.run(["git", "clone", "-q", captured(INSTALLED), folder], check=True, timeout=TIMEOUT_SECONDS)
        for arguments in (
            ("init", "-y"),
            ("config", "set", "tracer.default", "ptrace"),
            ("config", "set", "filters.ignore_tmp_files", "false"),
            ("config", "set", "glaas.query_nonlocal_ids_on_glaas", "true"),
        ):
            assert self.roar(folder, *arguments).status == 0
        return folder

    def roar(self, folder: Path, *arguments: str, **environment: str) -> Finished:
        """Run roar-cli as Alice, unless the environment says otherwise."""
        return run_release(folder, self.alice.environment() | environment, INSTALLED, *arguments)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("readback")
    add_user(folder / "registry", "alice")
    with closing(Accounts.open(folder / "registry")) as accounts:
        owner = accounts.write(projects.add_owner, "acme")
        accounts.write(projects.set_owner_member, "acme", "alice", member=True)
        project = accounts.write(projects.add_project, "acme", "models", "private")
    with moto() as store, running_registry(folder / "registry") as registry:
        alice = desk_of(INSTALLED, folder / "alice", registry, store)
        token = sign_in(alice, folder / "registry", "alice")
        private = _ours(alice, "publish", "--private")
        public = _ours(alice, "put", "model.bin", f"s3://{BUCKET}/one", "-m", "one", "--no-tag", "--public")
        jobs = published(registry, public)["jobs"]
        made = {Path(output["path"]).name: output["hash"] for job in jobs for output in job["outputs"]}
        assert set(made) == set(OUTPUTS)
        yield Scene(alice, token, owner, project, private, public, made)


def _ours(desk: Desk, *arguments: str) -> str:
    """Publish with our program; the hash."""
    code, output = _program(desk, *arguments, "-y", "--json")
    assert code == 0, output
    event: dict[str, Any] = json.loads(output.splitlines()[-1])
    return str(event["hash"])


def _program(desk: Desk, *arguments: str, **environment: str) -> tuple[int, str]:
    """Run our program; its exit code and what it wrote."""
    done = run(Order("roar_publisher", arguments, str(desk.project), desk.environment() | environment))
    return done.code, done.err + done.out


def stranger(folder: Path) -> dict[str, str]:
    """The environment of a person without a credential."""
    return {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder / "config")}


@pytest.mark.parametrize("what", sample("reproductions", ["artifact", "lineage"], 1))
def test_a_reproduction_in_an_empty_clone_has_the_same_outputs(scene: Scene, tmp_path: Path, what: str) -> None:
    """The artifact for anybody, from the public lineage; the whole private lineage for Alice."""
    clone = scene.empty_clone(tmp_path / "clone")
    if what == "artifact":
        done = scene.roar(
            clone, "reproduce", scene.made["model.bin"][:12], "--run", "-y", "--no-puts", **stranger(tmp_path)
        )
    else:
        done = scene.roar(clone, "reproduce", scene.private, "--lineage", "--run", "-y")
    assert done.status == 0, done.output
    assert "Steps run: 2/2" in done.output
    assert {name: blake3((clone / name).read_bytes()).hexdigest() for name in OUTPUTS} == scene.made


def test_a_private_lineage_is_not_there_for_a_stranger(scene: Scene, tmp_path: Path) -> None:
    for name, environment in (("alice", {}), ("stranger", stranger(tmp_path))):
        done = scene.roar(tmp_path, "reproduce", scene.private, "--lineage", **environment)
        if name == "alice":
            assert (done.status, "Run Steps (2)" in done.output) == (0, True), done.output
        else:
            assert (done.status, "Lineage not found" in done.output) == (1, True), done.output


def test_artifacts_are_compared_shown_and_fetched(scene: Scene, tmp_path: Path) -> None:
    clone = scene.empty_clone(tmp_path / "clone")
    raw, model = scene.made["raw.bin"], scene.made["model.bin"]
    compared = scene.roar(clone, "diff", raw, model, "--json", **stranger(tmp_path))
    assert compared.status == 0, compared.output
    assert "train.py" in compared.output
    assert "collect.py" not in json.dumps(json.loads(compared.output).get("diffs", "")), "both begin with it"
    shown = scene.roar(clone, "show", model, **stranger(tmp_path))
    assert shown.status == 0, shown.output
    assert all(words in shown.output for words in ("GLaaS", "999B", "train.py"))
    fetched = scene.roar(clone, "get", f"s3://{BUCKET}/one/model.bin", "--hash", model)
    assert fetched.status == 0, fetched.output
    assert blake3((clone / "model.bin").read_bytes()).hexdigest() == model


def test_ours_fetches_what_roar_cli_put_also_what_is_private(scene: Scene, tmp_path: Path) -> None:
    uploaded = f"s3://{BUCKET}/theirs"
    done = scene.roar(scene.alice.project, "put", *OUTPUTS, uploaded, "-m", "theirs", "--no-tag", "--private", "-y")
    assert done.status == 0, done.output
    (theirs,) = set(re.findall(r"[0-9a-f]{64}", done.output)) - set(scene.made.values())

    def fetch(*selections: str, **environment: str) -> tuple[int, set[str]]:
        """Fetch, and return the exit code and what is there."""
        folder = tmp_path / "fetched"
        shutil.rmtree(folder, ignore_errors=True)
        code, output = _program(scene.alice, "fetch", theirs, *selections, "--to", str(folder), **environment)
        found = {path.name: blake3(path.read_bytes()).hexdigest() for path in folder.glob("*")}
        assert found == {name: scene.made[name] for name in found}, output
        return code, set(found)

    assert fetch() == (0, set(OUTPUTS))
    assert fetch("@2") == (0, {"model.bin"})
    assert fetch(**stranger(tmp_path)) == (1, set())


def test_labels_are_edited_from_anywhere(scene: Scene, tmp_path: Path) -> None:
    model = scene.made["model.bin"][:10]
    uid = published(scene.alice.registry, scene.public)["jobs"][0]["job_uid"]

    def label(*arguments: str) -> str:
        done = scene.roar(tmp_path, "label", *arguments, "--remote")
        assert done.status == 0, done.output
        return done.output

    assert "created=1" in label("set", "dag", scene.public, "team=ml", "stage=one")
    label("set", "artifact", model, "quality=good")
    label("set", "job", uid, "reviewed=yes", "--session", scene.public)
    assert "deleted: team" in label("unset", "dag", scene.public, "team")
    assert "stage=one" in label("show", "dag", scene.public)
    assert "quality=good" in label("show", "artifact", model)
    assert "reviewed=yes" in label("show", "job", uid, "--session", scene.public)
    history = label("history", "dag", scene.public)
    assert [history.count(words) for words in ("team=ml", "stage=one")] == [1, 2]


def test_the_sign_in_is_known(scene: Scene, tmp_path: Path) -> None:
    assert "Authenticated as alice" in scene.roar(tmp_path, "whoami").output
    listed = scene.roar(tmp_path, "projects", "list")
    assert listed.status == 0, listed.output
    assert scene.project in listed.output


def test_a_delegated_publish_lands_in_the_scope_of_its_task(scene: Scene, tmp_path: Path) -> None:
    """A task has no credential; a broker between it and the registry adds Alice's bearer."""
    with front(scene.alice.registry) as broker:
        broker.rule = lambda seen: broker.ask(
            replace(seen, headers={**seen.headers, "authorization": f"Bearer {scene.token}"})
        )
        task = desk_of(INSTALLED, tmp_path / "task", broker.url)
        git_commit(task.project, "another lineage")
        variables = {
            "AUTH": "1",
            "OWNER_ID": scene.owner,
            "OWNER_TYPE": "organization",
            "PROJECT_ID": scene.project,
            "VISIBILITY": "private",
            "JOB_ID": "job-1",
            "EXECUTION_ATTEMPT_ID": "attempt-1",
            "TASK_ID": "task-1",
        }
        delegated = {f"ROAR_DELEGATED_{name}": value for name, value in variables.items()}
        done = run_release(task.project, task.environment() | delegated, INSTALLED, "register", "-y", "model.bin")
    assert done.status == 0, done.output
    assert {seen.headers.get("authorization") for seen in broker.seen} == {None}
    (finalize,) = [json.loads(seen.body) for seen in broker.seen if seen.path.endswith("/finalize")]
    scope = {"owner_id": scene.owner, "project_id": scene.project, "visibility": "private"}
    assert finalize["scope_request"].items() >= scope.items()
    (receipt,) = [json.loads(answer) for answer in broker.replies("/finalize")]
    address = f"{scene.alice.registry}/api/v1/sessions/{receipt['hash']}"
    assert httpx2.get(address, timeout=PATIENCE).status_code == 404
    hers = httpx2.get(address, headers={"Authorization": f"Bearer {scene.token}"}, timeout=PATIENCE).json()
    assert (hers["visibility"], hers["creator"].partition(":")[0]) == ("private", "treqs")


STREAM = """
import json, sys
from pathlib import Path
from roar.backends.k8s.fragment_reconstituter import create_k8s_fragment_reconstituter
from roar.execution.fragments.sessions import generate_fragment_session
from roar.integrations.glaas import GlaasClient
from roar.integrations.glaas.fragment_streamer import GlaasFragmentStreamer, renew_fragment_session

url, key = sys.argv[1], generate_fragment_session()
print(GlaasClient(base_url=url).register_fragment_session(key["session_id"], key["token_hash"])[1])
sent = [{"task_identity": str(n), "reads": [], "writes": [{"path": "/" + "x" * 300}]} for n in range(700)]
for half in (sent[:350], sent[350:]):  # as two workers, whose first batches are too large at once
    streamer = GlaasFragmentStreamer(key["session_id"], key["token"], url, flush_threshold=350)
    for fragment in half:
        streamer.append_fragment(fragment)
    print(streamer.close(), streamer.delivered_batches > 1)
print(renew_fragment_session(url, key["session_id"], key["token"]))
reader = create_k8s_fragment_reconstituter(key["session_id"], key["token"], url, Path("roar.db"))
secret = bytes.fromhex(key["token"])
read = [fragment for batch in reader._fetch_batches() for fragment in reader._decrypt_batch(batch, secret)]
print(sorted(map(json.dumps, read)) == sorted(map(json.dumps, sent)))
other = create_k8s_fragment_reconstituter(key["session_id"], "0" * 64, url, Path("roar.db"))
print(other._fetch_batches())
"""
TELEMETRY = """
import os
from roar.telemetry.paths import resolve_paths
from roar.telemetry.queue import enqueue_payload
from roar.telemetry.uploader import drain_queue

environ = {name: os.environ[name] for name in ("HOME", "GLAAS_URL")}  # in tests and in CI, it sends nothing
enqueue_payload({"event_id": "one", "schema_version": 1}, paths=resolve_paths(environ))
summary = drain_queue(environ=environ)
print(summary.attempted, summary.accepted, summary.retained, summary.reason)
"""


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        (STREAM, ["None", "True True", "True True", "True", "True", "[]"]),
        (TELEMETRY, ["1 1 0 None"]),
    ],
    ids=["fragments", "telemetry"],
)
def test_roars_own_code_streams_fragments_and_telemetry(
    scene: Scene, tmp_path: Path, program: str, expected: list[str]
) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, scene.alice.registry],
        cwd=tmp_path,
        env=scene.alice.environment() | stranger(tmp_path),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == expected, done.stderr
