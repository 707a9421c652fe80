"""Reading of request bodies, with bounded memory and validation against the wire models."""

from collections.abc import Collection, Sequence
from http import HTTPStatus
from io import SEEK_END, BytesIO
from typing import TypeVar

import anyio
from msgspec import Struct
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from roar_publisher.glaas.decoding import NotJson, WrongShape, decode
from roar_publisher.registry.api.encodings import decoded
from roar_publisher.registry.http.refusals import Refusal

Body = TypeVar("Body", bound=BaseModel | Struct)

JSON = "application/json"
DRAINED = 1024 * 1024
"""Bytes past the limit that are read and dropped before a 413. Otherwise a client that is still sending would see a
connection reset instead of the reply."""
BODY_SECONDS = 60.0
MIN_BODY_RATE = 1000.0
"""A body must arrive within `BODY_SECONDS`, plus one second per `MIN_BODY_RATE` bytes: 90 KiB may take 152 s."""
ERRORS_NAMED = 3
"""Maximum number of validation errors that a 422 lists."""
DETAIL_LENGTH = 500
"""Maximum characters of that list. An error names its location, which can contain a key that the client chose."""


async def read_raw(request: Request, limit: int, media_type: str = JSON) -> bytes:
    """Return the request's body as it was sent, which may be compressed.

    Later calls return the same bytes, so a signature can be verified before the endpoint reads.

    Raises `Refusal`: 413 past `limit` bytes, 400 if the body ended early, 408 if it arrives too slowly, 415 if a
    non-empty body is not declared as this media type.
    """
    if not hasattr(request.state, "raw_body"):
        raw_body = await _read(request, limit)
        if raw_body and not _is_of(media_type, request.headers.getlist("content-type")):
            raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"send it with Content-Type: {media_type}")
        request.state.raw_body = raw_body
    raw: bytes = request.state.raw_body
    return raw


async def read_body(request: Request, model: type[Body], limit: int, encodings: Collection[str]) -> Body:
    """Return the request's body as `model`. An empty body counts as an empty object. Sets `request.state.body_size`.

    `encodings` are those in which a body may be compressed; `limit` bounds it before and after.

    Raises `Refusal`: as `read_raw` and `decoded`, 400 for invalid JSON, 422 for JSON that does not match the model.
    """
    sent = await read_raw(request, limit)
    body = decoded(sent, request.headers.getlist("content-encoding"), limit, encodings)
    request.state.body_size = len(body)
    try:
        if issubclass(model, BaseModel):
            return model.model_validate_json(body or b"{}")
        return decode(body or b"{}", model)
    except ValidationError as error:
        raise _refusal(error) from None
    except NotJson as error:
        raise Refusal(HTTPStatus.BAD_REQUEST, f"the body is not valid JSON: {error}") from None
    except WrongShape as error:
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)[:DETAIL_LENGTH]) from None


def declared_length(request: Request) -> int | None:
    """Return the Content-Length of a request; None if it has none, or one with more digits than any size."""
    declared = request.headers.get("content-length", "")
    return int(declared) if declared.isascii() and declared.isdigit() and len(declared) < 20 else None


async def _read(request: Request, limit: int) -> bytes:
    too_large = Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body exceeds {limit} bytes: send less at once")
    if (declared_length(request) or 0) > limit + DRAINED:
        raise too_large
    body = BytesIO()
    received = 0
    try:
        with anyio.fail_after(BODY_SECONDS) as scope:
            deadline = scope.deadline
            async for chunk in request.stream():
                received += len(chunk)
                scope.deadline = deadline + min(received, limit) / MIN_BODY_RATE
                if received > limit + DRAINED:
                    raise too_large
                if received == len(chunk) <= limit:
                    body = BytesIO(chunk)  # only a body of several chunks is copied
                    body.seek(0, SEEK_END)
                elif received <= limit:
                    body.write(chunk)
    except TimeoutError:
        raise Refusal(HTTPStatus.REQUEST_TIMEOUT, "the body arrived too slowly: send less at once") from None
    except ClientDisconnect:
        raise Refusal(HTTPStatus.BAD_REQUEST, "the body ended early") from None
    if received > limit:
        raise too_large
    return body.getvalue()


def _is_of(media_type: str, types: Sequence[str]) -> bool:
    return len(types) == 1 and types[0].partition(";")[0].strip().lower() == media_type


def _refusal(error: ValidationError) -> Refusal:
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    if faults[0]["type"] == "json_invalid":
        return Refusal(HTTPStatus.BAD_REQUEST, f"the body is not valid JSON: {faults[0]['msg']}")
    named = [f"{'.'.join(map(str, fault['loc'])) or 'body'}: {fault['msg']}" for fault in faults[:ERRORS_NAMED]]
    more = f" (and {len(faults) - ERRORS_NAMED} more)" if len(faults) > ERRORS_NAMED else ""
    return Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "; ".join(named)[:DETAIL_LENGTH] + more)
