"""The label endpoints that `roar label` reads, and the one that it edits through."""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from roar_publisher.glaas.wire import API_ROOT
from roar_publisher.registry.auth import Caller, require_user
from roar_publisher.registry.label_views import (
    artifact_label_versions,
    current_artifact_labels,
    label_versions,
    no_labels,
)
from roar_publisher.registry.reconcile import ReconcileRequest, is_own, reconcile
from roar_publisher.registry.refusals import Refusal
from roar_publisher.registry.scope import Reader
from roar_publisher.registry.service import Service

ENTITY_PARAMETERS = {"dag": None, "job": "job_uid", "artifact": "artifact_hash"}
"""Which query parameter names an entity, by its type."""
_AcrossLineages = Callable[[sqlite3.Connection, str, Reader], list[dict[str, object]]]


@dataclass(frozen=True, slots=True)
class LabelApi:
    """Labels of published lineages over HTTP."""

    service: Service

    def routes(self) -> Sequence[BaseRoute]:
        """The routes."""
        root = f"{API_ROOT}/labels"
        return [
            Route(f"{root}/current", self.current, methods=["GET"]),
            Route(f"{root}/history", self.history, methods=["GET"]),
            Route(f"{root}/reconcile", self.reconcile, methods=["POST"]),
        ]

    async def current(self, request: Request) -> JSONResponse:
        """The newest label document of one entity."""
        caller = await self.service.caller(request)
        documents = await self._documents(request, caller, across_lineages=current_artifact_labels)
        if not documents:
            raise no_labels()
        newest = documents[-1]
        own = await self.service.read(is_own, str(newest["sessionHash"]), caller)
        return JSONResponse({**newest, "canEdit": own})

    async def history(self, request: Request) -> JSONResponse:
        """All label documents of one entity, the oldest first."""
        caller = await self.service.caller(request)
        return JSONResponse({"labels": await self._documents(request, caller, across_lineages=artifact_label_versions)})

    async def reconcile(self, request: Request) -> JSONResponse:
        """Edit labels of a lineage of one's own."""
        caller = await self.service.caller(request)
        require_user(caller)
        body = await self.service.body(request, ReconcileRequest)
        reader = await self.service.reader(caller)
        now = self.service.clock()
        return JSONResponse(await self.service.write(reconcile, caller, reader, body, now))

    async def _documents(
        self, request: Request, caller: Caller, *, across_lineages: _AcrossLineages
    ) -> list[dict[str, object]]:
        """across_lineages: reads the documents of an artifact where the query names no lineage."""
        reader = await self.service.reader(caller)
        query = request.query_params
        entity_type, lineage_hash = query.get("entity_type", ""), query.get("session_hash")
        if entity_type not in ENTITY_PARAMETERS:
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "name entity_type: dag, job or artifact")
        parameter = ENTITY_PARAMETERS[entity_type]
        entity = "" if parameter is None else query.get(parameter)
        if entity is None:
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, f"a label of this kind is found by {parameter}")
        if lineage_hash is not None:
            return await self.service.read(label_versions, lineage_hash, reader, entity_type, entity)
        if entity_type != "artifact":
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "a label of this kind is found in its lineage: session_hash")
        return await self.service.read(across_lineages, entity, reader)
