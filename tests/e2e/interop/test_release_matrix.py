"""Releases of roar-cli with each credential: what their commands end with at our registry, and what they leave there.

By default the release that the tests are installed with, signed in; with ROAR_TEST_EXHAUSTIVE=1 all of
`releases.RELEASES` with all credentials.
"""

import json
import re
import shutil
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.cli.program import PATIENCE
from tests.support.interop.clients import published, running_registry
from tests.support.interop.releases import (
    INSTALLED,
    RELEASES,
    SIGN_IN_SINCE,
    Desk,
    Finished,
    add_user,
    desk_of,
    give_key,
    sign_in,
)
from tests.support.sampling import EXHAUSTIVE
from tests.support.storage.servers import BUCKET, moto

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="roar-cli signs with ssh-keygen")

NOBODY, BEARER, SSH = "nobody", "bearer", "ssh"
TESTED = RELEASES if EXHAUSTIVE else (INSTALLED,)
CREDENTIALS = (NOBODY, BEARER, SSH) if EXHAUSTIVE else (BEARER,)
TARGET = "model.bin"

PUBLIC = (
    ("register", ("register", "-y", "--public", TARGET)),
    ("register again", ("register", "-y", "--public", TARGET)),
    ("put", ("put", TARGET, f"s3://{BUCKET}/one", "-m", "one", "--no-tag", "-y", "--public")),
    ("put again", ("put", TARGET, "raw.bin", f"s3://{BUCKET}/two", "-m", "two", "--no-tag", "-y", "--public")),
    ("put a dataset", ("put", "tables", f"s3://{BUCKET}/three", "-m", "three", "--no-tag", "-y", "--public")),
    ("label a job", ("label", "set", "job", "@2", "stage=reviewed")),
    ("label an artifact", ("label", "set", "artifact", TARGET, "quality=good")),
    ("register labels", ("register", "-y", "--public", TARGET)),
    ("label sync", ("label", "sync", "-y")),
    ("auth status", ("auth", "status")),
    ("whoami", ("whoami",)),
    ("register as private", ("register", "-y", "--private", TARGET)),
    ("logout", ("logout",)),
)
"""What a person types who publishes for everybody: a name in the table, and the command."""
PRIVATE = (
    ("register", ("register", "-y", "--private", TARGET)),
    ("register again", ("register", "-y", "--private", TARGET)),
    ("put", ("put", TARGET, f"s3://{BUCKET}/one", "-m", "one", "--no-tag", "-y", "--private")),
    ("put again", ("put", TARGET, "raw.bin", f"s3://{BUCKET}/two", "-m", "two", "--no-tag", "-y", "--private")),
    ("register as public", ("register", "-y", "--public", TARGET)),
)
"""The same of a person who publishes privately, and for everybody in the end."""

UNKNOWN_BEFORE = {
    "-y": {"label": "0.3.7", "put": SIGN_IN_SINCE},
    "--public": {"register": SIGN_IN_SINCE, "put": SIGN_IN_SINCE},
    "whoami": {"whoami": SIGN_IN_SINCE},
    "logout": {"logout": SIGN_IN_SINCE},
    "--private": {"register": SIGN_IN_SINCE},
    "sync": {"label": SIGN_IN_SINCE},
}
"""By word and command: the first release that knows it. Of an option that is not known, the command goes without."""
OPTIONS = ("-y", "--public")

ROARS_OWN = {
    ("label sync", NOBODY): "the release asks for a sign-in before it asks the registry",
    ("whoami", NOBODY): "you are not signed in",
    ("whoami", SSH): "a key is no sign-in to it",
    ("register as private", NOBODY): "private needs a sign-in",
}
"""Commands that end with 1 by roar-cli's own rules, whatever the registry answers."""
FAULTS = {("0.2.11", "put a dataset"): "after another put, it finds its own roar.db locked by itself"}
"""Commands that end with 1 by a fault of a release."""
PRIVATE_BY_KEY_SINCE = "0.4.6"
"""Earlier releases want a bearer for a private lineage in one's own space, and for `label sync`."""
STATUS_FAILS_SINCE = "0.3.6"
"""From this release on, `auth status` ends with 1 where there is no credential."""


@dataclass
class Cell:
    """A release with a credential, at a registry of its own.  token: the bearer's."""

    desk: Desk
    credential: str
    token: str | None

    def run(self, flow: tuple[tuple[str, tuple[str, ...]], ...]) -> dict[str, Finished]:
        """Run the commands that the release knows; what differs from the table, by name."""
        wrong: dict[str, Finished] = {}
        for name, command in flow:
            arguments = self._known(command)
            if arguments is None:
                continue
            finished = self.desk.roar(*arguments)
            if finished.status != self._expected(name):
                wrong[name] = finished
        return wrong

    def _known(self, command: tuple[str, ...]) -> tuple[str, ...] | None:
        unknown = {
            word
            for word in command
            if (since := UNKNOWN_BEFORE.get(word, {}).get(command[0])) and _older(self.desk.release, since)
        }
        return tuple(word for word in command if word not in unknown) if unknown <= set(OPTIONS) else None

    def _expected(self, name: str) -> int:
        if (name, self.credential) in ROARS_OWN or (self.desk.release, name) in FAULTS:
            return 1
        if name == "auth status":
            return int(self.credential == NOBODY and not _older(self.desk.release, STATUS_FAILS_SINCE))
        by_key = self.credential == SSH and name in ("register as private", "label sync")
        return int(by_key and _older(self.desk.release, PRIVATE_BY_KEY_SINCE))


def _older(release: str, than: str) -> bool:
    return tuple(map(int, release.split("."))) < tuple(map(int, than.split(".")))


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    with moto() as address:
        yield address


@pytest.fixture
def cell(request: pytest.FixtureRequest, tmp_path: Path, store: str) -> Iterator[Cell]:
    """The cell of the test's parameters."""
    release, credential = request.param
    data = tmp_path / "registry"
    add_user(data, "alice")
    with running_registry(data) as registry:
        desk = desk_of(release, tmp_path / "home", registry, store)
        if credential == SSH:
            give_key(desk, data, "alice")
        yield Cell(desk, credential, sign_in(desk, data, "alice") if credential == BEARER else None)


def cells(*credentials: str) -> pytest.MarkDecorator:
    """A test for each release with each of these credentials."""
    pairs = [
        (release, credential)
        for release in TESTED
        for credential in credentials
        if credential != BEARER or not _older(release, SIGN_IN_SINCE)
    ]
    return pytest.mark.parametrize("cell", pairs, indirect=True, ids="-".join)


@cells(*CREDENTIALS)
def test_what_is_published_for_everybody_arrives_with_its_labels(cell: Cell) -> None:
    assert cell.run(PUBLIC) == {}
    lineages = public_lineages(cell.desk.registry)
    assert {lineage["creator"].partition(":")[0] for lineage in lineages} == {
        {NOBODY: "anonymous", BEARER: "treqs", SSH: "glaas"}[cell.credential]
    }
    assert any(job["labels"].get("stage") == "reviewed" for lineage in lineages for job in lineage["jobs"])
    puts = [job for lineage in lineages for job in lineage["jobs"] if job["job_type"] == "put"]
    assert {1, 2} <= {len(job["inputs"]) for job in puts}
    assert len(puts) == 2 + ((cell.desk.release, "put a dataset") not in FAULTS)
    digest = max(puts, key=lambda job: -len(job["inputs"]))["inputs"][0]["hash"]
    labels = [row["metadata"] for row in artifact_labels(cell.desk.registry, digest)]
    assert any(metadata.get("quality") == "good" for metadata in labels)
    if cell.token is not None:
        headers = {"Authorization": f"Bearer {cell.token}"}
        assert (
            httpx2.get(f"{cell.desk.registry}/api/v1/auth/me", headers=headers, timeout=PATIENCE).status_code == 401
        ), "logged out"


@cells(BEARER)
def test_what_is_published_privately_is_private_until_it_is_published_for_everybody(cell: Cell) -> None:
    assert cell.run(PRIVATE[:-1]) == {}
    assert public_lineages(cell.desk.registry) == []
    assert cell.run(PRIVATE[-1:]) == {}
    (lineage,) = public_lineages(cell.desk.registry)
    assert lineage["creator"].startswith("treqs:")
    assert lineage["jobs_count"] == 2


def public_lineages(registry: str) -> list[dict[str, Any]]:
    """What anybody may read."""
    with urllib.request.urlopen(f"{registry}/") as reply:
        page: str = reply.read().decode()
    return [published(registry, found) for found in sorted(set(re.findall(r"/dag/([0-9a-f]{64})", page)))]


def artifact_labels(registry: str, digest: str) -> list[dict[str, Any]]:
    """Every version of the labels of an artifact."""
    address = f"{registry}/api/v1/labels/history?entity_type=artifact&artifact_hash={digest}"
    with urllib.request.urlopen(address) as reply:
        rows: list[dict[str, Any]] = json.load(reply)["labels"]
    return rows
