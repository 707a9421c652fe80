"""What an access context allows: where a user may publish, and what a user may read (`protocol.md §4, §5`)."""

from http import HTTPStatus
from typing import Any, Literal

from pydantic import ValidationError

from roar_publisher.glaas.wire import RequestBody, Text
from roar_publisher.registry.accounts.context import WRITING_ROLES, AccessContext
from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.store.access import PUBLIC, LineageScope, Reader
from roar_publisher.registry.store.users import User


def reader_of(user: User, context: AccessContext | None) -> Reader:
    """Return a signed-in reader. `context` is None if the user's access context is unknown."""
    if context is None:
        return Reader(user.id)
    projects = [project for group in context.projects_by_owner.values() for project in group]
    return Reader(
        user.id,
        tuple(owner.id for owner in context.owners if owner.role in WRITING_ROLES),
        tuple(project.id for project in projects),
        tuple(project.id for project in projects if project.can_write),
    )


class _ScopeRequest(RequestBody):
    owner_type: Literal["user", "organization"]
    visibility: Literal["public", "private"]
    owner_id: Text | None = None
    project_id: Text | None = None
    owner_resolution: Literal["current_user"] | None = None


def resolve(raw: dict[str, Any], user: User, context: AccessContext | None) -> LineageScope:
    """Return the scope that a `scope_request` asks for.

    `context` is the live one for a bearer, the cached one for an SSH key, and None if none is cached or it is too old.
    Raises `Refusal`: 422 for an invalid request and for a public lineage in a private project, 400 without a context,
    403 if the user may not write there.
    """
    request = _parse(raw)
    if context is None:
        detail = "your projects are not known here, or were confirmed too long ago: refresh with bearer auth first"
        raise Refusal(HTTPStatus.BAD_REQUEST, detail)
    if request.owner_id is None:
        return LineageScope(request.visibility)
    owner = next((o for o in context.owners if (o.id, o.type) == (request.owner_id, request.owner_type)), None)
    if owner is None:
        raise Refusal(HTTPStatus.FORBIDDEN, "you are not a member of this owner")
    if request.project_id is None:
        if owner.role not in WRITING_ROLES:
            raise Refusal(HTTPStatus.FORBIDDEN, "you may not write to this owner's space: name one of its projects")
        personal = owner.id in (user.id, context.user.id)
        return LineageScope(request.visibility, None if personal else owner.id)
    project = next((p for p in context.projects_by_owner.get(owner.id, []) if p.id == request.project_id), None)
    if project is None:
        raise Refusal(HTTPStatus.FORBIDDEN, "this owner has no such project that you are a member of")
    if not project.can_write:
        raise Refusal(HTTPStatus.FORBIDDEN, "you may read this project, but not write to it")
    if request.visibility == PUBLIC and project.visibility != PUBLIC:
        detail = "this project is private, so everything in it is: publish privately, or into a public project"
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, detail)
    return LineageScope(request.visibility, owner.id, project.id)


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
