"""The label endpoints that `roar label` uses for reading and editing."""

from collections.abc import Sequence
from http import HTTPStatus

from msgspec import Struct
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from roar_publisher.glaas.protocol import API_ROOT
from roar_publisher.registry.accounts.callers import require_user
from roar_publisher.registry.api.digests import whole_digest
from roar_publisher.registry.api.service import RegistryService, number_in_query
from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.lineages.label_views import (
    MAX_VERSIONS,
    artifact_label_versions,
    current_artifact_labels,
    current_label_document,
    label_versions,
    no_labels,
)
from roar_publisher.registry.lineages.reading import HASH_LENGTH
from roar_publisher.registry.lineages.reconcile import PatchRequest, ReconcileRequest, may_edit, patch, reconcile
from roar_publisher.registry.store.access import Reader

ENTITY_PARAMETERS = {"dag": None, "job": "job_uid", "artifact": "artifact_hash"}
"""The query parameter that identifies an entity, by entity type."""
LARGEST_VERSION = 10**9


class LabelApi(Struct, frozen=True):
    """Endpoints for the labels of published lineages."""

    service: RegistryService

    def routes(self) -> Sequence[BaseRoute]:
        """Return the routes."""
        root = f"{API_ROOT}/labels"
        return [
            Route(f"{root}/current", self.current, methods=["GET"]),
            Route(f"{root}/current", self.patch, methods=["PATCH"]),
            Route(f"{root}/history", self.history, methods=["GET"]),
            Route(f"{root}/reconcile", self.reconcile, methods=["POST"]),
        ]

    async def current(self, request: Request) -> JSONResponse:
        """Return the newest label document of an entity."""
        reader = await self.service.reader(await self.service.caller(request))
        query = await self._whole(_entity_query(request), reader)
        if query.lineage_hash is None:
            documents = await self.service.read(current_artifact_labels, query.entity, reader)
        else:
            documents = await self.service.read(
                current_label_document, query.lineage_hash, reader, query.entity_type, query.entity
            )
        if not documents:
            raise no_labels()
        newest = documents[-1]
        editable = await self.service.read(may_edit, str(newest["sessionHash"]), reader)
        return JSONResponse({**newest, "canEdit": editable})

    async def patch(self, request: Request) -> JSONResponse:
        """Edit the label document of one entity. Return the newest one."""
        caller = await self.service.caller(request)
        require_user(caller)
        body = await self.service.body(request, PatchRequest)
        reader = await self.service.reader(caller)
        newest = await self.service.write(patch, caller, reader, body, self.service.clock())
        return JSONResponse({**newest, "canEdit": True})

    async def history(self, request: Request) -> JSONResponse:
        """Return the newest label documents of an entity, oldest first.

        There are at most `?limit=`, older than version `?before=`. If there are earlier ones, `next_before` is the
        value of `?before=` for the next request; otherwise it is null.
        """
        reader = await self.service.reader(await self.service.caller(request))
        query = _entity_query(request)
        limit = number_in_query(request, "limit", default=MAX_VERSIONS, maximum=MAX_VERSIONS) or MAX_VERSIONS
        before = number_in_query(request, "before", default=LARGEST_VERSION, maximum=LARGEST_VERSION)
        if query.lineage_hash is None and "before" in request.query_params:
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "`before` is a version in one lineage: give session_hash")
        query = await self._whole(query, reader)
        if query.lineage_hash is None:
            history = await self.service.read(artifact_label_versions, query.entity, reader)
        else:
            where = (query.lineage_hash, reader, query.entity_type, query.entity)
            history = await self.service.read(label_versions, *where, before=before, limit=limit)
        return JSONResponse({"labels": history.documents, "next_before": history.before})

    async def reconcile(self, request: Request) -> JSONResponse:
        """Edit the labels of a lineage that the caller owns."""
        caller = await self.service.caller(request)
        require_user(caller)
        body = await self.service.body(request, ReconcileRequest)
        reader = await self.service.reader(caller)
        now = self.service.clock()
        return JSONResponse(await self.service.write(reconcile, caller, reader, body, now))

    async def _whole(self, query: "_EntityQuery", reader: Reader) -> "_EntityQuery":
        """Return a query with the whole digest. An artifact may be given by its first digits."""
        if query.entity_type != "artifact" or len(query.entity) >= HASH_LENGTH:
            return query
        return replace(query, entity=await whole_digest(self.service, query.entity, reader))


class _EntityQuery(Struct, frozen=True):
    """The entity that a query names. If `lineage_hash` is None, the query is about an artifact in all lineages."""

    entity_type: str
    entity: str
    lineage_hash: str | None


def _entity_query(request: Request) -> _EntityQuery:
    """Parse the query. Raises `Refusal` (422) if it does not name one entity."""
    parameters = request.query_params
    entity_type, lineage_hash = parameters.get("entity_type", ""), parameters.get("session_hash")
    if entity_type not in ENTITY_PARAMETERS:
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "give entity_type: dag, job or artifact")
    parameter = ENTITY_PARAMETERS[entity_type]
    entity = "" if parameter is None else parameters.get(parameter)
    if entity is None:
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, f"a label of this kind needs {parameter}")
    if lineage_hash is None and entity_type != "artifact":
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "a label of this kind needs its lineage: session_hash")
    return _EntityQuery(entity_type, entity, lineage_hash)
