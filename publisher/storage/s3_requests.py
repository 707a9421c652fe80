"""All requests to one bucket: addressed, signed, and repeated if the reply shows how to change the request.

A reply can cause these changes:

- The bucket is in another region: the request is sent to that region.
- The store refuses one of S3's newer checksum headers (B2, older Ceph, GCS's interoperable API): from then on they are
  omitted, as with `AWS_REQUEST_CHECKSUM_CALCULATION=when_required`, and the store verifies `Content-MD5` instead.
- The credentials have expired: they are renewed.
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from urllib.parse import quote, urlencode

from roar_publisher.net.exchange import Reply
from roar_publisher.state.errors import PublisherError
from roar_publisher.storage.http import FileBody, StoreConnection, StoreRequest
from roar_publisher.storage.s3_account import AwsAccount, Credentials
from roar_publisher.storage.s3_errors import (
    explain,
    explain_unread,
    is_expired,
    is_success,
    judge_s3,
    may_refuse_header,
    region_in,
)
from roar_publisher.storage.s3_location import UNRESERVED

ALGORITHM_HEADER = "x-amz-checksum-algorithm"
SHA256_HEADER = "x-amz-checksum-sha256"
MODE_HEADER = "x-amz-checksum-mode"
MAX_RENEWALS = 2
"""How often one request may renew its credentials."""
MAX_SENDS = 6
"""How often one request is sent, each time changed by what the last reply has shown."""
NOT_THERE = 404
NOTHING: Mapping[str, str] = {}


class S3Requests:
    """Sends requests for any number of tasks. destination: for error messages."""

    def __init__(self, destination: str, account: AwsAccount, connection: StoreConnection) -> None:
        self._destination = destination
        self._account = account
        self._connection = connection
        self._left_out: set[str] = set()  # names of headers; written by ask
        self._accepted: set[tuple[bool, str]] = set()  # headers that the store has accepted, for parts or others
        if not account.request_checksums:
            self._left_out |= {ALGORITHM_HEADER, SHA256_HEADER}
        if not account.reply_checksums:
            self._left_out.add(MODE_HEADER)

    @property
    def sends_sha256(self) -> bool:
        """Whether the SHA-256 header is sent with the requests that have it."""
        return SHA256_HEADER not in self._left_out

    async def aclose(self) -> None:
        await self._connection.aclose()

    async def ask(
        self,
        method: str,
        name: str = "",
        query: Mapping[str, str] = NOTHING,
        *,
        headers: Mapping[str, str] = NOTHING,
        body: bytes | FileBody = b"",
        before_retry: Callable[[], Awaitable[None]] | None = None,
    ) -> Reply:
        """Send a request and return the final reply. name: of the object in the bucket; empty for the bucket itself."""
        left_out, renewals = set(self._left_out), 0
        for _ in range(MAX_SENDS):
            sent = {header: value for header, value in headers.items() if header not in left_out}
            checksums = {header for header in sent if header.startswith("x-amz-checksum-")}
            asked = {("partNumber" in query, header) for header in checksums}  # R2 takes them of whole objects alone
            place, used = self._account.place, list[Credentials]()
            attempt = partial(self._prepared, used, method, _url(place.base, name, query), sent, body)
            reply = await self._connection.call(
                attempt, judge_s3, authorize=self._account.current, before_retry=before_retry
            )
            if reply.ok or reply.status == NOT_THERE:  # it looked for the object, so it accepted the headers
                self._accepted |= asked
                self._left_out |= left_out
            if is_success(reply):
                break
            if (region := region_in(reply)) and region != place.region:
                if self._account.place == place and not self._account.move(region):
                    break
            elif asked - self._accepted and may_refuse_header(method, reply):
                left_out |= checksums
            elif is_expired(method, reply) and renewals < MAX_RENEWALS:
                renewals += 1
                if not await self._account.renew(used[-1]):
                    break
            else:
                break
        return reply

    async def _prepared(
        self, used: list[Credentials], method: str, url: str, headers: Mapping[str, str], body: bytes | FileBody
    ) -> StoreRequest:
        """Return one attempt, signed right before it is sent. used: receives the credentials."""
        sha256 = body.sha256 if isinstance(body, FileBody) else hashlib.sha256(body).digest()
        used.append(await self._account.current())
        return StoreRequest(method, url, self._account.sign(used[-1], method, url, headers, sha256.hex()), body)

    def accept(self, reply: Reply) -> Reply:
        """Return `reply` if it is a success. Raise its error (`explain`) otherwise."""
        if is_success(reply):
            return reply
        raise explain(reply, self._destination, self._account.place.region)

    def explain_unread(self, reply: Reply, where: str) -> PublisherError:
        """Return the error for a refusal to read one object. where: its address."""
        return explain_unread(reply, where, self._account.place.region)


def escaped(name: str) -> str:
    """Return a name for the path of a URL, percent-encoded except for the unreserved characters."""
    return quote(name, safe="/" + UNRESERVED)


def _url(base: str, name: str, query: Mapping[str, str]) -> str:
    url = f"{base}/{escaped(name)}" if name or base.count("/") == 2 else base
    return f"{url}?{urlencode(query, quote_via=quote, safe=UNRESERVED)}" if query else url
