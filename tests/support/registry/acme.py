"""An organization with a private project, and people who may or may not write to it and read it."""

from typing import Any

from roar_publisher.registry.store import projects
from tests.support.registry.harness import Json, Registry, Session, artifact, job
from tests.support.registry.people import Bearer, Person, Ssh

OWN: Json = {"owner_resolution": "current_user", "owner_type": "user", "visibility": "private"}


class Acme:
    """An organization with a private project; Alice writes to it, Ruth reads it, Max is a member of all of Acme."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.alice, self.ruth, self.max, self.bob = map(registry.person, ("alice", "ruth", "max", "bob"))
        store = registry.store.accounts
        self.owner_id = store.write(projects.add_owner, "acme")
        self.project_id = store.write(projects.add_project, "acme", "models", "private")
        store.write(projects.set_project_member, "acme", "models", "alice", can_write=True)
        store.write(projects.set_project_member, "acme", "models", "ruth", can_write=False)
        store.write(projects.set_owner_member, "acme", "max", member=True)

    def request(self, **changes: object) -> dict[str, Any]:
        scope = {
            "owner_id": self.owner_id,
            "owner_type": "organization",
            "project_id": self.project_id,
            "visibility": "private",
        }
        return {name: value for name, value in (scope | changes).items() if value is not None}

    def set_visibility(self, visibility: str) -> None:
        """Make the project public or private."""
        self.registry.store.accounts.write(lambda db: db.execute("UPDATE projects SET visibility = ?", (visibility,)))

    async def staged(self, person: Person, *, by_key: bool = False) -> Session:
        session = await self.registry.open(auth=Ssh(person) if by_key else Bearer(person))
        await session.add_jobs(job(1))
        await session.add_artifacts(artifact(1))
        return session

    async def readers(self, lineage_hash: str) -> set[str]:
        self.registry.clock.now += 1  # asked twice in a second, they would sign the same
        people = {"alice": self.alice, "ruth": self.ruth, "max": self.max, "bob": self.bob}
        seen = set()
        for name, person in people.items():
            answers = set()
            for auth in (Bearer(person), Ssh(person)):
                for path in (f"/api/v1/sessions/{lineage_hash}", f"/dag/{lineage_hash}"):
                    answers.add((await self.registry.client.get(path, auth=auth)).status_code)
            assert len(answers) == 1, (name, answers)
            if answers == {200}:
                seen.add(name)
        return seen
