"""What each endpoint takes and replies. `document` makes the OpenAPI document of it; a test finds missing endpoints."""

from enum import Enum

from msgspec import Struct
from pydantic import BaseModel

from roar_publisher.glaas import batches, wire
from roar_publisher.glaas.protocol import API_ROOT
from roar_publisher.registry.api.artifacts import DEEPEST
from roar_publisher.registry.api.auth import MAX_LISTED, RefreshRequest
from roar_publisher.registry.api.device import DevicePoll, DeviceStart
from roar_publisher.registry.api.fragments import FragmentBatchRequest, FragmentRenewal, FragmentSessionRequest
from roar_publisher.registry.api.labels import LARGEST_VERSION
from roar_publisher.registry.api.openapi import reading_replies as to_readers
from roar_publisher.registry.api.openapi import staging_replies as to_writers
from roar_publisher.registry.api.pages import JOBS_PER_PAGE
from roar_publisher.registry.api.public import LARGEST_OFFSET, MAX_JOBS_PER_PAGE
from roar_publisher.registry.lineages.impact import MAX_DESCENDANTS
from roar_publisher.registry.lineages.indexing import MAX_GROUPS
from roar_publisher.registry.lineages.label_views import MAX_VERSIONS
from roar_publisher.registry.lineages.reconcile import PatchRequest, ReconcileRequest


class Callers(Enum):
    """Who may call. The values are alternatives, each the name of a security scheme; empty is nobody in particular."""

    ANYBODY = ("",)
    OPTIONAL = ("", "bearer", "signature")
    USER = ("bearer", "signature")
    BEARER = ("bearer",)
    OPENER = ("registrationSession", "bearer", "signature")
    FRAGMENTS = ("fragmentToken",)
    BROWSER = ("", "cookie")


class Query(Struct, frozen=True):
    """A parameter of the query: text, one of the `choices`, or a whole number up to `maximum`."""

    name: str
    maximum: int | None = None
    choices: tuple[str, ...] = ()
    required: bool = False


class Operation(Struct, frozen=True, kw_only=True):
    """An endpoint. `reply` is None for no content, `body` for no body. `successes` are its statuses with this reply.

    `also` are statuses that do not follow from the rest. `summary` is given where the endpoint has no docstring.
    `form` are the fields of a page's form.
    """

    callers: Callers
    reply: type[BaseModel] | None
    body: type[BaseModel | Struct] | None = None
    query: tuple[Query, ...] = ()
    successes: tuple[int, ...] = (200,)
    also: tuple[int, ...] = ()
    is_page: bool = False
    form: tuple[str, ...] = ()
    summary: str = ""


MADE_OR_FOUND = (200, 201)
_ENTITY = (
    Query("entity_type", choices=("dag", "job", "artifact"), required=True),
    Query("session_hash"),
    Query("job_uid"),
    Query("artifact_hash"),
)


def _read(reply: type[BaseModel], *query: Query, also: tuple[int, ...] = ()) -> Operation:
    return Operation(callers=Callers.OPTIONAL, reply=reply, query=query, also=also)


def _staged(body: type[BaseModel | Struct], reply: type[BaseModel]) -> Operation:
    return Operation(callers=Callers.OPENER, body=body, reply=reply)


def _legacy(body: type[BaseModel | Struct], reply: type[BaseModel], successes: tuple[int, ...] = (200,)) -> Operation:
    return Operation(callers=Callers.OPTIONAL, body=body, reply=reply, successes=successes)


def _page(
    summary: str,
    *query: Query | str,
    callers: Callers = Callers.BROWSER,
    form: tuple[str, ...] = (),
    successes: tuple[int, ...] = (200,),
) -> Operation:
    return Operation(
        callers=callers,
        reply=None,
        query=tuple(Query(each) if isinstance(each, str) else each for each in query),
        successes=successes,
        is_page=True,
        form=form,
        summary=summary,
    )


_PAGE = Query("page", LARGEST_OFFSET // JOBS_PER_PAGE)
_SESSION, _LEGACY = f"{API_ROOT}/registration-sessions/{{id}}", f"{API_ROOT}/sessions/{{hash}}"
_ARTIFACT, _FRAGMENTS = f"{API_ROOT}/artifacts/{{hash}}", f"{API_ROOT}/fragments/sessions"

STAGING = {
    f"POST {API_ROOT}/registration-sessions": Operation(
        callers=Callers.OPTIONAL, body=wire.OpenRequest, reply=to_writers.SessionOpened, successes=MADE_OR_FOUND
    ),
    f"POST {_SESSION}/jobs": _staged(batches.Job, to_writers.JobStaged),
    f"POST {_SESSION}/jobs/batch": _staged(batches.JobsRequest, to_writers.JobsStaged),
    f"POST {_SESSION}/jobs/{{uid}}/inputs": _staged(batches.LinksRequest, to_writers.LinksStaged),
    f"POST {_SESSION}/jobs/{{uid}}/outputs": _staged(batches.LinksRequest, to_writers.LinksStaged),
    f"POST {_SESSION}/jobs/{{uid}}/view-edges": _staged(wire.ViewEdgesRequest, to_writers.ViewEdgesStaged),
    f"POST {_SESSION}/links/batch": _staged(batches.LinksBatchRequest, to_writers.LinkBatchStaged),
    f"POST {_SESSION}/artifacts/batch": _staged(batches.ArtifactsRequest, to_writers.ArtifactsStaged),
    f"POST {_SESSION}/artifacts/composites": _staged(wire.CompositeRequest, to_writers.ArtifactAdded),
    f"POST {_SESSION}/finalize": _staged(wire.FinalizeRequest, to_writers.SessionFinalized),
    f"POST {_SESSION}/labels/batch": _staged(wire.LabelsRequest, to_writers.LabelsWritten),
}
LEGACY = {
    f"POST {API_ROOT}/sessions": _legacy(wire.LegacySessionRequest, to_writers.LegacyOpened, MADE_OR_FOUND),
    f"POST {_LEGACY}/jobs": _legacy(batches.Job, to_writers.JobStaged),
    f"POST {_LEGACY}/jobs/batch": _legacy(batches.JobsRequest, to_writers.JobsStaged),
    f"POST {_LEGACY}/jobs/{{uid}}/inputs": _legacy(batches.LinksRequest, to_writers.LinksStaged),
    f"POST {_LEGACY}/jobs/{{uid}}/outputs": _legacy(batches.LinksRequest, to_writers.LinksStaged),
    f"POST {_LEGACY}/links/batch": _legacy(batches.LinksBatchRequest, to_writers.LinkBatchStaged),
    f"POST {API_ROOT}/artifacts/batch": _legacy(batches.LegacyArtifactsRequest, to_writers.ArtifactsAdded),
    f"POST {API_ROOT}/artifacts/composites": _legacy(wire.LegacyCompositeRequest, to_writers.ArtifactAdded),
    f"POST {API_ROOT}/artifacts": _legacy(batches.LegacyArtifact, to_writers.ArtifactAdded, MADE_OR_FOUND),
    f"POST {API_ROOT}/jobs/{{uid}}/artifacts": _legacy(wire.ViewEdgesRequest, to_writers.ViewEdgesStaged),
    f"POST {API_ROOT}/labels/sync": _legacy(wire.LabelsRequest, to_writers.LabelsWritten),
}
READING = {
    f"GET {API_ROOT}/health": Operation(callers=Callers.ANYBODY, reply=to_writers.HealthReply),
    f"GET {_LEGACY}": _read(
        to_readers.LineagePage, Query("offset", LARGEST_OFFSET), Query("limit", MAX_JOBS_PER_PAGE), Query("set_aside")
    ),
    f"GET {_LEGACY}/readback": _read(to_readers.ReadbackReply, Query("after")),
    f"GET {_LEGACY}/readback/labels": _read(to_readers.LabelsReadback, Query("after")),
    f"GET {_LEGACY}/receipt": _read(to_readers.ReceiptOfLineage, also=(501,)),
    f"GET {API_ROOT}/receipt-keys": Operation(callers=Callers.ANYBODY, reply=to_readers.ReceiptKeysSent, also=(501,)),
    f"GET {_ARTIFACT}": _read(to_readers.ArtifactReply),
    f"GET {API_ROOT}/public/artifacts/{{hash}}": _read(to_readers.ArtifactReply),
    f"GET {_ARTIFACT}/components": _read(to_readers.ComponentsReply),
    f"GET {_ARTIFACT}/dag": _read(to_readers.UpstreamReply, also=(413,)),
    f"GET {_ARTIFACT}/lineage": _read(to_readers.UpstreamReply, Query("depth", DEEPEST), also=(413,)),
    f"GET {API_ROOT}/public/sessions/{{hash}}/reproduction": _read(to_readers.ReproductionReply, also=(413,)),
    f"GET {API_ROOT}/labels/current": _read(to_readers.CurrentLabel, *_ENTITY),
    f"GET {API_ROOT}/labels/history": _read(
        to_readers.LabelHistory, *_ENTITY, Query("limit", MAX_VERSIONS), Query("before", LARGEST_VERSION)
    ),
    f"PATCH {API_ROOT}/labels/current": Operation(
        callers=Callers.USER, body=PatchRequest, reply=to_readers.CurrentLabel
    ),
    f"POST {API_ROOT}/labels/reconcile": Operation(
        callers=Callers.USER, body=ReconcileRequest, reply=to_readers.Reconciled
    ),
}
ACCOUNTS = {
    f"GET {API_ROOT}/sessions": Operation(
        callers=Callers.USER, reply=to_readers.OwnSessions, query=(Query("limit", MAX_LISTED),)
    ),
    f"GET {API_ROOT}/auth/me": Operation(callers=Callers.USER, reply=to_readers.Me),
    f"GET {API_ROOT}/auth/access-context": Operation(callers=Callers.BEARER, reply=to_readers.AccessContextSent),
    f"POST {API_ROOT}/auth/refresh": Operation(
        callers=Callers.ANYBODY, body=RefreshRequest, reply=to_readers.TokensReply, also=(401,)
    ),
    f"POST {API_ROOT}/auth/logout": Operation(callers=Callers.BEARER, reply=to_readers.SignedOut),
    f"POST {API_ROOT}/auth/device/start": Operation(
        callers=Callers.ANYBODY, body=DeviceStart, reply=to_readers.DeviceCodesReply
    ),
    f"POST {API_ROOT}/auth/device/token": Operation(
        callers=Callers.ANYBODY, body=DevicePoll, reply=to_readers.TokensReply
    ),
    f"POST {_FRAGMENTS}": Operation(
        callers=Callers.OPTIONAL,
        body=FragmentSessionRequest,
        reply=to_readers.FragmentSessionReply,
        successes=MADE_OR_FOUND,
        also=(409,),
    ),
    f"POST {_FRAGMENTS}/{{id}}/fragments": Operation(
        callers=Callers.FRAGMENTS, body=FragmentBatchRequest, reply=to_readers.FragmentStored, successes=(201,)
    ),
    f"GET {_FRAGMENTS}/{{id}}/fragments": Operation(callers=Callers.FRAGMENTS, reply=to_readers.FragmentsReply),
    f"POST {_FRAGMENTS}/{{id}}/renew": Operation(
        callers=Callers.FRAGMENTS, body=FragmentRenewal, reply=to_readers.FragmentSessionReply
    ),
    f"POST {API_ROOT}/telemetry/roar": Operation(
        callers=Callers.ANYBODY, reply=None, successes=(204,), also=(408, 413, 415)
    ),
}
OTHERS = {
    "GET /healthz": Operation(callers=Callers.ANYBODY, reply=to_writers.Probed),
    "GET /readyz": Operation(callers=Callers.ANYBODY, reply=to_writers.Probed, successes=(200, 503)),
    "GET /openapi.json": Operation(callers=Callers.ANYBODY, reply=None),
    "GET /": _page("The newest lineages.", "visibility", "at", "after"),
    "GET /dag/{hash}": _page(
        "A lineage.",
        _PAGE,
        Query("from", LARGEST_OFFSET),
        "node",
        Query("group", MAX_GROUPS),
        Query("part", _PAGE.maximum),
    ),
    "GET /dag/{hash}/jobs/{uid}": _page("A job.", "inputs_after", "outputs_after"),
    "GET /artifacts/{digest}": _page("An artifact.", "at", "after"),
    "GET /impact": _page("What descends from an artifact.", "digest", Query("page", MAX_DESCENDANTS)),
    "GET /repository": _page("Lineages of a repository.", "name", "visibility", "at", "after"),
    "GET /owner": _page("Lineages of an owner.", "name", "visibility", "at", "after"),
    "GET /project": _page("Lineages of a project.", "name", "visibility", "at", "after"),
    "GET /search": _page("What a search finds.", "q", "kind"),
    "GET /sign-in": _page("", "next", callers=Callers.ANYBODY),
    "POST /sign-in": _page("", callers=Callers.ANYBODY, form=("form_token", "next", "code"), successes=(303,)),
    "GET /account": _page("", successes=(200, 303)),
    "POST /sign-out": _page("", callers=Callers.ANYBODY, form=("form_token",), successes=(303,)),
    "GET /device": _page("", successes=(200, 303)),
    "POST /device": _page("", form=("form_token", "user_code"), successes=(200, 303)),
    "POST /device/decision": _page("", form=("form_token", "user_code", "decision"), successes=(200, 303)),
}
OPERATIONS = {**STAGING, **LEGACY, **READING, **ACCOUNTS, **OTHERS}
"""The operations by method and path."""
