"""A registry in the test's own process, and a client that knows its endpoints."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx2
from starlette.applications import Starlette

from roar_publisher.registry.api.app import create_app
from roar_publisher.registry.data import Store
from tests.support.checkout import PROJECTS
from tests.support.registry.conformance import assert_described
from tests.support.registry.people import Person, add_person

T = TypeVar("T")
Json = dict[str, Any]

NO_AUTH = httpx2.Auth()
"""Signs nothing."""
RECORDINGS = sorted(PROJECTS.glob("*/expected/*.json"))
GIT = {"git_repo": "https://github.com/acme/linear.git", "git_commit": "c" * 40, "git_branch": "main"}
PROTOCOL_RELEASE = "0.4.5"
"""A release of roar-cli that knows jobs which are registered already, and no prepared lineage."""
START = 1_800_000_000.0
"""Unix seconds at which the clock of a test starts."""


@dataclass
class Clock:
    """A clock that a test moves."""

    now: float = START

    def __call__(self) -> float:
        return self.now


async def run_inline(call: Callable[[], T], /) -> T:
    """No thread: what a test sees between two calls is what a concurrent reader sees."""
    return call()


def job(number: int, **changes: object) -> Json:
    """The job of step `number` as it travels; its uid is `uid(number)`."""
    return {
        "command": f"python step{number}.py",
        "timestamp": START + number,
        "job_uid": uid(number),
        "git_commit": "c" * 40,
        "git_branch": "main",
        "duration_seconds": 1.5,
        "exit_code": 0,
        "job_type": "run",
        "step_number": number,
        "metadata": json.dumps({"roar_version": "0.4.7", "rate": 0.1}),
        **changes,
    }


def uid(number: int) -> str:
    """A job uid."""
    return f"{number:032x}"


def digest(number: int) -> str:
    """A digest."""
    return f"{number:064x}"


def link(number: int, path: str | None = None) -> Json:
    """A link to the artifact `number`."""
    return {"hash": digest(number), "path": path or f"/home/dev/file{number}"}


def artifact(number: int, size: int = 10) -> Json:
    """The artifact `number`."""
    return {"hashes": [{"algorithm": "blake3", "digest": digest(number)}], "size": size, "source_type": None}


@dataclass
class Session:
    """A registration session as its opener holds it."""

    client: httpx2.AsyncClient
    opened: Json
    auth: httpx2.Auth = NO_AUTH

    @property
    def root(self) -> str:
        return f"/api/v1/registration-sessions/{self.opened['registration_session_id']}"

    @property
    def token(self) -> str:
        """The header of an anonymous session's token."""
        return f"RegistrationSession {self.opened['registration_session_token']}"

    async def post(self, path: str, body: object) -> httpx2.Response:
        headers = {"Authorization": self.token} if self.auth is NO_AUTH else {}
        return await self.client.post(self.root + path, json=body, headers=headers, auth=self.auth)

    async def add_jobs(self, *jobs: Json) -> Json:
        return succeeded(await self.post("/jobs/batch", {"jobs": jobs}))

    async def add_artifacts(self, *artifacts: Json) -> Json:
        return succeeded(await self.post("/artifacts/batch", {"artifacts": artifacts}))

    async def add_links(self, number: int, kind: str, *links: Json) -> Json:
        return succeeded(await self.post(f"/jobs/{uid(number)}/{kind}", {"artifacts": links}))

    async def finalize(self, **changes: object) -> Json:
        return succeeded(await self.post("/finalize", {**GIT, **changes}))


@dataclass
class Registry:
    """A registry with a clock of its own."""

    app: Starlette
    client: httpx2.AsyncClient
    clock: Clock
    store: Store

    async def open(self, client_session_id: str | None = None, auth: httpx2.Auth = NO_AUTH) -> Session:
        """Open an anonymous session, or one of the user that `auth` signs for."""
        body = {"mode": "anonymous_public"} if auth is NO_AUTH else {}
        if client_session_id is not None:
            body["client_session_id"] = client_session_id
        opened = await self.client.post("/api/v1/registration-sessions", json=body, auth=auth)
        return Session(self.client, succeeded(opened), auth)

    async def lineage(self, lineage_hash: str, auth: httpx2.Auth = NO_AUTH) -> Json:
        return succeeded(await self.client.get(f"/api/v1/sessions/{lineage_hash}", auth=auth))

    def person(
        self, name: str, *, sub: str | None = None, user_id: str | None = None, email: str | None = None
    ) -> Person:
        """A new user with an SSH key and a sign-in."""
        return add_person(self.store.accounts, name, self.clock, sub=sub, user_id=user_id, email=email)

    async def is_published(self, lineage_hash: str) -> bool:
        return (await self.client.get(f"/api/v1/sessions/{lineage_hash}")).status_code == 200


def make_registry(store: Store, **options: Any) -> Registry:
    """A registry over `store`; options as `create_app`'s. Each of its replies must be as its document says."""
    clock = options.pop("clock", None) or Clock()
    app = create_app(store, clock=clock, **options)
    headers = {"X-Roar-Version": PROTOCOL_RELEASE, "Content-Type": "application/json"}

    async def check(response: httpx2.Response) -> None:
        await assert_described(app, response)

    client = httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app),
        base_url="http://registry",
        headers=headers,
        event_hooks={"response": [check]},
    )
    return Registry(app, client, clock, store)


def succeeded(response: httpx2.Response) -> Json:
    """The body of a 2xx; a failed assertion shows the server's words otherwise."""
    assert response.is_success, (response.request.url, response.status_code, response.text)
    body: Json = response.json()
    return body


def refused(response: httpx2.Response, status: int) -> str:
    """The `detail` of an error with this status."""
    assert response.status_code == status, response.text
    detail = response.json()["detail"]
    assert isinstance(detail, str)
    assert detail
    assert "Traceback" not in response.text
    return detail


def recording(path: Path) -> Json:
    """What roar-cli sent to publish a project."""
    loaded: Json = json.loads(path.read_text())
    return loaded


def recording_name(path: Path) -> str:
    """The name of a recording in a test's id."""
    return f"{path.parent.parent.name}-{path.stem}"


def recorded_body(body: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """A recorded body as it travelled: recordings show job metadata parsed."""
    if body is None or "jobs" not in body:
        return body
    return {"jobs": [_with_metadata_text(recorded) for recorded in body["jobs"]]}


def _with_metadata_text(recorded: Json) -> Json:
    return {**recorded, "metadata": json.dumps(recorded["metadata"])} if "metadata" in recorded else recorded


def uids_of(lineage: Json) -> Sequence[str]:
    """The uids of a lineage's jobs, in their order."""
    return [published["job_uid"] for published in lineage["jobs"]]
