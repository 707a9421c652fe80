"""Scopes: where a lineage belongs, who may write it there, and who may read it (`protocol.md §4, §5`).

Only the owner and the members of the project can read a private lineage. For all other readers it does not exist (404).
"""

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal

from pydantic import ValidationError

from roar_publisher.glaas.wire import Request, Text
from roar_publisher.registry.accounts.context import WRITING_ROLES, AccessContext
from roar_publisher.registry.accounts.users import User
from roar_publisher.registry.http.refusals import Refusal

PUBLIC, PRIVATE = "public", "private"

READABLE = """(
    visibility = 'public'
    OR (scope_owner IS NULL AND owner <> '' AND owner = :reader)
    OR (scope_project IS NULL AND scope_owner IN (SELECT value FROM json_each(:owners)))
    OR scope_project IN (SELECT value FROM json_each(:projects))
)"""
"""An SQL condition on the columns of `lineages`, with the parameters of `Reader.parameters`."""
CREDIBILITY = "((owner <> '' AND owner = :reader) * 4 + (owner <> '') * 2 + (session_id IS NOT NULL))"
"""SQL like `READABLE`: the credibility of a lineage's data about an artifact, if several have the same digest. The
reader's own lineages rank first, then those of any user. Data that is neither signed nor verified ranks last."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a lineage is stored. In the publisher's own space, `owner_id` and `project_id` are None."""

    visibility: str
    owner_id: str | None = None
    project_id: str | None = None

    def may_become(self, wanted: "Scope") -> bool:
        """Return whether publishing again may change this scope to `wanted`: only its visibility, and only to public.

        It cannot become private again, because it may have been read. It cannot move, because its project controls it.
        """
        published = Scope(PUBLIC, self.owner_id, self.project_id)
        return wanted in (self, published)


UNSCOPED = Scope(PUBLIC)
"""The scope without a `scope_request`."""


@dataclass(frozen=True, slots=True)
class Reader:
    """A reader. `user_id` is empty for an anonymous one. `owners` are the spaces that the reader is a member of."""

    user_id: str = ""
    owners: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()

    @classmethod
    def of(cls, user: User, context: AccessContext | None) -> "Reader":
        """Return a signed-in reader. `context` is None if the user's access context is unknown."""
        if context is None:
            return cls(user.id)
        return cls(
            user.id,
            tuple(owner.id for owner in context.owners if owner.role in WRITING_ROLES),
            tuple(project.id for group in context.projects_by_owner.values() for project in group),
        )

    def parameters(self) -> dict[str, str]:
        """Return the parameters of `READABLE`."""
        return {"reader": self.user_id, "owners": json.dumps(self.owners), "projects": json.dumps(self.projects)}


class _ScopeRequest(Request):
    owner_type: Literal["user", "organization"]
    visibility: Literal["public", "private"]
    owner_id: Text | None = None
    project_id: Text | None = None
    owner_resolution: Literal["current_user"] | None = None


def resolve(raw: dict[str, Any], user: User, context: AccessContext | None) -> Scope:
    """Return the scope that a `scope_request` asks for.

    `context` is the live one for a bearer, the cached one for an SSH key, and None if none is cached. Raises `Refusal`:
    422 for an invalid request, 400 without a context, 403 if the user may not write there.
    """
    request = _parse(raw)
    if context is None:
        raise Refusal(HTTPStatus.BAD_REQUEST, "your projects are not known here yet: refresh with bearer auth first")
    if request.owner_id is None:
        return Scope(request.visibility)
    owner = next((o for o in context.owners if (o.id, o.type) == (request.owner_id, request.owner_type)), None)
    if owner is None:
        raise Refusal(HTTPStatus.FORBIDDEN, "you are not a member of this owner")
    if request.project_id is None:
        if owner.role not in WRITING_ROLES:
            raise Refusal(HTTPStatus.FORBIDDEN, "you may not write to this owner's space: name one of its projects")
        personal = owner.id in (user.id, context.user.id)
        return Scope(request.visibility, None if personal else owner.id)
    project = next((p for p in context.projects_by_owner.get(owner.id, []) if p.id == request.project_id), None)
    if project is None:
        raise Refusal(HTTPStatus.FORBIDDEN, "this owner has no such project that you are a member of")
    if not project.can_write:
        raise Refusal(HTTPStatus.FORBIDDEN, "you may read this project, but not write to it")
    return Scope(request.visibility, owner.id, project.id)


def _parse(raw: dict[str, Any]) -> _ScopeRequest:
    try:
        request = _ScopeRequest.model_validate(raw)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, ("scope_request", *fault["loc"])))
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, f"{where}: {fault['msg']}") from None
    if (request.owner_id is None) == (request.owner_resolution is None):
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "scope_request: give either owner_id or owner_resolution")
    if request.owner_resolution is not None and (request.owner_type != "user" or request.project_id is not None):
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "scope_request: the current user is an owner without projects")
    return request
