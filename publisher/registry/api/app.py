"""The registry as an ASGI app, for uvicorn and for in-process use on asyncio and trio.

Replies use the bare envelope of `protocol.md §2`: a success is the object itself, an error is `{"detail": …}`. Only
`/auth/me`, `/auth/access-context` and `/auth/logout` use the `success`/`data` envelope, because clients expect it
there.
"""

import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus
from typing import Protocol

import anyio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from roar_publisher.glaas.features import RegistrationSessionFeatures
from roar_publisher.glaas.wire import DEFAULT_BODY_LIMIT
from roar_publisher.registry.accounts.authority import Authority, CallRunner, LocalAuthority
from roar_publisher.registry.accounts.callers import CallerIdentifier
from roar_publisher.registry.accounts.limits import DEFAULT_LIMITS, BodyRates, ClientLimits
from roar_publisher.registry.accounts.quotas import DEFAULT_QUOTA, Amount
from roar_publisher.registry.accounts.signatures import Signatures
from roar_publisher.registry.api.additions import AdditionsApi
from roar_publisher.registry.api.artifacts import ArtifactApi
from roar_publisher.registry.api.auth import AuthApi
from roar_publisher.registry.api.browsers import BrowserGuard
from roar_publisher.registry.api.bulk import BulkFeatures
from roar_publisher.registry.api.dates import DateHeader
from roar_publisher.registry.api.device import DeviceApi
from roar_publisher.registry.api.finalizer import Finalizer
from roar_publisher.registry.api.fragments import FragmentApi
from roar_publisher.registry.api.health import HealthApi
from roar_publisher.registry.api.labels import LabelApi
from roar_publisher.registry.api.legacy import LegacyApi
from roar_publisher.registry.api.openapi.endpoint import OpenApi
from roar_publisher.registry.api.pages import Pages
from roar_publisher.registry.api.public import PublicApi
from roar_publisher.registry.api.receipts import ReceiptApi
from roar_publisher.registry.api.requests import Observer, RequestRecord, name_reply
from roar_publisher.registry.api.service import RegistryService
from roar_publisher.registry.api.sign_in import SignInPages
from roar_publisher.registry.api.staged import StagedApi
from roar_publisher.registry.api.telemetry import TelemetryApi
from roar_publisher.registry.data import Store
from roar_publisher.registry.http.base_path import BasePath
from roar_publisher.registry.http.bounds import ChunkedReplies
from roar_publisher.registry.http.lifecycle import DrainGuard, Lifecycle
from roar_publisher.registry.http.names import Names
from roar_publisher.registry.http.refusals import RETRY_AFTER, Refusal
from roar_publisher.registry.lineages.indexing import index_forever
from roar_publisher.registry.lineages.sweeping import sweep_forever
from roar_publisher.registry.lineages.turns import Turns
from roar_publisher.registry.store.errors import StoreUnavailable, TooLong
from roar_publisher.registry.store.worker import ForClient, Worker

logger = logging.getLogger(__name__)

ALL_FEATURES = RegistrationSessionFeatures(
    authenticated=True,
    anonymous_public=True,
    finalize_server_authoritative_hash=True,
    finalize_expected_counts=True,
    links_batch=True,
)
"""The features that this release supports."""
ALL_BULK_FEATURES = BulkFeatures()


def create_app(
    store: Store,
    *,
    features: RegistrationSessionFeatures | None = ALL_FEATURES,
    clock: Callable[[], float] = time.time,
    body_limit: int = DEFAULT_BODY_LIMIT,
    bulk: BulkFeatures = ALL_BULK_FEATURES,
    run: CallRunner | None = None,
    turns: Turns | None = None,
    quota: Amount = DEFAULT_QUOTA,
    limits: ClientLimits = DEFAULT_LIMITS,
    authority: Callable[[CallRunner], Authority] | None = None,
    names: Names | None = None,
    lifecycle: Lifecycle | None = None,
    observer: Observer | None = None,
    base_path: str = "",
) -> Starlette:
    """Create the registry's app over `store`. The caller remains responsible for closing the store.

    `features` are the features that are advertised and honoured; with None, there are no registration sessions (404).
    `bulk` is the same for large requests. `clock` returns Unix seconds. `body_limit` is in bytes; larger bodies get a
    413, except for batches, whose limit `bulk` holds. `run` runs blocking calls, one at a time; the default is
    `Worker`, and tests on virtual time pass an inline one. `turns` limits how many finalizes run at once. `quota` is
    the amount that one client may write without a credential; `limits` are those of every moment. `authority` creates
    the authority that validates bearers; the default uses the store's own accounts. `names` are the host names that the
    registry is served under; None, for in-process use, accepts any name. `lifecycle` says when the registry drains.
    `observer` receives what it does. `base_path` is the path below which clients reach the registry
    (`base_path.base_path_of`).

    During the app's lifespan, background tasks sweep the store and index published lineages. At its end, the authority
    is closed.
    """
    run, lifecycle, observer = run or Worker().run, lifecycle or Lifecycle(), observer or Observer()
    bearers = LocalAuthority(store.accounts, run, clock) if authority is None else authority(run)
    caller_identifier = CallerIdentifier(bearers, Signatures(store.accounts, run, clock), names)
    rates = BodyRates(limits.minute_bytes)
    service = RegistryService(store, caller_identifier, features, clock, body_limit, bulk, quota, limits, rates, run)
    return Starlette(
        routes=_routes(service, turns or Turns(), lifecycle),
        middleware=[
            *([Middleware(BasePath, base=base_path)] if base_path else []),
            Middleware(RequestRecord, observer=observer),
            Middleware(DateHeader, clock=clock),
            Middleware(DrainGuard, lifecycle=lifecycle),
            Middleware(BrowserGuard, names=names),
            Middleware(ChunkedReplies),
            Middleware(ForClient),
        ],
        lifespan=partial(_lifespan, bearers, service, observer),
        exception_handlers={
            Refusal: _refused,
            HTTPException: _not_served,
            StoreUnavailable: _store_unavailable,
            TooLong: _too_long,
            Exception: _internal_error,
        },
    )


def _routes(service: RegistryService, turns: Turns, lifecycle: Lifecycle) -> list[BaseRoute]:
    groups: list[_Routed] = [
        LegacyApi(service),
        AuthApi(service),
        LabelApi(service),
        PublicApi(service),
        ArtifactApi(service),
        AdditionsApi(service),
        FragmentApi(service),
        TelemetryApi(service),
        Pages(service),
        SignInPages(service),
        DeviceApi(service),
        ReceiptApi(service),
        HealthApi(service, lifecycle),
        OpenApi(),
    ]
    if service.features is not None:
        groups.insert(0, StagedApi(service, Finalizer(service, turns)))
    return [route for group in groups for route in group.routes()]


@asynccontextmanager
async def _lifespan(
    authority: Authority, service: RegistryService, observer: Observer, app: Starlette
) -> AsyncIterator[None]:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(sweep_forever, service.write_unseen, service.clock, observer.swept, observer.staged))
        tasks.start_soon(partial(index_forever, service.write_unseen, service.changes))
        yield
        tasks.cancel_scope.cancel()
    await authority.close()


class _Routed(Protocol):
    def routes(self) -> Sequence[BaseRoute]: ...


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return JSONResponse(error.body(), error.status, error.headers)


async def _not_served(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    # roar uses this sentence to distinguish a missing endpoint from a missing resource.
    detail = "Endpoint not found" if error.status_code == HTTPStatus.NOT_FOUND else error.detail
    return JSONResponse({"detail": detail}, error.status_code, headers=error.headers)


async def _store_unavailable(request: Request, error: Exception) -> Response:
    logger.error("the store cannot serve %r: %s", request.url.path, error)
    detail = "the registry cannot write now; nothing of this request was stored, try again later"
    return JSONResponse({"detail": detail}, HTTPStatus.SERVICE_UNAVAILABLE, headers=RETRY_AFTER)


async def _too_long(request: Request, error: Exception) -> Response:
    logger.error("the store does not take %r: %s", request.url.path, error)
    detail = "nothing of this request was stored: one of its texts is longer than the database of this registry takes"
    return JSONResponse({"detail": detail}, HTTPStatus.UNPROCESSABLE_ENTITY)


async def _internal_error(request: Request, error: Exception) -> Response:
    logger.error("internal error at %r", request.url.path, exc_info=error)
    response = JSONResponse({"detail": "the registry failed on this request"}, HTTPStatus.INTERNAL_SERVER_ERROR)
    name_reply(response.headers)  # this reply passes by the middleware
    return response
