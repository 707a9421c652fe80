"""Compressed request bodies (`protocol.md §2`): inflated up to the limit of the endpoint, and never further."""

import zlib
from collections.abc import Collection, Sequence
from http import HTTPStatus

from roar_publisher.glaas.protocol import GZIP
from roar_publisher.registry.http.refusals import Refusal

IDENTITY = "identity"
_GZIP_FORMAT = 16 + zlib.MAX_WBITS


def decoded(raw: bytes, encodings: Sequence[str], limit: int, accepted: Collection[str]) -> bytes:
    """Return the content of a body. `encodings` are the values of `Content-Encoding`.

    Raises `Refusal`: 415 for an encoding that is not `accepted`, 413 if the content exceeds `limit` bytes, 400 if the
    body is not exactly one complete gzip stream.
    """
    encoding = ",".join(encodings).strip().lower() or IDENTITY
    if encoding == IDENTITY:
        return raw
    if encoding != GZIP or GZIP not in accepted:
        raise Refusal(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "this registry does not accept this Content-Encoding: send the body as it is",
            headers={"Accept-Encoding": ", ".join(accepted) or IDENTITY},
        )
    return _inflated(raw, limit)


def _inflated(raw: bytes, limit: int) -> bytes:
    stream = zlib.decompressobj(_GZIP_FORMAT)
    try:
        content = stream.decompress(raw, limit + 1)
    except zlib.error:
        raise _broken() from None
    if len(content) > limit:
        what = f"the body exceeds {limit} bytes when it is inflated: send less at once"
        raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, what)
    if not stream.eof or stream.unused_data:
        raise _broken()
    return content


def _broken() -> Refusal:
    return Refusal(HTTPStatus.BAD_REQUEST, "the body is not one complete gzip stream")
