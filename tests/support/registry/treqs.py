"""A TReqs service in the test's own process, and a registry whose bearers it validates."""

from typing import Any

import httpx2

from roar_publisher.registry.accounts.authority import Authority, CallRunner
from roar_publisher.registry.accounts.treqs import TreqsService
from roar_publisher.registry.data import Store
from tests.support.registry.harness import Clock, Json, Registry, Session, job, make_registry

ME = "/api/v1/auth/me"
PROJECT: Json = {"id": "proj-1", "name": "models", "visibility": "private", "can_write": True}
CONTEXT: Json = {
    "user": {"id": "db-1", "sub": "sub-alice", "username": "alice", "email": "alice@example.org"},
    "owners": [{"id": "org-1", "type": "organization", "username": "acme", "display_name": "Acme", "role": "member"}],
    "projects_by_owner": {"org-1": [PROJECT]},
}
SCOPE = {"owner_id": "org-1", "owner_type": "organization", "project_id": "proj-1", "visibility": "private"}
OWN = {"owner_resolution": "current_user", "owner_type": "user", "visibility": "private"}
REFUSED = httpx2.Response(401, json={"error": {"message": "no"}})


class Treqs:
    """The service: what it answers to which token, and what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {"Bearer hers": CONTEXT}
        self.asked: list[tuple[str, str]] = []
        self.cookies: list[str | None] = []
        self.logout = REFUSED

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        """Answer as `httpx2.MockTransport` asks."""
        token = request.headers.get("authorization", "")
        self.asked.append((request.url.path, token))
        self.cookies.append(request.headers.get("cookie"))
        if request.url.path.endswith("/logout"):
            return self.logout
        if request.method == "POST":
            return httpx2.Response(200, json={"success": True, "data": {"access_token": "new", "expires_in": 60}})
        answer = self.answers.get(token, REFUSED)
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, httpx2.Response) else httpx2.Response(200, json=answer)


class ByTreqs(httpx2.Auth):
    """Shows a bearer of the service."""

    def __init__(self, token: str = "hers") -> None:
        self._header = f"Bearer {token}"

    def auth_flow(self, request: httpx2.Request) -> Any:
        """The client library's hook."""
        request.headers["Authorization"] = self._header
        yield request


def registry_of(store: Store, treqs: Treqs, **options: Any) -> Registry:
    """A registry that asks the service; options as `TreqsService`'s."""
    clock = Clock()

    def authority(run: CallRunner) -> Authority:
        transport = httpx2.MockTransport(treqs)
        return TreqsService("https://treqs.example/base/", store.accounts, run, clock, transport, **options)

    return make_registry(store, clock=clock, authority=authority)


async def staged(registry: Registry, auth: httpx2.Auth) -> Session:
    """A session of the user that `auth` names, with one job."""
    session = await registry.open(auth=auth)
    await session.add_jobs(job(1))
    return session
