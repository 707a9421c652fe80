"""The legacy endpoints, whose writes go directly into a visible lineage (`protocol.md §4`)."""

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Concatenate, ParamSpec, TypeVar

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from roar_publisher.glaas import batches, wire
from roar_publisher.glaas.protocol import API_ROOT
from roar_publisher.registry.accounts.callers import Caller
from roar_publisher.registry.accounts.replays import refuse_replay
from roar_publisher.registry.api.bulk import check_item_sizes, check_link_count, links_reply
from roar_publisher.registry.api.service import RegistryService, lineage_url, path_text
from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.lineages import staging
from roar_publisher.registry.lineages.labels import NOOPS, changes, write_each, write_label
from roar_publisher.registry.lineages.legacy import add_composite, labelled_graph, legacy_graph, open_legacy
from roar_publisher.registry.store.access import Reader
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.jobs import LinkKind

P = ParamSpec("P")
T = TypeVar("T")


class LegacyApi(Struct, frozen=True):
    """Endpoints that write under a hash that the client chose. All requests may be repeated."""

    service: RegistryService

    def routes(self) -> Sequence[BaseRoute]:
        """Return the routes, the busiest first."""
        lineage = f"{API_ROOT}/sessions/{{hash}}"
        batch = Route(f"{lineage}/links/batch", self.link_batch, methods=["POST"])
        return [
            *([batch] if self.service.bulk.legacy_links_batch else []),
            Route(f"{lineage}/jobs/{{uid}}/inputs", self.link_inputs, methods=["POST"]),
            Route(f"{lineage}/jobs/{{uid}}/outputs", self.link_outputs, methods=["POST"]),
            Route(f"{lineage}/jobs/batch", self.add_jobs, methods=["POST"]),
            Route(f"{lineage}/jobs", self.add_job, methods=["POST"]),
            Route(f"{API_ROOT}/artifacts/batch", self.add_artifacts, methods=["POST"]),
            Route(f"{API_ROOT}/artifacts/composites", self.add_composite, methods=["POST"]),
            Route(f"{API_ROOT}/labels/sync", self.label, methods=["POST"]),
            Route(f"{API_ROOT}/sessions", self.open, methods=["POST"]),
        ]

    async def open(self, request: Request) -> JSONResponse:
        """Create a lineage. It is visible and accepts writes at once."""
        caller = await self.service.caller(request)
        body = await self.service.body(request, wire.LegacySessionRequest)
        if body.scope_request is not None and caller.user is None:
            raise Refusal(HTTPStatus.FORBIDDEN, "a scope needs a signed-in user: sign in, or publish without a scope")
        scope = await self.service.scope(caller, body.scope_request)
        created = await self.service.write_from(request, caller, open_legacy, caller, body, scope, self.service.clock())
        reply = {"hash": body.hash, "url": lineage_url(request, body.hash), "created": created}
        return JSONResponse(reply, HTTPStatus.CREATED if created else HTTPStatus.OK)

    async def add_jobs(self, request: Request) -> JSONResponse:
        """Add jobs. Existing jobs are not changed."""
        with self.service.batch_limit(request) as limit:
            caller = await self.service.caller(request, limit=limit)
            jobs = (await self.service.body(request, batches.JobsRequest, limit=limit)).jobs
            check_item_sizes(jobs, request.state.body_size, self.service.body_limit)
            added = await self._into_lineage(request, caller, staging.add_jobs, jobs)
        existing = len(added.ids) - added.created
        reply = {"job_ids": added.ids, "errors": [], "created_count": added.created, "existing_count": existing}
        return JSONResponse(reply)

    async def add_job(self, request: Request) -> JSONResponse:
        """Add one job, as roar-cli's `put` does. An existing job is not changed."""
        caller = await self.service.caller(request)
        job = await self.service.body(request, batches.Job)
        added = await self._into_lineage(request, caller, staging.add_jobs, [job])
        return JSONResponse({"id": added.ids[0], "job_uid": job.job_uid, "created": added.created == 1})

    async def link_inputs(self, request: Request) -> JSONResponse:
        """Link a job's inputs."""
        return await self._link(request, LinkKind.INPUTS)

    async def link_outputs(self, request: Request) -> JSONResponse:
        """Link a job's outputs."""
        return await self._link(request, LinkKind.OUTPUTS)

    async def link_batch(self, request: Request) -> JSONResponse:
        """Link the inputs and outputs of several jobs. An entry that cannot be linked does not affect the others."""
        with self.service.batch_limit(request) as limit:
            caller = await self.service.caller(request, limit=limit)
            entries = (await self.service.body(request, batches.LinksBatchRequest, limit=limit)).links
            check_link_count(entries)
            largest = self.service.body_limit
            errors = await self._into_lineage(request, caller, staging.add_link_batch, entries, largest)
        return JSONResponse(links_reply(entries, errors))

    async def add_artifacts(self, request: Request) -> JSONResponse:
        """Add artifacts to the lineages that they name."""
        with self.service.batch_limit(request) as limit:
            caller = await self.service.caller(request, limit=limit)
            artifacts = (await self.service.body(request, batches.LegacyArtifactsRequest, limit=limit)).artifacts
            check_item_sizes(artifacts, request.state.body_size, self.service.body_limit)
            reader = await self.service.reader(caller)
            created = await self.service.write_from(request, caller, _add_artifacts, reader, artifacts)
        return JSONResponse({"created": created, "existing": len(artifacts) - created, "errors": []})

    async def add_composite(self, request: Request) -> JSONResponse:
        """Add a composite artifact to the lineage that it names."""
        caller = await self.service.caller(request)
        body = await self.service.body(request, wire.LegacyCompositeRequest)
        reader = await self.service.reader(caller)
        created = await self.service.write_from(request, caller, add_composite, reader, body, self.service.clock())
        return JSONResponse({"hash": body.hash, "created": created})

    async def label(self, request: Request) -> JSONResponse:
        """Label lineages."""
        caller = await self.service.caller(request)
        body = await self.service.body(request, wire.LabelsRequest)
        reader, now = await self.service.reader(caller), self.service.clock()
        outcome = await self.service.write_from(request, caller, _label, caller, reader, body.labels, now)
        return JSONResponse({**outcome, "unchanged": outcome[NOOPS]})

    async def _link(self, request: Request, kind: LinkKind) -> JSONResponse:
        caller = await self.service.caller(request)
        body = await self.service.body(request, batches.LinksRequest)
        uid = path_text(request, "uid")
        await self._into_lineage(request, caller, staging.add_links, uid, kind, body.artifacts)
        return JSONResponse({"job_uid": uid, f"{kind}_linked": len(body.artifacts)})

    async def _into_lineage(
        self,
        request: Request,
        caller: Caller,
        operation: Callable[Concatenate[Connection, int, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        lineage_hash = path_text(request, "hash")
        reader = await self.service.reader(caller)

        def write_into_lineage(connection: Connection) -> T:
            return operation(connection, legacy_graph(connection, reader, lineage_hash), *args, **kwargs)

        return await self.service.write_from(request, caller, write_into_lineage)


def _add_artifacts(connection: Connection, reader: Reader, artifacts: Sequence[batches.LegacyArtifact]) -> int:
    by_lineage: dict[str, list[batches.LegacyArtifact]] = {}
    for artifact in artifacts:
        by_lineage.setdefault(artifact.session_hash, []).append(artifact)
    return sum(
        staging.add_artifacts(connection, legacy_graph(connection, reader, lineage_hash), group)
        for lineage_hash, group in by_lineage.items()
    )


def _label(
    connection: Connection, caller: Caller, reader: Reader, labels: Sequence[wire.Label], now: float
) -> dict[str, object]:
    def write(label: wire.Label) -> str:
        graph_id, rights = labelled_graph(connection, reader, label, now)
        return write_label(connection, graph_id, label, now, rights)

    outcome = write_each(labels, write)
    refuse_replay(connection, caller, changed=changes(outcome), now=now)
    return outcome
