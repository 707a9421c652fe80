"""The endpoints of registration sessions: open, stage, finalize, label (`protocol.md §4`)."""

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Concatenate, ParamSpec, TypeVar

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from roar_publisher.glaas import batches, wire
from roar_publisher.glaas.protocol import ANONYMOUS_PUBLIC, API_ROOT
from roar_publisher.registry.accounts.callers import ANONYMOUS_CALLER, Caller, require_user, session_token
from roar_publisher.registry.api.bulk import check_item_sizes, check_link_count, links_reply
from roar_publisher.registry.api.finalizer import Finalizer
from roar_publisher.registry.api.releases import Since, understands
from roar_publisher.registry.api.service import RegistryService, client_of_request, lineage_url, path_text
from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.lineages import labels, staging
from roar_publisher.registry.lineages.prepared import prepare, refuse_other_jobs
from roar_publisher.registry.lineages.reading import registered_jobs
from roar_publisher.registry.lineages.registration import Access, open_session, touch_open_session
from roar_publisher.registry.store.database import Connection, Operation
from roar_publisher.registry.store.jobs import LinkKind

P = ParamSpec("P")
T = TypeVar("T")

AUTHENTICATED = "authenticated"
"""The default `mode` of a session that a user opened."""


class StagedApi(Struct, frozen=True):
    """Endpoints of registration sessions. All writes may be repeated. Readers see none of them before finalize."""

    service: RegistryService
    finalizer: Finalizer

    def routes(self) -> Sequence[BaseRoute]:
        """Return the routes, the busiest first."""
        root = f"{API_ROOT}/registration-sessions"
        features = self.service.features
        batch = Route(f"{root}/{{id}}/links/batch", self.link_batch, methods=["POST"])
        return [
            *([batch] if features is not None and features.links_batch else []),
            Route(f"{root}/{{id}}/jobs/{{uid}}/inputs", self.link_inputs, methods=["POST"]),
            Route(f"{root}/{{id}}/jobs/{{uid}}/outputs", self.link_outputs, methods=["POST"]),
            Route(f"{root}/{{id}}/jobs/batch", self.stage_jobs, methods=["POST"]),
            Route(f"{root}/{{id}}/jobs", self.stage_job, methods=["POST"]),
            Route(f"{root}/{{id}}/artifacts/batch", self.stage_artifacts, methods=["POST"]),
            Route(f"{root}/{{id}}/artifacts/composites", self.stage_composite, methods=["POST"]),
            Route(f"{root}/{{id}}/jobs/{{uid}}/view-edges", self.stage_view_edges, methods=["POST"]),
            Route(f"{root}/{{id}}/finalize", self.finalize, methods=["POST"]),
            Route(f"{root}/{{id}}/labels/batch", self.label, methods=["POST"]),
            Route(root, self.open, methods=["POST"]),
        ]

    async def open(self, request: Request) -> JSONResponse:
        """Create a session, or return the existing one for this client id."""
        caller = await self.service.caller(request)
        body = await self.service.body(request, wire.OpenRequest)
        anonymous = body.mode == ANONYMOUS_PUBLIC
        self._check_opener(caller, anonymous)
        opener = ANONYMOUS_CALLER if anonymous else caller
        session, created = await self.service.write_from(
            request,
            opener,
            open_session,
            opener,
            client_session_id=body.client_session_id,
            mode=body.mode or AUTHENTICATED,
            now=self.service.clock(),
            client=client_of_request(request),
            most_open=self.service.limits.open_sessions,
        )
        reply = {
            "registration_session_id": session.id,
            "created": created,
            "status": "active" if session.receipt is None else "closed",
            "mode": session.mode,
        }
        if anonymous:
            reply["registration_session_token"] = session_token(self.service.store.secret, session.id)
        return JSONResponse(reply, HTTPStatus.CREATED if created else HTTPStatus.OK)

    def _check_opener(self, caller: Caller, anonymous: bool) -> None:
        features = self.service.features
        if anonymous and (features is None or not features.anonymous_public):
            raise Refusal(HTTPStatus.FORBIDDEN, "this registry does not accept anonymous registration sessions")
        if anonymous:
            return
        require_user(caller)
        if features is None or not features.authenticated:
            raise Refusal(HTTPStatus.NOT_FOUND, "this registry has no registration sessions for users")

    async def stage_jobs(self, request: Request) -> JSONResponse:
        """Stage jobs. Existing jobs are not changed, and jobs of another lineage of this user stay there."""
        with self.service.batch_limit(request) as limit:
            access = await self._access(request, limit)
            jobs = (await self.service.body(request, batches.JobsRequest, limit=limit)).jobs
            check_item_sizes(jobs, request.state.body_size, self.service.body_limit)
            if access.caller.user is not None and understands(request, Since.BINDING_PREPARED):
                prepared = await self._write(request, access, _prepare, access, jobs)
                if prepared is not None:
                    none = staging.Added([], 0)
                    return JSONResponse(_jobs_reply(jobs, none, [prepared], prepared=True))
            known = understands(request, Since.ALREADY_REGISTERED)
            size: int = request.state.body_size
            added, published = await self._write(
                request, access, _stage_jobs, access, size, jobs, leave_published=known
            )
        return JSONResponse(_jobs_reply(jobs, added, published))

    async def stage_job(self, request: Request) -> JSONResponse:
        """Stage one job, as roar-cli's `put` does. An existing job is not changed."""
        access = await self._access(request)
        job = await self.service.body(request, batches.Job)
        known = understands(request, Since.ALREADY_REGISTERED)
        size: int = request.state.body_size
        added, published = await self._write(request, access, _stage_jobs, access, size, [job], leave_published=known)
        if published:
            raise Refusal(HTTPStatus.CONFLICT, f"the job belongs to the published lineage {published[0]}")
        return JSONResponse({"id": added.ids[0], "job_uid": job.job_uid, "created": added.created == 1})

    async def stage_artifacts(self, request: Request) -> JSONResponse:
        """Stage artifacts. Existing artifacts are not changed."""
        with self.service.batch_limit(request) as limit:
            access = await self._access(request, limit)
            artifacts = (await self.service.body(request, batches.ArtifactsRequest, limit=limit)).artifacts
            check_item_sizes(artifacts, request.state.body_size, self.service.body_limit)
            created = await self._stage(request, access, staging.add_artifacts, artifacts)
        return JSONResponse({"created": created, "updated": len(artifacts) - created, "errors": 0})

    async def stage_composite(self, request: Request) -> JSONResponse:
        """Stage a composite artifact."""
        access = await self._access(request)
        body = await self.service.body(request, wire.CompositeRequest)
        created = await self._stage(request, access, staging.add_composite, body)
        return JSONResponse({"hash": body.hash, "created": created})

    async def link_inputs(self, request: Request) -> JSONResponse:
        """Link a job's inputs."""
        return await self._link(request, LinkKind.INPUTS)

    async def link_outputs(self, request: Request) -> JSONResponse:
        """Link a job's outputs."""
        return await self._link(request, LinkKind.OUTPUTS)

    async def link_batch(self, request: Request) -> JSONResponse:
        """Link the inputs and outputs of several jobs. An entry that cannot be linked does not affect the others."""
        with self.service.batch_limit(request) as limit:
            access = await self._access(request, limit)
            entries = (await self.service.body(request, batches.LinksBatchRequest, limit=limit)).links
            check_link_count(entries)
            errors = await self._stage(request, access, staging.add_link_batch, entries, self.service.body_limit)
        return JSONResponse(links_reply(entries, errors))

    async def stage_view_edges(self, request: Request) -> JSONResponse:
        """Record which parts of composites a job used."""
        access = await self._access(request)
        body = await self.service.body(request, wire.ViewEdgesRequest)
        await self._stage(request, access, staging.add_view_edges, path_text(request, "uid"), body.view_edges)
        return JSONResponse({"view_edges_linked": len(body.view_edges)})

    async def finalize(self, request: Request) -> JSONResponse:
        """Publish the session's lineage and return its receipt. For a closed session, return the existing receipt."""
        access = await self._access(request)
        body = await self.service.body(request, wire.FinalizeRequest)
        receipt = await self.finalizer.finalize(access, body, _client(request, access.caller))
        return JSONResponse({**receipt, "url": lineage_url(request, str(receipt["hash"]))})

    async def label(self, request: Request) -> JSONResponse:
        """Label the lineage that the session published."""
        access = await self._access(request)
        body = await self.service.body(request, wire.LabelsRequest)
        reader = await self.service.reader(access.caller)
        outcome = await self.service.write_from(
            request, access.caller, labels.write_session_labels, access, reader, body.labels
        )
        return JSONResponse(outcome)

    async def _link(self, request: Request, kind: LinkKind) -> JSONResponse:
        access = await self._access(request)
        body = await self.service.body(request, batches.LinksRequest)
        uid = path_text(request, "uid")
        await self._stage(request, access, staging.add_links, uid, kind, body.artifacts)
        return JSONResponse({"job_uid": uid, f"{kind}_linked": len(body.artifacts)})

    async def _stage(
        self,
        request: Request,
        access: Access,
        operation: Callable[Concatenate[Connection, int, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        size: int = request.state.body_size

        def write_into_session(connection: Connection) -> T:
            session = touch_open_session(connection, access, size)
            return operation(connection, session.graph_id, *args, **kwargs)

        return await self._write(request, access, write_into_session)

    async def _write(
        self, request: Request, access: Access, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `operation`, which begins with `touch_open_session`. Quotas are counted by one write at a time."""
        if access.caller.user is not None:
            return await self.service.write_alongside(operation, *args, **kwargs)
        return await self.service.write_from(request, access.caller, operation, *args, **kwargs)

    async def _access(self, request: Request, limit: int | None = None) -> Access:
        service = self.service
        caller = await service.caller(request, limit=limit)
        return Access(
            path_text(request, "id"), caller, service.store.secret, service.clock(), service.limits.session_bytes
        )


def _client(request: Request, caller: Caller) -> str:
    """Return the key of the client: the user, or the address if the caller is not signed in."""
    return f"host {client_of_request(request)}" if caller.user is None else f"user {caller.owner}"


def _jobs_reply(
    jobs: Sequence[batches.Job], added: staging.Added, published: Sequence[str], *, prepared: bool = False
) -> dict[str, object]:
    """Return the reply to a batch of jobs. Ids are by position, also of jobs that another lineage has: the uids."""
    return {
        "job_ids": [job.job_uid for job in jobs],
        "errors": [],
        "created_count": added.created,
        "existing_count": len(added.ids) - added.created,
        "already_registered_session_hashes": published,
        "existing_binding_prepared": prepared,
    }


def _prepare(connection: Connection, access: Access, jobs: Sequence[batches.Job]) -> str | None:
    return prepare(connection, touch_open_session(connection, access, 0), [job.job_uid for job in jobs])


def _stage_jobs(
    connection: Connection, access: Access, size: int, jobs: Sequence[batches.Job], *, leave_published: bool
) -> tuple[staging.Added, list[str]]:
    """Stage jobs from a body of `size` bytes.

    Return the added jobs and the hashes of the published lineages that contain the jobs left out.

    With `leave_published`, jobs that a public lineage of this user already contains are not staged.
    """
    session = touch_open_session(connection, access, size)
    refuse_other_jobs(session)
    uids = [job.job_uid for job in jobs] if leave_published else []
    elsewhere = registered_jobs(connection, session.owner, uids)
    fresh = [job for job in jobs if job.job_uid not in elsewhere]
    return staging.add_jobs(connection, session.graph_id, fresh), sorted(set(elsewhere.values()))
