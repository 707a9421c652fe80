"""The device flow (RFC 8628): a program shows a code, and a user who has signed in in a browser confirms it.

The program keeps a device code of 256 random bits, with which it asks for its tokens. The code that it shows has 34
random bits. Only signed-in users can try such codes, few of them (`attempts`), and each is shown what asks, from where,
before it is allowed.
"""

import secrets
from enum import StrEnum
from http import HTTPStatus

from msgspec import Struct

from roar_publisher.guarded import Guarded
from roar_publisher.registry.accounts.attempts import begin_attempt, give_back
from roar_publisher.registry.accounts.codes import new_code, typed_code
from roar_publisher.registry.accounts.grants import Tokens, issue_to
from roar_publisher.registry.accounts.stored_secrets import stored_hash
from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.store import device_requests
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.device_requests import DeviceRequest
from roar_publisher.registry.store.users import User

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
DEVICE_CODE_SIZE = 32
"""Bytes."""
USER_CODE_LENGTH = 8
CODE_SECONDS = 600.0
"""Seconds in which a code can be confirmed and its tokens fetched."""
POLL_SECONDS = 5.0
"""Seconds that a program should wait between two polls."""
MIN_POLL_SECONDS = 3.0
"""A poll so soon after the last one is refused. It is less than `POLL_SECONDS`, because requests are delayed."""
MAX_REQUESTS, MAX_REQUESTS_OF_ADDRESS = 1000, 50
"""Requests that may wait at a time."""
NAME_LENGTH = 100
"""Maximum characters that are kept of a program's name."""


class PollError(StrEnum):
    """Why a poll gets no tokens. The value is the code of RFC 8628 §3.5 and RFC 6749 §5.2."""

    PENDING = "authorization_pending"
    SLOW_DOWN = "slow_down"
    DENIED = "access_denied"
    EXPIRED = "expired_token"
    UNSUPPORTED = "unsupported_grant_type"


_DETAILS = {
    PollError.PENDING: "nobody has confirmed the code yet",
    PollError.SLOW_DOWN: "this was asked too soon after the last time: wait longer",
    PollError.DENIED: "the sign-in was refused",
    PollError.EXPIRED: "the code has expired, or was used already: sign in again",
    PollError.UNSUPPORTED: "this endpoint only knows the device flow",
}


class DeviceClient(Struct, frozen=True):
    """A program that asks to be signed in, as it describes itself. `address` is as `addresses.client_of` returns it."""

    id: str
    name: str
    address: str


class DeviceCodes(Guarded, frozen=True):
    """What a program gets: a code to keep, and one to show."""

    HIDDEN = ("device_code",)
    device_code: str
    user_code: str


def poll_refusal(error: PollError) -> Refusal:
    """Return the reply to a poll that gets no tokens."""
    detail = _DETAILS[error]
    return Refusal(HTTPStatus.BAD_REQUEST, detail, {"error": error.value, "error_description": detail})


def poll_error(code: str) -> PollError:
    """Return the reason with this code. An unknown one is a refusal."""
    try:
        return PollError(code)
    except ValueError:
        return PollError.DENIED


def begin(connection: Connection, client: DeviceClient, now: float) -> DeviceCodes:
    """Add a request of a program. Raises `Refusal` (429) if too many wait already."""
    device_requests.delete_expired(connection, now)
    total, of_address = device_requests.count_requests(connection, client.address)
    if total >= MAX_REQUESTS or of_address >= MAX_REQUESTS_OF_ADDRESS:
        detail = "too many sign-ins wait for their confirmation: try again later"
        raise Refusal(HTTPStatus.TOO_MANY_REQUESTS, detail, headers={"Retry-After": str(int(CODE_SECONDS))})
    codes = DeviceCodes(secrets.token_urlsafe(DEVICE_CODE_SIZE), new_code(USER_CODE_LENGTH))
    request = DeviceRequest(codes.user_code, client.name[:NAME_LENGTH], client.address, now)
    device_requests.insert_request(connection, stored_hash(codes.device_code), request, now + CODE_SECONDS)
    return codes


def find(connection: Connection, user: User, text: str, now: float) -> DeviceRequest | None:
    """Return the request whose code a user has typed; None if it is unknown, expired or decided.

    This is an attempt to guess a code. Raises `Refusal` (429) as `begin_attempt`.
    """
    guesser = f"device {user.id}"
    begin_attempt(connection, guesser, now)
    code = typed_code(text, USER_CODE_LENGTH)
    request = None if code is None else device_requests.undecided_request(connection, code, now)
    if request is not None:
        give_back(connection, guesser)
    return request


def decide(connection: Connection, user: User, text: str, now: float, *, allowed: bool) -> DeviceRequest | None:
    """Allow or refuse a request, and return it. Returns None and raises as `find`."""
    request = find(connection, user, text, now)
    if request is not None:
        device_requests.decide_request(connection, request.user_code, user.id if allowed else None)
    return request


def poll(connection: Connection, device_code: str, now: float) -> Tokens | PollError:
    """Return the tokens of a request that was allowed. Its code then works no more."""
    code_hash = stored_hash(device_code)
    state = device_requests.request_state(connection, code_hash, now)
    if state is None:
        return PollError.EXPIRED
    if state.refused or state.user is not None:
        device_requests.delete_request(connection, code_hash)
        return PollError.DENIED if state.user is None else issue_to(connection, state.user, now=now)
    if state.polled_at is not None and now - state.polled_at < MIN_POLL_SECONDS:
        return PollError.SLOW_DOWN
    device_requests.record_poll(connection, code_hash, now)
    return PollError.PENDING
